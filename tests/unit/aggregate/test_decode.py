"""A record becomes an event or a verdict that names what is wrong."""

import pytest

from unit.aggregate.records import HOUR_US, NOON_US, RULES, record
from whence.aggregate.batch import DeadLetter, Reason
from whence.aggregate.decode import MAX_DETAIL_LENGTH, MAX_KEY_BYTES, MAX_VALUE_BYTES, Event, Rules, decode
from whence.domain.identity import event_hash
from whence.domain.partition import partition_of
from whence.eventlog.port import Record

MINUTE_US = 60_000_000


def decoded(found: Event | DeadLetter) -> Event:
    assert isinstance(found, Event), found
    return found


def verdict(given: Record, rules: Rules = RULES) -> tuple[Reason, str]:
    found = decode(given, rules)
    assert isinstance(found, DeadLetter), found
    assert (found.offset, found.key, found.value) == (given.offset, given.key, given.value)
    return found.reason, found.detail


def test_an_event_as_the_api_writes_it() -> None:
    event = decode(record(7, occurred_at="2024-03-04T12:59:30+01:00", quantity=2, context={"page": 1}), RULES)
    assert event == Event(
        offset=7,
        user="u1",
        item="a",
        type_code=1,
        time_us=NOON_US - MINUTE_US // 2,
        accepted_us=NOON_US,
        hash=event_hash("u1", "1"),
        backfill=False,
    )


def test_the_session_acts_where_there_is_no_user() -> None:
    assert decoded(decode(record(user_id=None, session_id="s1"), RULES)).user == "s1"


def test_a_foreign_record_without_times_and_id_counts_at_append_time_under_its_place() -> None:
    event = decoded(decode(record(9, received_at=None, event_id=None), RULES))
    assert (event.time_us, event.accepted_us, event.hash) == (NOON_US, NOON_US, event_hash("u1", "log:0:9"))


def test_an_event_time_ahead_is_taken_back_to_a_minute_after_receipt() -> None:
    event = decoded(decode(record(occurred_at="2030-01-01T00:00:00Z"), RULES))
    assert event.time_us == NOON_US + MINUTE_US


def test_an_event_of_a_backfill_may_be_of_any_age_since_1970() -> None:
    event = decoded(decode(record(backfill="history", occurred_at="1970-01-01T00:00:00Z"), RULES))
    assert (event.time_us, event.backfill) == (0, True)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "truncated"),
        (b"\x00\x01", "malformed"),
        (b"[]", "object"),
        (b'{"item_id": "a"}', "event_type"),
        (b'{"event_type": "view", "item_id": 5}', "item_id"),
        (b'{"event_type": "view", "item_id": "\xff"}', "decode"),
        (b'{"event_type": "view", "item_id": "\\ud800\\u0041"}', "surrogate"),
        (b'{"event_type": "view", "item_id": "a", "value": NaN}', "malformed"),
        (b'{"event_type": "view", "item_id": "a", "value": 1e400}', "value"),
        (b'{"event_type": "view", "item_id": "a", "x": ' + b"[" * 4_000 + b"]" * 4_000 + b"}", "recursion"),
    ],
)
def test_what_is_no_event_is_undecodable(value: bytes, words: str) -> None:
    reason, detail = verdict(Record(0, 3, NOON_US, b"u1", value))
    assert reason is Reason.UNDECODABLE
    assert words in detail


@pytest.mark.parametrize(
    ("more", "reason", "words"),
    [
        ({"event_type": "wink"}, Reason.UNKNOWN_EVENT_TYPE, "'wink' is not in WHENCE_EVENT_TYPES"),
        ({"item_id": ""}, Reason.INVALID_ID, "item_id has 0 characters"),
        ({"item_id": "x" * 257}, Reason.INVALID_ID, "item_id has 257 characters"),
        ({"item_id": "a\x00b"}, Reason.INVALID_ID, "item_id may not"),
        ({"item_id": ".."}, Reason.INVALID_ID, "item_id may not"),
        ({"event_id": ""}, Reason.INVALID_ID, "event_id has 0 characters"),
        ({"user_id": None}, Reason.INVALID_ID, "user_id or session_id is needed"),
        ({"user_id": "u" * 257}, Reason.INVALID_ID, "user_id has 257 characters"),
        ({"user_id": None, "session_id": "."}, Reason.INVALID_ID, "session_id may not"),
        ({"key": b"u2"}, Reason.WRONG_KEY, "not b'u2'"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, Reason.UNUSABLE_TIME, "occurred_at 0001"),
        ({"occurred_at": "1969-12-31T23:59:59Z"}, Reason.UNUSABLE_TIME, "occurred_at 1969"),
        ({"occurred_at": "9999-12-31T23:59:59-14:00"}, Reason.UNUSABLE_TIME, "occurred_at 9999"),
        ({"occurred_at": "2024-03-04T12:00:00"}, Reason.UNUSABLE_TIME, "needs an offset"),
        ({"received_at": "9999-12-31T23:59:59Z"}, Reason.UNUSABLE_TIME, "received_at 9999"),
        ({"received_at": "2024-03-05T12:00:01Z"}, Reason.UNUSABLE_TIME, "more than a day ahead"),
        ({"occurred_at": "1970-01-01T00:00:00+01:00"}, Reason.UNUSABLE_TIME, "before 1970"),
    ],
)
def test_what_breaks_a_rule_is_dead_with_the_rule(more: dict[str, object], reason: Reason, words: str) -> None:
    found, detail = verdict(record(**more))  # type: ignore[arg-type]  # fields of any type
    assert found is reason
    assert words in detail


def test_a_record_in_the_wrong_partition_names_the_right_one() -> None:
    rules = Rules(16, RULES.type_codes)
    right = partition_of(b"u1", 16)
    given = record(partitions=16)
    assert isinstance(decode(given, rules), Event)
    reason, detail = verdict(given._replace(partition=(right + 1) % 16), rules)
    assert reason is Reason.WRONG_PARTITION
    assert f"partition {right} of 16" in detail


def test_what_is_too_large_is_dead_before_it_is_read() -> None:
    assert verdict(Record(0, 0, NOON_US, b"u1", b"x" * (MAX_VALUE_BYTES + 1)))[0] is Reason.TOO_LARGE
    assert verdict(Record(0, 0, NOON_US, b"u" * (MAX_KEY_BYTES + 1), b"{}"))[0] is Reason.TOO_LARGE


def test_the_longest_event_of_the_api_fits() -> None:
    widest = "𝕌" * 256
    given = record(
        user_id=widest, item_id=widest, event_id=widest, session_id=widest, backfill=widest, recommendation_id=widest
    )
    assert len(given.key) == MAX_KEY_BYTES
    assert isinstance(decode(given, RULES), Event)


def test_a_detail_is_bounded_and_free_of_nul() -> None:
    _, detail = verdict(record(event_type="\x00" * 1_000))
    assert len(detail) <= MAX_DETAIL_LENGTH
    assert "\x00" not in detail


def test_a_slow_producer_may_be_a_day_ahead_of_the_log_but_no_more() -> None:
    day_us = 24 * HOUR_US
    assert isinstance(decode(record(appended_at_us=NOON_US - day_us), RULES), Event)
    assert verdict(record(appended_at_us=NOON_US - day_us - 1))[0] is Reason.UNUSABLE_TIME
