"""Packed PostgreSQL arrays back into Python: what a server would read from them."""

import struct
from typing import Any

import numpy as np

from whence.kit.pgarrays import (
    BigintArray,
    BooleanArray,
    ByteaArray,
    DoubleArray,
    IntArray,
    PackedArray,
    SmallintArray,
    TimestampArray,
)

_POSTGRES_EPOCH_US = 946_684_800_000_000
_KINDS: dict[type[PackedArray], str] = {
    SmallintArray: ">i2",
    IntArray: ">i4",
    BigintArray: ">i8",
    DoubleArray: ">f8",
    BooleanArray: "?",
    TimestampArray: ">i8",
}


def numbers(packed: PackedArray) -> list[Any]:
    """The elements; times in microseconds since 1970."""
    cells = np.frombuffer(packed.items, [("length", ">i4"), ("value", _KINDS[type(packed)])])
    values: list[Any] = cells["value"].tolist()
    return [value + _POSTGRES_EPOCH_US for value in values] if isinstance(packed, TimestampArray) else values


def byte_strings(packed: ByteaArray) -> list[bytes]:
    """The elements."""
    found, at = [], 0
    while at < len(packed.items):
        (length,) = struct.unpack_from(">i", packed.items, at)
        found.append(packed.items[at + 4 : at + 4 + length])
        at += 4 + length
    return found
