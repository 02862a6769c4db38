"""Ids and hashes of events."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.domain.identity import backfill_event_id, event_hash, new_event_id, record_event_id

ids = st.text(st.characters(blacklist_characters="\x00", blacklist_categories=["Cs"]), min_size=1, max_size=20)


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_an_event_id_is_a_uuid_of_version_7_that_begins_with_the_time(now_ms: int, random: bytes) -> None:
    made = uuid.UUID(new_event_id(now_ms, random))
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == now_ms


def test_an_event_id_follows_the_layout_of_rfc_9562() -> None:
    made = new_event_id(0x0123_4567_89AB, bytes.fromhex("ffffffffffffffffffff"))
    assert made == "01234567-89ab-7fff-bfff-ffffffffffff"
    assert new_event_id(0x0123_4567_89AB, bytes(10)) == "01234567-89ab-7000-8000-000000000000"


@given(st.integers(0, 2**48 - 2), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_later_event_ids_sort_later(now_ms: int, random: bytes, other: bytes) -> None:
    assert new_event_id(now_ms, random) < new_event_id(now_ms + 1, other)


@given(st.integers(0, 2**74 - 1))
def test_all_74_random_bits_are_kept(number: int) -> None:
    random = ((number >> 62) << 64 | number & (2**62 - 1)).to_bytes(10, "big")
    value = uuid.UUID(new_event_id(0, random)).int
    assert value & (2**62 - 1) | (value >> 64 & 0xFFF) << 62 == number


@given(ids, ids)
def test_an_event_hash_is_a_signed_number_of_64_bits(user: str, event_id: str) -> None:
    assert -(2**63) <= event_hash(user, event_id) < 2**63
    assert event_hash(user, event_id) == event_hash(user, event_id)


def test_an_event_hash_never_changes_between_versions() -> None:
    assert event_hash("u1", "e1") == -6012442441574211864


def test_user_and_event_id_do_not_run_into_each_other() -> None:
    assert event_hash("a", "bc") != event_hash("ab", "c")
    assert event_hash("a", "b") != event_hash("b", "a")


@given(ids, st.binary(max_size=30), st.integers(0, 10**6))
def test_a_rows_id_is_the_same_next_year_and_fits_the_limit(name: str, row: bytes, ordinal: int) -> None:
    made = backfill_event_id(name, row, ordinal)
    assert made == backfill_event_id(name, row, ordinal)
    assert made.startswith("bf:")
    assert len(made) == 3 + 32


@pytest.mark.parametrize(
    "other", [("file2", b"row", 0), ("file", b"row2", 0), ("file", b"row", 1), ("fil", b"erow", 0), ("filer", b"ow", 0)]
)
def test_name_row_and_ordinal_all_count(other: tuple[str, bytes, int]) -> None:
    assert backfill_event_id("file", b"row", 0) != backfill_event_id(*other)


def test_a_foreign_record_is_named_by_its_place() -> None:
    assert record_event_id(3, 1042) == "log:3:1042"
