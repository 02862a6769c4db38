"""Readers: the same rows from every format, and clear words for what is no row."""

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import parquet

from whence.cli.bulk.columns import EVENT_COLUMNS, ITEM_COLUMNS, Columns
from whence.cli.bulk.readers import MAX_LINE_BYTES, Format, Row, base_name, format_of, read_rows
from whence.domain.errors import InvalidInput

EVENT: dict[str, Any] = {
    "event_type": "purchase",
    "user_id": "u1",
    "item_id": "i1",
    "quantity": 2.0,
    "position": 3,
    "context": {"page": "home"},
}


def rows(path: Path, form: Format, columns: Columns = EVENT_COLUMNS) -> list[Row]:
    return list(read_rows(str(path), form, columns))


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def test_every_format_gives_the_same_fields(tmp_path: Path) -> None:
    line = json.dumps({**EVENT, "surface": None})
    cells = 'purchase,u1,i1,2,3,"{""page"": ""home""}",\n'
    table = arrow.table({name: [value] for name, value in {**EVENT, "surface": None}.items()})
    parquet.write_table(table, tmp_path / "a.parquet")
    head = "event_type,user_id,item_id,quantity,position,context,surface\n"
    assert rows(write(tmp_path, "a.jsonl", line.encode()), "jsonl") == [Row(1, EVENT)]
    assert rows(write(tmp_path, "a.csv", (head + cells).encode()), "csv") == [Row(1, EVENT)]
    assert rows(tmp_path / "a.parquet", "parquet") == [Row(1, EVENT)]


def test_compressed_files_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv.gz", b"event_type,user_id,item_id\nview,u1,i1\n")
    assert rows(path, "csv") == [Row(1, {"event_type": "view", "user_id": "u1", "item_id": "i1"})]


def test_rows_are_numbered_as_they_lie_in_the_file(tmp_path: Path) -> None:
    lines = write(tmp_path, "a.jsonl", b'{"a": 1}\n\n  \n{"a": 2}')
    assert [row.number for row in rows(lines, "jsonl")] == [1, 4]
    cells = write(tmp_path, "a.csv", b'event_type,user_id,item_id\nview,u1,"two\nlines"\n\nview,u1,i2\n')
    assert [row.number for row in rows(cells, "csv")] == [1, 3]


def test_a_byte_order_mark_is_no_part_of_the_first_field(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b"\xef\xbb\xbfevent_type,user_id,item_id\nview,u1,i1\n")
    assert rows(path, "csv")[0].fields == {"event_type": "view", "user_id": "u1", "item_id": "i1"}
    assert rows(write(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"a": 1}'), "jsonl") == [Row(1, {"a": 1})]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"not json", "JSON object a line"),
        (b"[1, 2]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b'{"a": "\xff"}', "JSON object a line"),
        (b"[" * 100_000, "JSON object a line"),
        (b'{"a": "' + b"x" * MAX_LINE_BYTES + b'"}', "longer than"),
    ],
)
def test_a_bad_line_is_named_and_the_next_one_goes_on(tmp_path: Path, line: bytes, problem: str) -> None:
    bad, good = rows(write(tmp_path, "a.jsonl", line + b'\n{"a": 1}\n'), "jsonl")
    assert bad.fields is None
    assert bad.problem is not None
    assert problem in bad.problem.problem
    assert good == Row(2, {"a": 1})


def test_what_only_lenient_readers_take_is_left_to_the_field_check(tmp_path: Path) -> None:
    (row,) = rows(write(tmp_path, "a.jsonl", b'{"value": NaN, "item_id": "\\ud800"}'), "jsonl")
    assert row.fields is not None
    assert set(row.fields) == {"value", "item_id"}


@pytest.mark.parametrize(
    ("cells", "problem"),
    [(b"view,u1", "has 2 cells"), (b"view,u1,i1,more", "has 4 cells"), (b'view,u1,"i"1', "is no CSV")],
)
def test_a_bad_csv_row_is_named_and_the_next_one_goes_on(tmp_path: Path, cells: bytes, problem: str) -> None:
    path = write(tmp_path, "a.csv", b"event_type,user_id,item_id\n" + cells + b"\nview,u2,i2\n")
    bad, good = rows(path, "csv")
    assert bad.problem is not None
    assert problem in bad.problem.problem
    assert good.fields == {"event_type": "view", "user_id": "u2", "item_id": "i2"}


