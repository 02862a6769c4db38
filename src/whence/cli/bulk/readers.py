"""Files of rows: JSON lines, CSV and Parquet, one row at a time, whatever the file's size."""

import csv
import gzip
import io
import json
import math
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

from whence.cli.bulk.columns import Columns
from whence.domain.errors import DependencyUnavailable, FieldProblem, InvalidInput

Format = Literal["jsonl", "csv", "parquet"]

SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSED = ".gz"

BinaryFile = IO[bytes] | gzip.GzipFile

MAX_LINE_BYTES = 2**20
"""A longer line is no row of ours; it is skipped without being held in memory."""

PARQUET_ROWS = 1_000
"""Rows that are turned into Python values at once."""

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file.

    Attributes:
        number: 1 for the first row below a header; for JSON lines, the line.
        fields: What it says, without empty fields; None if it cannot be read.
        problem: Why it cannot be read.
    """

    number: int
    fields: dict[str, Any] | None
    problem: FieldProblem | None = None


def format_of(path: str) -> Format:
    """The format that a file's name tells.

    Raises:
        InvalidInput: If it tells none.
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes if suffix.lower() != COMPRESSED]
    if path == STDIN:
        return "jsonl"
    if suffixes and suffixes[-1] in SUFFIXES:
        return SUFFIXES[suffixes[-1]]
    known = ", ".join(SUFFIXES)
    raise InvalidInput([FieldProblem(path, f"its name does not tell the format ({known}); say --format")])


def base_name(path: str) -> str:
    """The file's name without folder and known extensions."""
    name = Path(path).name
    for suffix in (COMPRESSED, *SUFFIXES):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            name = name[: -len(suffix)]
    return name


def read_rows(path: str, form: Format, columns: Columns) -> Iterator[Row]:
    """The rows of a file, or of standard input for `-`.

    Raises:
        InvalidInput: If the file cannot be opened, or its columns cannot be right.
        DependencyUnavailable: If Parquet is wanted and its library is not installed.
    """
    try:
        if form == "parquet":
            yield from _parquet_rows(path, columns)
        else:
            with _open(path) as file:
                yield from (_json_rows(file) if form == "jsonl" else _csv_rows(file, columns))
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(
            [FieldProblem(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")]
        ) from error


def _open(path: str) -> BinaryFile:
    if path == STDIN:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    if path.lower().endswith(COMPRESSED):
        return gzip.open(path, "rb")
    return Path(path).open("rb")


def _json_rows(file: BinaryFile) -> Iterator[Row]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield _bad(number, f"the line is longer than {MAX_LINE_BYTES} bytes")
        elif text := line.strip().removeprefix(b"\xef\xbb\xbf"):
            yield _json_row(number, text)


def _json_row(number: int, text: bytes) -> Row:
    try:
        document = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as strict:
        try:
            document = json.loads(text)  # reads NaN and lone surrogates, so that their field can be named
        except (ValueError, RecursionError):
            return _bad(number, f"must be one JSON object a line: {strict}")
    return _row(number, document)


def _csv_rows(file: BinaryFile, columns: Columns) -> Iterator[Row]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text, strict=True)
    header = next(reader, [])
    columns.check(header)
    for number in _counting():
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _bad(number, f"is no CSV: {error}")
            continue
        if len(cells) == len(header):
            yield _row(number, columns.meaning(dict(zip(header, cells, strict=True))))
        elif cells:
            yield _bad(number, f"has {len(cells)} cells, but the header has {len(header)}")


def _counting() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


def _parquet_rows(path: str, columns: Columns) -> Iterator[Row]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise DependencyUnavailable(
            "pyarrow", "Parquet needs one more library: install whence[parquet] (pip install 'whence[parquet]')"
        ) from error
    if path == STDIN:
        raise InvalidInput([FieldProblem("FILE", "Parquet is read from a file, not from standard input")])
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            columns.check(file.schema_arrow.names)
            for batch in file.iter_batches(PARQUET_ROWS):
                for fields in batch.to_pylist():
                    number += 1
                    yield _row(number, {name: _plain(value) for name, value in fields.items()})
    except arrow.ArrowInvalid as error:
        raise InvalidInput([FieldProblem(path, f"is no Parquet file that can be read: {error}")]) from error


def _plain(value: Any) -> Any:
    """A Parquet value as JSON has it; pandas writes a missing number as NaN."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, datetime | date) else value


def _row(number: int, document: object) -> Row:
    if not isinstance(document, dict):
        return _bad(number, "must be a JSON object")
    return Row(number, {name: value for name, value in document.items() if value is not None})


def _bad(number: int, problem: str) -> Row:
    return Row(number, None, FieldProblem("", problem))
