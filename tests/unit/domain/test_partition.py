"""Partitions agree with Kafka's Java client, so that foreign producers keyed by user meet ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.domain.partition import murmur2, partition_of

KAFKA_VECTORS = [
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
]
"""From Apache Kafka's `UtilsTest.testMurmur2`; Java's ints are signed."""


def signed(value: int) -> int:
    return value - 2**32 if value >= 2**31 else value


@pytest.mark.parametrize(("data", "expected"), KAFKA_VECTORS)
def test_murmur2_equals_kafkas(data: bytes, expected: int) -> None:
    assert signed(murmur2(data)) == expected


@pytest.mark.parametrize(("data", "expected"), KAFKA_VECTORS)
def test_the_sign_bit_is_dropped_before_the_remainder(data: bytes, expected: int) -> None:
    assert partition_of(data, 16) == (expected & 0x7FFFFFFF) % 16


@given(st.binary(max_size=64), st.integers(1, 256))
def test_a_key_always_has_the_same_partition_in_range(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
    assert partition_of(key, partitions) == partition_of(bytes(bytearray(key)), partitions)


def test_keys_spread_evenly() -> None:
    counts = [0] * 16
    for number in range(16_000):
        counts[partition_of(b"user-%d" % number, 16)] += 1
    assert min(counts) > 800
    assert max(counts) < 1_200
