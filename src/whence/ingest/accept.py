"""Accepting events: check, choose the partition, append to the log, and say so only then."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from whence.domain.errors import (
    DependencyUnavailable,
    InvalidEvent,
    InvalidInput,
    MalformedInput,
    OutcomeUnknown,
    PartlyAppended,
)
from whence.domain.event_checks import check_document, check_event, valid_event
from whence.domain.event_fields import EventRules
from whence.domain.events import EventTypes, LoggedEvent
from whence.domain.identity import new_event_id
from whence.domain.partition import partition_of
from whence.domain.tokens import FreshnessToken, token_of
from whence.eventlog.port import Appender, NewRecord
from whence.ingest.metrics import ACCEPTED, APPEND_DURATION, REFUSED
from whence.kit.clock import Clock
from whence.kit.metrics import Metrics


class Accepted(msgspec.Struct, frozen=True):
    """An event that the log has; as JSON the answer's body."""

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


PARTITION_MEMORY_KEYS = 50_000
"""Keys whose partition is remembered: a visitor sends several events, and murmur2 in Python takes a microsecond."""

_partition_of = lru_cache(maxsize=PARTITION_MEMORY_KEYS)(partition_of)


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of a batch.

    Attributes:
        checked: For each entry its event, or what is wrong with it.
        missing: Places in *checked* of events that are not in the log for certain.
        token: Covers every partition that the others went to; None if there are none.
        failure: Why the log does not have the missing ones, if so.
    """

    checked: Sequence[LoggedEvent | InvalidInput]
    missing: frozenset[int] = frozenset()
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
        self._append_seconds = metrics.distribution(APPEND_DURATION)
        self._accepted = {name: metrics.number(ACCEPTED, name, "single") for name in types.names}

    def valid(self, raw: bytes) -> LoggedEvent | None:
        """The live event that *raw* is, with an id; None if anything is wrong with it."""
        event = valid_event(raw, EventRules(self._types, self._clock.now()))
        return None if event is None else _with_id(event)

    def check(self, raw: bytes) -> LoggedEvent:
        """The same.

        Raises:
            InvalidInput: If it is not a valid event.
        """
        try:
            return _with_id(check_event(raw, EventRules(self._types, self._clock.now())))
        except InvalidInput:
            self._metrics.inc(REFUSED, "single", "invalid")
            raise

    async def accept(self, event: LoggedEvent) -> Accepted:
        """Take one live event.

        Raises:
            NotLogged: If the log did not take it, or its outcome is unknown.
        """
        record = self._record(event)
        event_id = event.event_id or ""
        started = time.perf_counter()
        try:
            (offset,) = await self._appender.append((record,))
        except (DependencyUnavailable, asyncio.CancelledError) as error:
            cause = self._refused(error, "single", 1)
            raise NotLogged(event_id, cause) from error
        finally:
            self._append_seconds.observe(time.perf_counter() - started)
        self._accepted[event.event_type].add()
        return Accepted(event_id, token_of(self._appender.log_id, record.partition, offset + 1))

    async def accept_batch(self, entries: Sequence[Entry], backfill: str | None) -> BatchOutcome:
        """Take the valid ones of up to `MAX_BATCH_EVENTS` entries.

        Args:
            entries: In the client's order.
            backfill: The name of the backfill that they belong to; None for live events.
        """
        rules = EventRules(self._types, self._clock.now(), backfill)
        checked = [_check(entry, rules) for entry in entries]
        places = [place for place, event in enumerate(checked) if isinstance(event, LoggedEvent)]
        events = [event for event in checked if isinstance(event, LoggedEvent)]
        self._metrics.inc(REFUSED, "batch", "invalid", by=len(checked) - len(events))
        records = [self._record(event) for event in events]
        offsets, failure = await self._append_known(records)
        for event_type, count in Counter(
            [event.event_type for event, offset in zip(events, offsets, strict=True) if offset is not None]
        ).items():
            self._metrics.inc(ACCEPTED, event_type, "batch", by=count)
        missing = [place for place, offset in zip(places, offsets, strict=True) if offset is None]
        return BatchOutcome(checked, frozenset(missing), self._token(records, offsets), failure)

    async def _append_known(
        self, records: Sequence[NewRecord]
    ) -> tuple[Sequence[int | None], DependencyUnavailable | None]:
        """The offsets of those records that are in the log for certain, and why it is not all, if so."""
        if not records:
            return [], None
        started = time.perf_counter()
        try:
            return await self._appender.append(records), None
        except (DependencyUnavailable, asyncio.CancelledError) as error:
            offsets = error.offsets if isinstance(error, PartlyAppended) else [None] * len(records)
            return offsets, self._refused(error, "batch", offsets.count(None))
        finally:
            self._append_seconds.observe(time.perf_counter() - started)

    def _refused(
        self, error: DependencyUnavailable | asyncio.CancelledError, transport: str, events: int
    ) -> DependencyUnavailable:
        """Count events that the log did not take, or did not say so; what to tell the client."""
        if isinstance(error, asyncio.CancelledError):  # the edge gives up what is under way when the service stops
            error = OutcomeUnknown("log", "this service stops before the event log has answered")
        reason = "unknown" if isinstance(error, OutcomeUnknown) else "unavailable"
        self._metrics.inc(REFUSED, transport, reason, by=events)
        return error

    def _record(self, event: LoggedEvent) -> NewRecord:
        key = event.subject.encode()
        return NewRecord(_partition_of(key, self._appender.partitions), key, self._encode(event))

    def _token(self, records: Sequence[NewRecord], offsets: Sequence[int | None]) -> str | None:
        next_offsets: dict[int, int] = {}
        for record, offset in zip(records, offsets, strict=True):
            if offset is not None and offset >= next_offsets.get(record.partition, 0):
                next_offsets[record.partition] = offset + 1
        return str(FreshnessToken(self._appender.log_id, next_offsets)) if next_offsets else None


def _check(entry: Entry, rules: EventRules) -> LoggedEvent | InvalidInput:
    event = valid_event(entry, rules) if isinstance(entry, bytes) else None
    if event is not None:
        return _with_id(event)
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
