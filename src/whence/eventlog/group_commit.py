"""Group commit: concurrent appends become one write, and each caller learns the outcome of its own.

While one group is being written the next one gathers, so that the number of transactions adapts to the load without
any waiting: a lone append goes at once, a thousand at a time share a commit.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from whence.domain.errors import BrokenInvariant, DependencyUnavailable, OutcomeUnknown, WhenceError
from whence.eventlog.port import APPEND_TIMEOUT_SECONDS, NewRecord
from whence.kit.deadlines import Deadlines

MAX_GROUP_RECORDS = 2_000
"""Records of one write: some 20 ms of PostgreSQL's time, so that a lone append behind it does not wait long."""

MAX_GROUP_BYTES = 8 * 2**20
"""Bytes of one write: bounds one statement's memory on both sides."""

MAX_QUEUED_RECORDS = 20_000
"""Records that wait for a write: about a second of work. More would only time out, so further appends are refused."""

MAX_QUEUED_BYTES = 64 * 2**20
"""Bytes that wait for a write: bounds memory when events are large."""

Write = Callable[[Sequence[NewRecord]], Awaitable[list[int]]]
"""Writes records all or nothing and gives their offsets in order; raises as `Appender.append` does."""


class _Call:
    """One append that waits for its outcome."""

    __slots__ = ("outcome", "records", "size_bytes", "under_way")

    def __init__(self, records: Sequence[NewRecord], outcome: asyncio.Future[list[int]]) -> None:
        self.records = records
        self.size_bytes = sum(len(record.key) + len(record.value) for record in records)
        self.under_way = False
        self.outcome = outcome


class GroupCommit:
    """Gathers appends and hands them, group by group, to one writer. Belongs to one event loop."""

    def __init__(self, dependency: str, write: Write, timeout_seconds: float = APPEND_TIMEOUT_SECONDS) -> None:
        self._dependency = dependency
        self._write = write
        self._timeout_seconds = timeout_seconds
        self._queue: deque[_Call] = deque()
        self._queued_records = 0
        self._queued_bytes = 0
        self._closing = False
        self._deadlines = Deadlines()
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="event log writer")

    async def append(self, records: Sequence[NewRecord]) -> list[int]:
        """Write records together with whatever else waits; no records make a round trip that writes nothing.

        Raises:
            DependencyUnavailable: Nothing was written: refused, full, or no turn within the time limit.
            OutcomeUnknown: The write was under way when the time was up or the answer was lost.
        """
        call = _Call(records, self._loop.create_future())
        self._enqueue(call)
        try:
            return await self._deadlines.wait(call.outcome, time.monotonic() + self._timeout_seconds)
        except TimeoutError:
            message = f"the event log did not answer within {self._timeout_seconds:g} s"
            family = OutcomeUnknown if call.under_way else DependencyUnavailable
            raise family(self._dependency, message) from None

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closing = True
        self._wake.set()
        with suppress(asyncio.CancelledError):
            await self._task

    def _enqueue(self, call: _Call) -> None:
        if self._closing:
            raise DependencyUnavailable(self._dependency, "the event log's writer is closing")
        records, size = self._queued_records + len(call.records), self._queued_bytes + call.size_bytes
        if records > MAX_QUEUED_RECORDS or size > MAX_QUEUED_BYTES:
            raise DependencyUnavailable(self._dependency, "too many events wait for the event log; send again later")
        self._queued_records, self._queued_bytes = records, size
        self._queue.append(call)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            if group := self._take_group():
                await self._write_group(group)
            elif self._closing:
                return
            else:
                self._wake.clear()

    def _take_group(self) -> list[_Call]:
        """The oldest calls that fit into one write, without those whose callers have gone."""
        group: list[_Call] = []
        records, size = 0, 0
        while self._queue:
            call = self._queue[0]
            records, size = records + len(call.records), size + call.size_bytes
            if group and (records > MAX_GROUP_RECORDS or size > MAX_GROUP_BYTES):
                break
            self._queue.popleft()
            self._queued_records -= len(call.records)
            self._queued_bytes -= call.size_bytes
            if call.outcome.done():
                records, size = records - len(call.records), size - call.size_bytes
            else:
                call.under_way = True
                group.append(call)
        return group

    async def _write_group(self, group: list[_Call]) -> None:
        records = [record for call in group for record in call.records]
        try:
            offsets = await self._write(records)
        except WhenceError as error:
            _settle(group, error)
        except Exception as error:  # noqa: BLE001  # whatever it is, the callers must hear of it and the writer go on
            _settle(group, BrokenInvariant(f"the event log's writer failed: {error!r}"))
        else:
            start = 0
            for call in group:
                end = start + len(call.records)
                if not call.outcome.done():
                    call.outcome.set_result(offsets[start:end])
                start = end


def _settle(group: list[_Call], error: WhenceError) -> None:
    for call in group:
        if not call.outcome.done():
            call.outcome.set_exception(error)
