"""Accepting events: check, choose the partition, append to the log, and say so only then."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from whence.domain.errors import DependencyUnavailable, InvalidEvent, InvalidInput, MalformedInput, OutcomeUnknown
from whence.domain.event_checks import check_document, check_event
from whence.domain.event_fields import EventRules
from whence.domain.events import EventTypes, LoggedEvent
from whence.domain.identity import new_event_id
from whence.domain.partition import partition_of
from whence.domain.tokens import FreshnessToken
from whence.eventlog.port import Appender, NewRecord
from whence.ingest.metrics import ACCEPTED, APPEND_DURATION, REFUSED
from whence.kit.clock import Clock
from whence.kit.metrics import Metrics

APPEND_TIMEOUT_SECONDS = 5.0
"""A client hears of its event's fate within this time; below the grace that a stop gives to requests in flight."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that the log has."""

    event_id: str
    token: str


class NotLogged(Exception):
    """The log did not take an event, or did not say so; carries the id under which to send it again."""

    def __init__(self, event_id: str, cause: DependencyUnavailable) -> None:
        super().__init__(str(cause))
        self.event_id = event_id
        self.cause = cause


Entry = bytes | object
"""One entry of a batch: its JSON, or the document where the whole batch had to be read to find what is wrong."""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of a batch.

    Attributes:
        checked: For each entry its event, or what is wrong with it.
        token: Covers every partition that the events went to; None if none is in the log for certain.
        failure: Why the log does not have the events, if so.
    """

    checked: Sequence[LoggedEvent | InvalidInput]
    token: str | None = None
    failure: DependencyUnavailable | None = None


class Acceptor:
    """The way of an event from a client's JSON into the log."""

    def __init__(self, appender: Appender, types: EventTypes, clock: Clock, metrics: Metrics) -> None:
        self._appender = appender
        self._types = types
        self._clock = clock
        self._metrics = metrics
        self._encode = msgspec.json.Encoder().encode

    async def accept(self, raw: bytes) -> Accepted:
        """Take one live event.

        Raises:
            InvalidInput: If it is not a valid event.
            NotLogged: If the log did not take it, or its outcome is unknown.
        """
        try:
            event = _with_id(check_event(raw, EventRules(self._types, self._clock.now())))
        except InvalidInput:
            self._metrics.inc(REFUSED, "single", "invalid")
            raise
        record = self._record(event)
        event_id = event.event_id or ""
        try:
            (offset,) = await self._append([record], "single")
        except DependencyUnavailable as error:
            raise NotLogged(event_id, error) from error
        self._metrics.inc(ACCEPTED, event.event_type, "single")
        return Accepted(event_id, self._token({record.partition: offset + 1}))

    async def accept_batch(self, entries: Sequence[Entry], backfill: str | None) -> BatchOutcome:
        """Take the valid ones of up to `MAX_BATCH_EVENTS` entries: all of those or none.

        Args:
            entries: In the client's order.
            backfill: The name of the backfill that they belong to; None for live events.
        """
        rules = EventRules(self._types, self._clock.now(), backfill)
        checked = [_check(entry, rules) for entry in entries]
        events = [event for event in checked if isinstance(event, LoggedEvent)]
        self._metrics.inc(REFUSED, "batch", "invalid", by=len(checked) - len(events))
        records = [self._record(event) for event in events]
        try:
            offsets = await self._append(records, "batch") if records else []
        except DependencyUnavailable as error:
            return BatchOutcome(checked, failure=error)
        for event_type, count in Counter(event.event_type for event in events).items():
            self._metrics.inc(ACCEPTED, event_type, "batch", by=count)
        next_offsets: dict[int, int] = {}
        for record, offset in zip(records, offsets, strict=True):
            next_offsets[record.partition] = max(next_offsets.get(record.partition, 0), offset + 1)
        return BatchOutcome(checked, self._token(next_offsets) if offsets else None)

    async def check(self) -> None:
        """Raise DependencyUnavailable if the log does not answer now."""
        await self._appender.check()

    def _record(self, event: LoggedEvent) -> NewRecord:
        key = event.subject.encode()
        return NewRecord(partition_of(key, self._appender.partitions), key, self._encode(event))

    async def _append(self, records: Sequence[NewRecord], transport: str) -> list[int]:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(APPEND_TIMEOUT_SECONDS):
                offsets = await self._appender.append(records)
        except TimeoutError:
            self._metrics.inc(REFUSED, transport, "unknown", by=len(records))
            raise OutcomeUnknown("log", f"the event log did not answer within {APPEND_TIMEOUT_SECONDS:g} s") from None
        except DependencyUnavailable as error:
            reason = "unknown" if isinstance(error, OutcomeUnknown) else "unavailable"
            self._metrics.inc(REFUSED, transport, reason, by=len(records))
            raise
        finally:
            self._metrics.observe(APPEND_DURATION, time.perf_counter() - started)
        return offsets

    def _token(self, next_offsets: Mapping[int, int]) -> str:
        return str(FreshnessToken(self._appender.log_id, next_offsets))


def _check(entry: Entry, rules: EventRules) -> LoggedEvent | InvalidInput:
    try:
        return _with_id(check_event(entry, rules) if isinstance(entry, bytes) else check_document(entry, rules))
    except MalformedInput as error:
        return InvalidEvent(error.problems)
    except InvalidEvent as error:
        return error


def _with_id(event: LoggedEvent) -> LoggedEvent:
    if event.event_id is not None:
        return event
    return msgspec.structs.replace(event, event_id=new_event_id(time.time_ns() // 1_000_000, os.urandom(10)))
