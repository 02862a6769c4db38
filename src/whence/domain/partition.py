"""Which partition a key belongs to: the rule of Java's default Kafka partitioner, so that foreign producers agree."""

from struct import Struct

_WORD = Struct("<I")
_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit murmur2 hash of *data* as Kafka's Java client computes it, as an unsigned number.

    Source: `org.apache.kafka.common.utils.Utils.murmur2`, Apache Kafka.
    """
    length = len(data)
    whole = length & ~3
    value = _SEED ^ length
    for (word,) in _WORD.iter_unpack(data[:whole]):
        mixed = (word * _M) & _MASK
        value = (value * _M ^ (mixed ^ mixed >> 24) * _M) & _MASK
    if length > whole:
        value = ((value ^ int.from_bytes(data[whole:], "little")) * _M) & _MASK
    value ^= value >> 13
    value = (value * _M) & _MASK
    return value ^ (value >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition, 0 to partitions - 1, of a record with this key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
