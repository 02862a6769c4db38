"""Which partition a key belongs to: the rule of Java's default Kafka partitioner, so that foreign producers agree."""

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit murmur2 hash of *data* as Kafka's Java client computes it, as an unsigned number.

    Source: `org.apache.kafka.common.utils.Utils.murmur2`, Apache Kafka.
    """
    length = len(data)
    value = (_SEED ^ length) & _MASK
    whole = length & ~3
    for start in range(0, whole, 4):
        word = (int.from_bytes(data[start : start + 4], "little") * _M) & _MASK
        word ^= word >> 24
        value = ((value * _M) & _MASK) ^ ((word * _M) & _MASK)
    if length > whole:
        value ^= int.from_bytes(data[whole:], "little")
        value = (value * _M) & _MASK
    value ^= value >> 13
    value = (value * _M) & _MASK
    return value ^ (value >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition, 0 to partitions - 1, of a record with this key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
