"""Packed arrays arrive in PostgreSQL as what they were."""

import pytest

from conftest import Installation
from whence.kit.pgarrays import BigintArray, ByteaArray, IntArray, PackedArray, register


@pytest.mark.parametrize(
    ("array", "type_name", "expected"),
    [
        (IntArray([3, -(2**31), 2**31 - 1]), "integer[]", [3, -(2**31), 2**31 - 1]),
        (BigintArray([2**63 - 1, -(2**63)]), "bigint[]", [2**63 - 1, -(2**63)]),
        (ByteaArray([b"", b"\x00\xff", b"x" * 5_000]), "bytea[]", [b"", b"\x00\xff", b"x" * 5_000]),
        (IntArray([]), "integer[]", []),
        (ByteaArray([]), "bytea[]", []),
    ],
)
def test_an_array_arrives(installation: Installation, array: PackedArray, type_name: str, expected: object) -> None:
    with installation.connect() as connection:
        register(connection)
        row = connection.execute("SELECT %(array)s, pg_typeof(%(array)s)::text", {"array": array}).fetchone()
    assert row == (expected, type_name)
