"""The loop of `aggregate`: own, poll, decide, write, in steps. One thread, no asyncio.

Nothing here is safe by being careful: a batch counts only if the compare-and-swap in its transaction says so. Whatever
goes wrong, the loop forgets what it holds in memory, takes its partitions over anew, and reads on from the database's
position.
"""

import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Protocol

import psycopg
import structlog

from whence.aggregate.batch import Batch
from whence.aggregate.decode import Rules
from whence.aggregate.dedupe import IDS_MAX
from whence.aggregate.lag import LagWatch
from whence.aggregate.metrics import AggregateMetrics
from whence.aggregate.pipeline import process
from whence.aggregate.postponed import Postponed
from whence.aggregate.runs import next_group, runs_of
from whence.aggregate.takeover import OwnedPartition, take_over
from whence.aggregate.write import Writer
from whence.domain.errors import (
    BrokenInvariant,
    DependencyUnavailable,
    LogCutOff,
    LogDamaged,
    LostOwnership,
    PartitionUnavailable,
    WhenceError,
)
from whence.eventlog.port import Consumer, Record
from whence.kit.clock import SYSTEM_TIMES, Times

POLL_RECORDS_MAX = 20_000
"""Records of one turn over all partitions: a backlog spread over many of them still makes large batches."""

IDLE_WAIT_SECONDS = 0.2
"""How long a turn waits for a first record; it bounds how late the loop notices a signal to stop."""

GATHER_WAIT_SECONDS = 0.005
"""How long a turn waits for more once it has records: concurrent events share a transaction, none waits noticeably."""

RENEW_SECONDS = 0.5
"""How often leases are renewed, a twentieth of their life."""

APPLY_SECONDS = 3.0
"""Longest time that a turn begins transactions: with what else a turn does it stays below the life of a lease."""

BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_MAX_SECONDS = 5.0
"""Waits after failed turns double from the first to this, with jitter, and never end: nothing is given up."""


_Decided = tuple[OwnedPartition, Batch]


class Ownership(Protocol):
    """What the loop needs of `whence.eventlog.leases.Leases`."""

    def surplus(self, keep: Collection[int]) -> frozenset[int]:
        """Owned partitions beyond our fair share."""

    def renew(self) -> frozenset[int]:
        """Keep and claim leases; the partitions that are ours now."""

    def release(self, partitions: frozenset[int]) -> None:
        """Give partitions back."""


