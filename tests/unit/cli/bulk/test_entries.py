"""Entries: ids that are the same whenever the file is sent, and rows that cannot be sent."""

import json
from typing import Any

import pytest

from whence.cli.bulk.entries import BadRow, Entry, EventEntries, item_entry
from whence.cli.bulk.readers import Row
from whence.domain.errors import FieldProblem
from whence.domain.events import MAX_EVENT_BYTES

FIELDS: dict[str, Any] = {"event_type": "view", "user_id": "u1", "item_id": "i1"}


def ids(name: str, *rows: dict[str, Any]) -> list[str]:
    entries = EventEntries(name)
    found = []
    for number, fields in enumerate(rows, start=1):
        entry = entries.entry(Row(number, fields))
        assert isinstance(entry, Entry)
        found.append(json.loads(entry.body)["event_id"])
    return found


def test_the_same_file_gives_the_same_ids() -> None:
    rows = [FIELDS, {**FIELDS, "item_id": "i2"}, FIELDS]
    assert ids("history", *rows) == ids("history", *rows)


def test_equal_rows_of_one_file_are_different_events() -> None:
    assert len(set(ids("history", FIELDS, FIELDS, FIELDS))) == 3


def test_the_order_of_fields_in_a_row_does_not_matter() -> None:
    assert ids("history", FIELDS) == ids("history", dict(reversed(FIELDS.items())))


def test_another_backfill_gives_other_ids() -> None:
    assert ids("history", FIELDS) != ids("other", FIELDS)


def test_what_comes_before_an_other_row_does_not_change_its_id() -> None:
    other = {**FIELDS, "item_id": "i2"}
    assert ids("history", FIELDS, FIELDS, other)[2] == ids("history", other)[0]


def test_an_id_that_is_given_stays() -> None:
    assert ids("history", {**FIELDS, "event_id": "mine"}) == ["mine"]


@pytest.mark.parametrize(
    ("left", "right", "together"),
    [
        ({"user_id": "u1"}, {"user_id": "u1", "session_id": "s9"}, True),
        ({"session_id": "u1"}, {"user_id": "u1"}, True),
        ({"user_id": "u1"}, {"user_id": "u2"}, False),
    ],
)
def test_events_of_one_user_share_a_lane(left: dict[str, str], right: dict[str, str], together: bool) -> None:
    keys = []
    for who in (left, right):
        entry = EventEntries("history").entry(Row(1, {"event_type": "view", "item_id": "i1", **who}))
        assert isinstance(entry, Entry)
        keys.append(entry.lane_key)
    assert (keys[0] == keys[1]) is together


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("value", float("nan"), "finite"),
        ("value", float("inf"), "finite"),
        ("item_id", "\ud800", "surrogates"),
        ("context", {"deep": [float("nan")]}, "finite"),
        ("context", b"bytes", "texts"),
    ],
)
def test_a_field_that_json_cannot_carry_is_named(name: str, value: object, words: str) -> None:
    bad = EventEntries("history").entry(Row(7, {**FIELDS, name: value}))
    assert isinstance(bad, BadRow)
    assert bad.row == 7
    assert [problem.field for problem in bad.problems] == [name]
    assert words in bad.problems[0].problem


def test_a_row_that_is_too_large_is_named_with_the_limit() -> None:
    bad = EventEntries("history").entry(Row(7, {**FIELDS, "context": {"x": "y" * MAX_EVENT_BYTES}}))
    assert isinstance(bad, BadRow)
    assert bad.problems[0].limit == MAX_EVENT_BYTES


def test_an_unreadable_row_keeps_its_problem() -> None:
    problem = FieldProblem("", "is no JSON")
    assert EventEntries("history").entry(Row(7, None, problem)) == BadRow(7, (problem,))
    assert item_entry(Row(7, None, problem)) == BadRow(7, (problem,))


def test_items_are_sent_as_they_are() -> None:
    entry = item_entry(Row(1, {"title": "Schöner Schuh", "item_id": "i1"}))
    assert isinstance(entry, Entry)
    assert json.loads(entry.body) == {"title": "Schöner Schuh", "item_id": "i1"}
