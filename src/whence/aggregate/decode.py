"""From a record's bytes to an event that can be applied, or to the reason why it never can be."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec

from whence.aggregate.batch import DeadLetter, Reason
from whence.domain.events import MAX_EVENT_BYTES, MAX_ID_LENGTH, LoggedEvent, event_time_us
from whence.domain.identity import event_hash, record_event_id
from whence.domain.partition import partition_of
from whence.eventlog.port import Record
from whence.kit.clock import from_us, to_us

MAX_VALUE_BYTES = MAX_EVENT_BYTES + 6 * 1024
"""A record's value: the largest event that the API takes, and room for what ingest adds (id, time, backfill name). A
foreign producer may use that room as it likes."""

MAX_KEY_BYTES = 4 * MAX_ID_LENGTH
"""A record's key: an id in UTF-8."""

MAX_AHEAD_US = 86_400 * 1_000_000
"""An event time may be this far after the append time. Ingest allows 60 s; a foreign producer's clock may be off, but a
time far in the future would lead every list for years."""

MAX_DETAIL_LENGTH = 500
"""Characters of the sentence that is kept with a dead letter."""

PARTITION_MEMORY_KEYS = 65_536
"""Keys whose partition is remembered in a process: murmur2 in Python costs as much as decoding an event."""


class Event(NamedTuple):
    """An event as the fold needs it; times in microseconds since the epoch."""

    offset: int
    user: str
    item: str
    type_code: int
    time_us: int
    accepted_us: int
    hash: int
    backfill: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """What an event is checked against.

    Attributes:
        partitions: How many the log has.
        type_codes: The declared event types and their codes in the database.
    """

    partitions: int
    type_codes: Mapping[str, int]


class _Dead(Exception):
    """The verdict, on its way to `decode`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def decode(record: Record, rules: Rules) -> Event | DeadLetter:
    """The event that a record carries, or its verdict: dead, for good."""
    try:
        return _event(record, rules)
    except _Dead as verdict:
        detail = str(verdict).replace("\x00", "\\0")[:MAX_DETAIL_LENGTH]
        return DeadLetter(record.offset, verdict.reason, detail, record.key, record.value, record.appended_at_us)


_decode_json = msgspec.json.Decoder(LoggedEvent).decode
_partition_of = lru_cache(maxsize=PARTITION_MEMORY_KEYS)(partition_of)


def _event(record: Record, rules: Rules) -> Event:
    partition, offset, appended_at_us, key, value = record
    if len(key) > MAX_KEY_BYTES or len(value) > MAX_VALUE_BYTES:
        raise _Dead(
            Reason.TOO_LARGE,
            f"key {len(key)} of at most {MAX_KEY_BYTES} bytes, value {len(value)} of at most {MAX_VALUE_BYTES}",
        )
    logged = _parsed(value)
    code = rules.type_codes.get(logged.event_type)
    if code is None:
        raise _Dead(Reason.UNKNOWN_EVENT_TYPE, f"{logged.event_type[:64]!r} is not in WHENCE_EVENT_TYPES")
    user = logged.user_id or logged.session_id or ""
    if user.encode() != key or not _is_id(user):
        raise _wrong_user(logged, key)
    if _partition_of(key, rules.partitions) != partition:
        right = _partition_of(key, rules.partitions)
        raise _Dead(Reason.WRONG_PARTITION, f"this key belongs into partition {right} of {rules.partitions}")
    item, event_id = logged.item_id, logged.event_id
    if not _is_id(item):
        raise _wrong_id("item_id", item)
    if event_id is None:
        event_id = record_event_id(partition, offset)
    elif not _is_id(event_id):
        raise _wrong_id("event_id", event_id)
    time_us, accepted_us = _times(logged, appended_at_us)
    return Event(
        offset, user, item, code, time_us, accepted_us, event_hash(user, event_id), logged.backfill is not None
    )


def _parsed(value: bytes) -> LoggedEvent:
    try:
        return _decode_json(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _Dead(Reason.UNDECODABLE, f"not the JSON of an event: {error}") from error


def _is_id(text: str) -> bool:
    return 0 < len(text) <= MAX_ID_LENGTH and "\x00" not in text and text != "." and text != ".."


def _wrong_user(logged: LoggedEvent, key: bytes) -> _Dead:
    """Why this is not the user that a record with *key* may have."""
    user = logged.subject
    if not user:
        return _Dead(Reason.INVALID_ID, "user_id or session_id is needed")
    if not _is_id(user):
        return _wrong_id("user_id" if logged.user_id else "session_id", user)
    return _Dead(
        Reason.WRONG_KEY, f"the record's key must be the event's user (else session) in UTF-8, not {key[:64]!r}"
    )


def _wrong_id(field: str, text: str) -> _Dead:
    if not 0 < len(text) <= MAX_ID_LENGTH:
        return _Dead(Reason.INVALID_ID, f"{field} has {len(text)} characters; 1 to {MAX_ID_LENGTH} are right")
    return _Dead(Reason.INVALID_ID, f"{field} may not be '.' or '..' or hold the character NUL")


def _times(logged: LoggedEvent, appended_at_us: int) -> tuple[int, int]:
    """The event time and the time of acceptance, in microseconds since the epoch."""
    received_at, occurred_at = logged.received_at, logged.occurred_at
    accepted_us = appended_at_us if received_at is None else _usable_us("received_at", received_at)
    occurred_us = None if occurred_at is None else _usable_us("occurred_at", occurred_at)
    time_us = event_time_us(occurred_us, accepted_us)
    if not 0 <= time_us <= appended_at_us + MAX_AHEAD_US:
        raise _Dead(
            Reason.UNUSABLE_TIME,
            f"the event's time {from_us(time_us).isoformat()} is before 1970 or more than a day ahead",
        )
    return time_us, accepted_us


def _usable_us(field: str, moment: datetime) -> int:
    if moment.tzinfo is None or not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise _Dead(Reason.UNUSABLE_TIME, f"{field} {moment.isoformat()} needs an offset and a year from 1970 to 9998")
    return to_us(moment)


_FIRST_YEAR = datetime.fromtimestamp(0, UTC).year
_LAST_YEAR = 9_998