class Aggregator:
    """Applies the records of the partitions that this process owns."""

    def __init__(
        self,
        log: Consumer,
        ownership: Ownership,
        connect: Callable[[], psycopg.Connection],
        rules: Rules,
        metrics: AggregateMetrics,
        wait: Callable[[float], object] = time.sleep,
        times: Times = SYSTEM_TIMES,
    ) -> None:
        """Wire the loop.

        Args:
            log: Where records come from.
            ownership: Which partitions are ours.
            connect: Opens an autocommitting connection to the scores.
            rules: What events are checked against.
            metrics: Where it reports.
            wait: Sleeps while backing off; one that ends early on a signal to stop is best.
            times: Where it gets the time from.
        """
        self._log = log
        self._ownership = ownership
        self._connect = connect
        self._rules = rules
        self._metrics = metrics
        self._wait = wait
        self._times = times
        self._logger = structlog.get_logger("aggregate")
        self._writer: Writer | None = None
        self._partitions: dict[int, OwnedPartition] = {}
        self._leased: frozenset[int] = frozenset()
        self._halted: dict[int, str] = {}
        self._postponed = Postponed(times)
        self._lag = LagWatch(log, metrics, times)
        self._renew_at = 0.0
        self._failures = 0
        self._too_many_ids = False
        self.turned_at = self._times.monotonic()

    @property
    def halted(self) -> dict[int, str]:
        """The partitions that have stopped until a restart, and why."""
        return dict(self._halted)

    @property
    def failing(self) -> bool:
        """Whether the last turn ended because something that is needed does not answer."""
        return self._failures > 0

    def steps(self) -> Iterator[str]:
        """Turn for ever. Yields the name of the step that comes next; stopping between two of them loses nothing."""
        while True:
            self.turned_at = self._times.monotonic()
            try:
                yield from self._guarded_turn()
            except DependencyUnavailable as error:
                self._start_over()
                yield "back_off"
                self._back_off(error)

    def close(self) -> None:
        """Let go of what the loop opened."""
        if self._writer is not None:
            self._writer.connection.close()
            self._writer = None

    def _guarded_turn(self) -> Iterator[str]:
        """A turn; what another process or the log itself has done to our partitions is taken in."""
        try:
            yield from self._turn()
            self._failures = 0
        except LostOwnership as error:
            self._metrics.fenced()
            self._logger.warning("fenced", reason=str(error))
            self._start_over()
        except LogDamaged as error:
            self._damaged(error, sorted(self._partitions) if error.partition is None else [error.partition])

    def _turn(self) -> Iterator[str]:
        yield "own"
        self._renew()
        for partition in self._postponed.due(self._leased - self._partitions.keys() - self._halted.keys()):
            yield "take_over"
            if not self._take_over(partition):
                break
        yield "poll"
        with self._metrics.stage("poll"):
            records = self._poll()
        yield from self._apply(records)
        yield "report"
        self._lag.look([*self._partitions.values()], caught_up=not records)

    def _renew(self) -> None:
        """Follow the leases: at intervals, since each look is a transaction."""
        if self._times.monotonic() < self._renew_at:
            return
        leased = self._ownership.renew()
        if surplus := self._ownership.surplus(keep=self._halted):
            self._ownership.release(surplus)
            leased -= surplus
        self._renew_at = self._times.monotonic() + RENEW_SECONDS
        for partition in self._halted.keys() - leased:
            self._resume(partition)
        if lost := self._partitions.keys() - leased:
            self._drop(lost)
        self._leased = leased

    def _resume(self, partition: int) -> None:
        """A partition that had stopped is another process's now; should it come back, it is looked at anew."""
        del self._halted[partition]
        self._metrics.resumed(partition)
        self._logger.info("a halted partition went to another process", partition=partition)

    def _drop(self, lost: set[int]) -> None:
        """Forget partitions that others read now."""
        for partition in lost:
            self._forget(partition)
        self._assign()
        self._logger.info("gave partitions up", partitions=sorted(lost))

    def _forget(self, partition: int) -> None:
        self._partitions.pop(partition, None)
        self._lag.forget(partition)

    def _take_over(self, partition: int) -> bool:
        """Take a partition over, or halt it; False if the log does not answer for it now."""
        try:
            with self._metrics.stage("take_over"):
                owned = take_over(self._ready_writer().connection, self._log, partition)
        except LogDamaged as error:
            self._damaged(error, [partition])
            return True
        except PartitionUnavailable as error:
            self._postponed.silent(partition)
            self._left_for_later(partition, error)
            return False
        self._postponed.settled(partition)
        if owned is not None:
            self._partitions[partition] = owned
            self._metrics.taken_over()
            self._assign()
        return True

    def _left_for_later(self, partition: int, error: WhenceError) -> None:
        self._metrics.retried()
        self._logger.warning("partition left for later", partition=partition, reason=str(error))

    def _assign(self) -> None:
        """Read on from the committed positions; what is remembered of users may be another owner's work by now."""
        if self._writer is not None:
            self._writer.forget()
        self._log.assign({number: owned.position.next_offset for number, owned in self._partitions.items()})
        self._metrics.assigned(len(self._partitions))

    def _poll(self) -> list[Record]:
        """What is there, waiting a little for a first record and a moment for more. Sorted by partition."""
        records = self._log.poll(POLL_RECORDS_MAX, IDLE_WAIT_SECONDS)
        if 0 < len(records) < POLL_RECORDS_MAX:
            records += self._log.poll(POLL_RECORDS_MAX - len(records), GATHER_WAIT_SECONDS)
        records.sort(key=attrgetter("partition"))
        return records

    def _apply(self, records: Sequence[Record]) -> Iterator[str]:
        """Apply records, sorted by partition; whatever waits when a partition halts is read again.

        So is what waits when it takes too long: leases want to be renewed between two turns.
        """
        waiting = runs_of(records, self._partitions)
        halted = len(self._halted)
        until = self._times.monotonic() + APPLY_SECONDS
        while group := next_group(waiting):
            yield "decode"
            with self._metrics.stage("decode"):
                work = [
                    (owned, process(run, owned.position, owned.memory, owned.guard, self._rules))
                    for owned, run in group
                ]
            yield "write"
            self._write(work)
            if len(self._halted) > halted:
                return
            if self._times.monotonic() > until and any(waiting):
                self._assign()
                return

    def _write(self, work: Sequence[_Decided]) -> None:
        """Carry batches out together; if one of them cannot be, each by itself, and halt its partition."""
        try:
            self._commit(work)
            refused = []
        except BrokenInvariant as error:
            refused = [(work[0][1], str(error))] if len(work) == 1 else self._refused(work)
        for batch, reason in refused:
            self._halt(batch.partition, f"{reason}; records from offset {batch.first_offset} on wait, restart to retry")
        for owned, batch in work:
            if batch.poisoned and owned.position.next_offset == batch.end_offset:
                self._halt(batch.partition, batch.poisoned)

    def _refused(self, work: Sequence[_Decided]) -> list[tuple[Batch, str]]:
        """The batches that cannot be carried out even by themselves, and why."""
        refused = []
        for owned, batch in work:
            try:
                self._commit([(owned, batch)])
            except BrokenInvariant as error:
                refused.append((batch, str(error)))
        return refused

    def _commit(self, work: Sequence[_Decided]) -> None:
        with self._metrics.stage("write"):
            self._ready_writer().write_all([(batch, owned.epoch) for owned, batch in work])
        for owned, batch in work:
            owned.advance(batch)
        self._log.advertise({batch.partition: batch.end_offset for _, batch in work})
        for _, batch in work:
            self._report(batch)

    def _report(self, batch: Batch) -> None:
        ids = sum(len(owned.memory) for owned in self._partitions.values())
        self._metrics.committed(batch, self._times.now_us(), ids)
        if ids > IDS_MAX and not self._too_many_ids:
            self._logger.warning(
                "more ids to recognise repeats by than planned; run another aggregate process", ids=ids, planned=IDS_MAX
            )
        self._too_many_ids = ids > IDS_MAX
        self._logger.debug(
            "batch",
            partition=batch.partition,
            first_offset=batch.first_offset,
            end_offset=batch.end_offset,
            applied=batch.counts.applied,
            duplicate=batch.counts.duplicate,
            dead=batch.counts.dead,
        )

    def _halt(self, partition: int, reason: str) -> None:
        """Stop one partition until a restart. Its lease is given away last: whoever gets it runs into the same."""
        self._halted[partition] = reason
        self._postponed.settled(partition)
        self._forget(partition)
        self._assign()
        self._metrics.halted(partition)
        self._logger.error("partition halted", partition=partition, reason=reason)

    def _damaged(self, error: LogDamaged, partitions: Sequence[int]) -> None:
        """Halt what is damaged; what may pass is looked at again first."""
        for partition in partitions:
            if isinstance(error, LogCutOff) and not self._postponed.cut_off(partition):
                self._forget(partition)
                self._assign()
                self._left_for_later(partition, error)
            else:
                self._halt(partition, str(error))

    def _start_over(self) -> None:
        """Forget everything that is in memory; the next turn begins with what the database says."""
        self.close()
        for partition in [*self._partitions]:
            self._forget(partition)
        self._renew_at = 0.0
        # If it does not take this either, it gives records of partitions that are not ours, which nobody applies.
        with suppress(DependencyUnavailable):
            self._log.assign({})

    def _back_off(self, error: DependencyUnavailable) -> None:
        self._metrics.retried()
        self._failures += 1
        longest = min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** min(self._failures - 1, 10))
        self._logger.warning("trying again", reason=str(error), failures=self._failures, longest_wait_seconds=longest)
        self._wait(longest * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, no secret

    def _ready_writer(self) -> Writer:
        if self._writer is None:
            self._writer = Writer(self._connect(), self._log.log_id)
        return self._writer