@pytest.mark.parametrize(
    ("header", "field", "hint"),
    [
        ("event_type,user_id,item", "item", "did you mean item_id"),
        ("event_type,user_id,item_id,colour", "colour", "leave the column out"),
        ("event_type,item_id", "user_id or session_id", "is missing"),
        ("event_type,user_id,item_id,item_id", "item_id", "twice"),
        ("", "event_type", "is missing"),
    ],
)
def test_columns_that_cannot_be_right_stop_before_the_first_row(
    tmp_path: Path, header: str, field: str, hint: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        rows(write(tmp_path, "a.csv", header.encode() + b"\nview,u1,i1,x\n"), "csv")
    assert any(problem.field == field and hint in problem.problem for problem in refused.value.problems)


def test_the_columns_of_parquet_are_checked_too(tmp_path: Path) -> None:
    parquet.write_table(arrow.table({"event_type": ["view"], "usr_id": ["u1"]}), tmp_path / "a.parquet")
    with pytest.raises(InvalidInput, match="did you mean user_id"):
        rows(tmp_path / "a.parquet", "parquet")


@pytest.mark.parametrize("text", ["five", "nan", "1e999", "inf"])
def test_a_text_that_is_no_number_stays_for_the_field_check(text: str) -> None:
    assert EVENT_COLUMNS.meaning({"value": text}) == {"value": text}


def test_the_cells_of_an_item(tmp_path: Path) -> None:
    cells = {
        "item_id": "i1",
        "title": "Shoe",
        "categories": "shoes| outdoor |",
        "attributes": '{"colour": "red"}',
        "available": "No",
        "description": "",
    }
    assert ITEM_COLUMNS.meaning(cells) == {
        "item_id": "i1",
        "title": "Shoe",
        "categories": ["shoes", "outdoor"],
        "attributes": {"colour": "red"},
        "available": False,
    }
    assert ITEM_COLUMNS.meaning({"categories": '["a|b", "c"]'}) == {"categories": ["a|b", "c"]}
    assert ITEM_COLUMNS.meaning({"available": "maybe"}) == {"available": "maybe"}


def test_parquet_values_become_what_json_has(tmp_path: Path) -> None:
    table = arrow.table(
        {
            "event_type": ["view"],
            "user_id": ["u1"],
            "item_id": ["i1"],
            "value": [float("nan")],
            "quantity": [Decimal("1.50")],
            "occurred_at": [datetime(2026, 10, 3, 12, tzinfo=UTC)],
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    (row,) = rows(tmp_path / "a.parquet", "parquet")
    assert row.fields == {
        "event_type": "view",
        "user_id": "u1",
        "item_id": "i1",
        "quantity": 1.5,
        "occurred_at": "2026-10-03T12:00:00+00:00",
    }


@pytest.mark.parametrize("name", ["missing.jsonl", "folder", "damaged.csv.gz", "damaged.parquet"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "damaged.csv.gz").write_bytes(b"not compressed")
    (tmp_path / "damaged.parquet").write_bytes(b"not parquet")
    form: Format = "parquet" if name.endswith("parquet") else "csv"
    with pytest.raises(InvalidInput, match=name):
        rows(tmp_path / name, form)


@pytest.mark.parametrize(
    ("name", "form", "base"),
    [
        ("shop/events.jsonl", "jsonl", "events"),
        ("a.b.ndjson.gz", "jsonl", "a.b"),
        ("Purchases.CSV", "csv", "Purchases"),
        ("x.parquet", "parquet", "x"),
        ("x.csv.csv", "csv", "x.csv"),
    ],
)
def test_a_name_tells_the_format_and_the_backfill(name: str, form: Format, base: str) -> None:
    assert format_of(name) == form
    assert base_name(name) == base


def test_a_name_that_tells_no_format_asks_for_it() -> None:
    with pytest.raises(InvalidInput, match="--format"):
        format_of("events.txt")
    assert format_of("-") == "jsonl"
