"""Packed arrays: the bytes of PostgreSQL's binary format."""

import numpy as np
import pytest

from whence.kit.pgarrays import BigintArray, ByteaArray, IntArray, PackedArray


@pytest.mark.parametrize(
    ("array", "length", "items"),
    [
        (IntArray([1, -1]), 2, "00000004 00000001 00000004 ffffffff"),
        (IntArray([]), 0, ""),
        (BigintArray(np.array([2**40, -2], dtype=np.int64)), 2, "00000008 0000010000000000 00000008 fffffffffffffffe"),
        (ByteaArray([b"ab", b"", b"\x00"]), 3, "00000002 6162 00000000 00000001 00"),
    ],
)
def test_items_are_packed_with_their_lengths(array: PackedArray, length: int, items: str) -> None:
    assert (array.length, array.items) == (length, bytes.fromhex(items))
