"""The replay: the log's records through the consumer's own code into the shadow, up to given offsets."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import psycopg

from whence.aggregate.batch import DeadLetter, Reason
from whence.aggregate.compactor import Compactor
from whence.aggregate.decode import Event, Rules, decode
from whence.aggregate.dedupe import Mask, Window
from whence.aggregate.metrics import AggregateMetrics
from whence.aggregate.pipeline import Judge, Position, process
from whence.aggregate.poison import PoisonGuard
from whence.aggregate.positions import StoredPosition, verdicts
from whence.aggregate.runs import runs_of_one
from whence.aggregate.takeover import OwnedPartition, PartitionMemory
from whence.aggregate.write import Writer
from whence.domain.errors import LogDamaged
from whence.eventlog.port import Record, Scanner
from whence.kit.clock import Clock
from whence.kit.pgarrays import load_bigint_arrays, register
from whence.kit.sqlfiles import load_statements

RECORDS_AT_ONCE = 20_000
"""Records that are taken from the log before they are applied, as in the consumer's largest turn."""

BYTES_AT_ONCE = 32 * 2**20
"""Bytes of their values: large events come in shorter lists."""

FOLD_RECORDS = 200_000
"""Records after which segments are folded: fewer, larger folds are cheaper, and the segments in wait take disk."""

PROGRESS_SECONDS = 5.0
"""Between two lines that tell how far it is."""

EPOCH = 0
"""The shadow has one writer."""

_SQL = load_statements(__file__)


class Replay:
    """Brings the shadow tables forward. Not for use after an error."""

    def __init__(
        self,
        shadow: psycopg.Connection,
        scanner: Scanner,
        rules: Rules,
        clock: Clock,
        progress: Callable[[str], None],
    ) -> None:
        """Begin with empty shadow tables.

        Args:
            shadow: Of `connect_shadow`.
            scanner: The log that the scores were aggregated from.
            rules: With every event type that was ever declared: what was applied must not die for want of one.
            clock: Says which buckets and epochs still count.
            progress: Takes a line now and then.
        """
        register(shadow)
        load_bigint_arrays(shadow)
        self.records = 0
        self._shadow = shadow
        self._scanner = scanner
        self._rules = rules
        self._clock = clock
        self._progress = progress
        self._begun = self._told_at = time.monotonic()
        self._unfolded = 0
        self._partitions: dict[int, OwnedPartition] = {}
        self._writer = Writer(shadow, scanner.log_id)
        self._compactor = Compactor(lambda: shadow, AggregateMetrics(rules.type_codes, scanner.partitions), clock)

    def behind(self, targets: Sequence[StoredPosition]) -> int:
        """How many offsets there are up to these positions."""
        return sum(held.next_offset - self._partition(held).position.next_offset for held in targets)

    def reach(self, targets: Sequence[StoredPosition]) -> None:
        """Go on to exactly these positions.

        Raises:
            DependencyUnavailable: PostgreSQL or the log does not answer.
            LogDamaged: The log no longer has what was applied.
        """
        left = self.behind(targets)
        for held in targets:
            owned = self._partition(held)
            start = owned.position.next_offset
            for records in self._lists(held.partition, start, held.next_offset):
                self._apply(owned, records, held)
                self._tell(held, left - (owned.position.next_offset - start))
            if owned.position.next_offset != held.next_offset:
                raise LogDamaged(
                    f"partition {held.partition} of the log ends at {owned.position.next_offset}, "
                    f"the scores hold everything below {held.next_offset}: restore the missing records",
                    held.partition,
                )
            left -= held.next_offset - start

    def fold(self) -> None:
        """Fold everything into pairs, neighbour lists and trends."""
        as_of = self._clock.now()
        while self._compactor.fold(self._shadow, as_of):
            pass
        self._compactor.clean(self._shadow, as_of)
        self._unfolded = 0

    def rank(self) -> None:
        """Make the trend lists."""
        self._compactor.rank(self._shadow, self._clock.now())

    def _partition(self, held: StoredPosition) -> OwnedPartition:
        """The partition's state; it begins where its scores did, or where the log does by now."""
        owned = self._partitions.get(held.partition)
        if owned is None:
            base = max(held.base_offset, min(self._scanner.watermarks(held.partition).low, held.next_offset))
            place = {"partition": held.partition, "log_id": held.log_id, "base": base, "epoch": EPOCH}
            self._shadow.execute(_SQL["begin"], place)
            memory = PartitionMemory(self._shadow, held.partition, Window())
            owned = OwnedPartition(Position(held.partition, base, 0), EPOCH, memory, _NoLimit())
            self._partitions[held.partition] = owned
        return owned

    def _lists(self, partition: int, start: int, end: int) -> Iterator[list[Record]]:
        """The records of a range in lists of about `RECORDS_AT_ONCE` or `BYTES_AT_ONCE`."""
        waiting: list[Record] = []
        waiting_bytes = 0
        for records in self._scanner.scan(partition, start, end) if start < end else ():
            waiting += records
            waiting_bytes += sum(len(record.value) for record in records)
            if len(waiting) >= RECORDS_AT_ONCE or waiting_bytes >= BYTES_AT_ONCE:
                yield waiting
                waiting, waiting_bytes = [], 0
        if waiting:
            yield waiting

    def _apply(self, owned: OwnedPartition, records: list[Record], held: StoredPosition) -> None:
        judge = _judge(verdicts(self._shadow, held.partition, records[0].offset, records[-1].offset + 1))
        for _, run in runs_of_one(owned, records):
            batch = process(run, owned.position, owned.memory, owned.guard, self._rules, judge)
            # The letters themselves are kept where they are.
            self._writer.write(replace(batch, dead=[]), EPOCH)
            owned.advance(batch)
        self.records += len(records)
        self._unfolded += len(records)
        if self._unfolded >= FOLD_RECORDS:
            self.fold()

    def _tell(self, held: StoredPosition, left: int) -> None:
        now = time.monotonic()
        if now - self._told_at >= PROGRESS_SECONDS:
            self._told_at = now
            rate = self.records / (now - self._begun)
            self._progress(
                f"partition {held.partition}: {self.records:,} records replayed, {rate:,.0f}/s, {left:,} to go"
            )


class _NoLimit(PoisonGuard):
    """The verdicts were passed long ago: however many there are, the replay goes on."""

    def first_excess(self, dead: Mask) -> int | None:  # noqa: ARG002  # as the base has it
        return None


def _judge(dead: frozenset[int]) -> Judge:
    """The verdicts as they were passed: a record once dead is dead again, one that was applied cannot die."""

    def judge(record: Record, rules: Rules) -> Event | DeadLetter:
        if record.offset in dead:
            return DeadLetter(record.offset, Reason.UNDECODABLE, "", b"", b"", record.appended_at_us)
        found = decode(record, rules)
        if isinstance(found, DeadLetter):
            raise LogDamaged(
                f"the record {record.partition}:{record.offset} was applied and has no verdict, but this version "
                f"cannot apply it: {found.detail}",
                record.partition,
            )
        return found

    return judge
