"""Arrays for PostgreSQL in its binary format, packed in one go: one parameter carries a column of a whole batch.

psycopg's own lists go through one Python call per element, and through text unless asked otherwise; packed columns cost
the client a small fraction of that. `register` a connection once, then pass `IntArray`, `BigintArray` and `ByteaArray`
as parameters of `unnest(…)`.
"""

import struct
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from psycopg import AsyncConnection, Connection
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format
from psycopg.types import TypeInfo

_HEADER = struct.Struct(">iiIii")
_LENGTH = struct.Struct(">i")
_DIMENSIONS, _NO_NULLS, _LOWER_BOUND = 1, 0, 1
_POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01, where PostgreSQL's timestamps begin."""
_EMPTY = struct.Struct(">iiI")
_BIGINT_CELL = np.dtype([("length", ">i4"), ("value", ">i8")])
_NO_CELLS = np.empty(0, _BIGINT_CELL)


class PackedArray:
    """A one-dimensional array without NULLs in PostgreSQL's binary format."""

    element_type = ""

    def __init__(self, length: int, items: bytes) -> None:
        self.length = length
        self.items = items


class IntArray(PackedArray):
    """An `integer[]` from numbers."""

    element_type = "int4"

    def __init__(self, numbers: ArrayLike) -> None:
        super().__init__(*_packed_numbers(numbers, ">i4"))


class BigintArray(PackedArray):
    """A `bigint[]` from numbers."""

    element_type = "int8"

    def __init__(self, numbers: ArrayLike) -> None:
        super().__init__(*_packed_numbers(numbers, ">i8"))


class SmallintArray(PackedArray):
    """A `smallint[]` from numbers."""

    element_type = "int2"

    def __init__(self, numbers: ArrayLike) -> None:
        super().__init__(*_packed_numbers(numbers, ">i2"))


class DoubleArray(PackedArray):
    """A `double precision[]` from numbers."""

    element_type = "float8"

    def __init__(self, numbers: ArrayLike) -> None:
        super().__init__(*_packed_numbers(numbers, ">f8"))


class BooleanArray(PackedArray):
    """A `boolean[]` from truth values."""

    element_type = "bool"

    def __init__(self, values: ArrayLike) -> None:
        super().__init__(*_packed_numbers(values, "?"))


class TimestampArray(PackedArray):
    """A `timestamptz[]` from microseconds since the Unix epoch."""

    element_type = "timestamptz"

    def __init__(self, microseconds: ArrayLike) -> None:
        super().__init__(*_packed_numbers(np.asarray(microseconds, np.int64) - _POSTGRES_EPOCH_US, ">i8"))


class ByteaArray(PackedArray):
    """A `bytea[]` from byte strings."""

    element_type = "bytea"

    def __init__(self, items: Sequence[bytes]) -> None:
        super().__init__(len(items), b"".join(_with_lengths(items)))


_KINDS = (SmallintArray, IntArray, BigintArray, DoubleArray, BooleanArray, TimestampArray, ByteaArray)


def register(connection: Connection | AsyncConnection) -> None:
    """Teach a connection to take packed arrays as parameters."""
    for cls in _KINDS:
        info = connection.adapters.types[cls.element_type]
        connection.adapters.register_dumper(cls, _dumper(info))


def load_bigint_arrays(connection: Connection) -> None:
    """Let a connection give `bigint[]` columns of binary results as numpy columns."""
    connection.adapters.register_loader(connection.adapters.types["int8"].array_oid, _BigintArrayLoader)


class _BigintArrayLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> NDArray[np.int64]:
        cells = np.frombuffer(data, _BIGINT_CELL, offset=_HEADER.size) if len(data) > _EMPTY.size else _NO_CELLS
        return cells["value"].astype(np.int64)


def _dumper(info: TypeInfo) -> type[Dumper]:
    class PackedArrayDumper(Dumper):
        format = Format.BINARY
        oid = info.array_oid

        def dump(self, obj: PackedArray) -> Buffer:
            if not obj.length:
                return _EMPTY.pack(0, _NO_NULLS, info.oid)
            return _HEADER.pack(_DIMENSIONS, _NO_NULLS, info.oid, obj.length, _LOWER_BOUND) + obj.items

    return PackedArrayDumper


def _packed_numbers(numbers: ArrayLike, kind: str) -> tuple[int, bytes]:
    values = np.asarray(numbers)
    cells = np.empty(len(values), dtype=[("length", ">i4"), ("value", kind)])
    cells["length"] = np.dtype(kind).itemsize
    cells["value"] = values
    return len(values), cells.tobytes()


def _with_lengths(items: Iterable[bytes]) -> Iterable[bytes]:
    for item in items:
        yield _LENGTH.pack(len(item))
        yield item
