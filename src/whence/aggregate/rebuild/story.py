"""The story of a rebuild: replay beside the live installation, catch up, fence, compare, swap.

Until the one transaction that swaps has committed, the installation is as it was: a rebuild that dies leaves a shadow
that nobody reads, and the next one drops it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg

from whence.aggregate.compactor import Compactor
from whence.aggregate.declare import event_type_codes
from whence.aggregate.decode import Rules
from whence.aggregate.metrics import AggregateMetrics
from whence.aggregate.positions import StoredPosition, check_log, stored_positions, what_is_gone
from whence.aggregate.rebuild.differences import TableDifferences, differences
from whence.aggregate.rebuild.replay import Replay
from whence.aggregate.rebuild.shadow import (
    analyze,
    bytes_of_tables,
    check_version,
    connect_shadow,
    drop_shadow,
    make_shadow,
)
from whence.aggregate.rebuild.swap import TablesBusy, fenced, folding_alone, swap
from whence.domain.errors import DependencyUnavailable, LogDamaged
from whence.eventlog.port import Scanner
from whence.kit.clock import Clock
from whence.kit.database import conninfo, database_errors
from whence.kit.failpoints import failpoint
from whence.kit.pgarrays import load_bigint_arrays, register
from whence.kit.sqlfiles import load_statements

NEAR_RECORDS = 5_000
"""So close the replay comes before it fences: what is left takes well under a second, and nobody waits for more."""

CATCH_UPS_MAX = 30
"""Rounds to come that close. Each replays what came in during the one before; at half the replay's speed thirty would
do for any history."""

FENCES_MAX = 20
FENCE_REST_SECONDS = 3.0
"""Tries to fence and swap, and the rest between two of them, in which the replay catches up again."""

NO_LIMIT_MS = 0
"""Comparing large tables takes as long as it takes; the waits for locks have limits of their own."""

Progress = Callable[[str], None]

_SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted.

    Attributes:
        swap: Whether to put the new tables in place, or to compare alone.
        without_beginning: Whether to go on though the log has lost its first records: what only they said is lost.
    """

    swap: bool = True
    without_beginning: bool = False


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild did.

    Attributes:
        swapped: Whether the new tables are in place.
        log_id, next_offsets: Which log both sides were compared at, and at which offsets by partition.
        tables: What differed.
        gone: What the log no longer has, a sentence for each partition.
        records, seconds: What was replayed, and what all of it took.
        fenced_seconds: For how long nobody else applied events.
    """

    log_id: str
    swapped: bool = False
    next_offsets: dict[int, int] = field(default_factory=dict)
    tables: list[TableDifferences] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    records: int = 0
    seconds: float = 0.0
    fenced_seconds: float = 0.0

    @property
    def difference_count(self) -> int:
        """Rows that differ, all tables together."""
        return sum(table.rows for table in self.tables)

    @property
    def records_per_second(self) -> float:
        """The pace of the whole."""
        return self.records / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "swapped": self.swapped,
            "log_id": self.log_id,
            "offsets": {str(partition): offset for partition, offset in self.next_offsets.items()},
            "differences": self.difference_count,
            "tables": {table.table: table.as_dict() for table in self.tables},
            "gone": self.gone,
            "records": self.records,
            "seconds": round(self.seconds, 3),
            "fenced_seconds": round(self.fenced_seconds, 3),
            "records_per_second": round(self.records_per_second),
        }


class Rebuild:
    """One rebuild of an installation."""

    def __init__(self, url: str, namespace: str, scanner: Scanner, clock: Clock, progress: Progress) -> None:
        """Wire it.

        Args:
            url, namespace: The installation.
            scanner: The log that it is aggregated from.
            clock: Says which buckets and pairs still count.
            progress: Takes a line now and then.
        """
        self._url = url
        self._namespace = namespace
        self._scanner = scanner
        self._clock = clock
        self._progress = progress

    def run(self, wish: Wish) -> Rebuilt:
        """Replay, compare and, if wished, swap.

        Raises:
            DependencyUnavailable: A store does not answer, another rebuild is at it, or the tables are never free.
            InvalidInput: The tables are of an older version, or something depends on them that cannot be carried over.
            LogDamaged: The log is another one or has lost records that were applied.
        """
        begun = time.monotonic()
        done = Rebuilt(self._scanner.log_id)
        with database_errors(), self._alone() as connection:
            held = stored_positions(connection)
            done.gone = self._check_log(held, wish)
            if not held:
                self._progress("nothing was ever aggregated")
                return done
            megabytes = max(1.0, bytes_of_tables(connection, self._namespace) / 2**20)
            self._progress(f"the shadow will take about {megabytes:,.0f} MB of disk, as the tables do now")
            try:
                for name in make_shadow(connection, self._url, self._namespace):
                    self._progress(f"will not be carried over: {name}")
                failpoint("rebuild.shadow_made")
                with closing(connect_shadow(self._url, self._namespace)) as shadow:
                    self._replay_and_swap(connection, shadow, wish, done)
            finally:
                with suppress(psycopg.Error):
                    drop_shadow(connection, self._namespace)
        done.seconds = time.monotonic() - begun
        return done

    @contextmanager
    def _alone(self) -> Iterator[psycopg.Connection]:
        """An autocommitting connection whose session holds the lock of the installation's only rebuild."""
        text = conninfo(self._url, self._namespace, "rebuild", NO_LIMIT_MS)
        with closing(psycopg.connect(text, autocommit=True)) as connection:
            row = connection.execute(_SQL["lock"]).fetchone()
            if not (row and row[0]):
                raise DependencyUnavailable("postgresql", "another rebuild is under way: wait for its end")
            yield connection

    def _check_log(self, held: Sequence[StoredPosition], wish: Wish) -> list[str]:
        for one in held:
            check_log(one, self._scanner)
        gone = [sentence for one in held if (sentence := what_is_gone(one, self._scanner))]
        if gone and not wish.without_beginning:
            raise LogDamaged(
                f"{'; '.join(gone)}: a rebuild would lose what came before; "
                "say --without-beginning if that is what you want"
            )
        return gone

    def _replay_and_swap(
        self, connection: psycopg.Connection, shadow: psycopg.Connection, wish: Wish, done: Rebuilt
    ) -> None:
        rules = Rules(self._scanner.partitions, event_type_codes(connection))
        replay = Replay(shadow, self._scanner, rules, self._clock, self._progress)
        for _ in range(FENCES_MAX):
            self._catch_up(connection, replay)
            analyze(shadow)
            failpoint("rebuild.caught_up")
            try:
                self._finish(connection, replay, rules, wish, done)
            except TablesBusy as error:
                self._progress(f"{error}; trying again")
                time.sleep(FENCE_REST_SECONDS)
            else:
                done.records = replay.records
                return
        raise DependencyUnavailable("postgresql", "others have held the tables all the time: run it again later")

    def _catch_up(self, connection: psycopg.Connection, replay: Replay) -> None:
        for _ in range(CATCH_UPS_MAX):
            targets = stored_positions(connection)
            if (behind := replay.behind(targets)) <= NEAR_RECORDS:
                break
            self._progress(f"{behind:,} records to replay")
            replay.reach(targets)
            replay.fold()
        else:
            raise DependencyUnavailable(
                "postgresql", "events are applied as fast as they are replayed: run it again at a quieter hour"
            )

    def _finish(self, connection: psycopg.Connection, replay: Replay, rules: Rules, wish: Wish, done: Rebuilt) -> None:
        """What happens behind the fence: all that can be done before it is done before it."""
        with folding_alone(self._url, self._namespace) as folding:
            self._fold_serving(folding, rules)
            self._catch_up(connection, replay)
            with fenced(connection, self._namespace):
                begun = time.monotonic()
                self._progress("aggregate waits: the last records, then comparing")
                failpoint("rebuild.fenced")
                check_version(connection)
                targets = stored_positions(connection)
                replay.reach(targets)
                replay.fold()
                replay.rank()
                self._fold_serving(folding, rules)
                done.next_offsets = {held.partition: held.next_offset for held in targets}
                done.tables = differences(connection, self._namespace, self._clock.now())
                failpoint("rebuild.compared")
                if wish.swap:
                    swap(connection, self._namespace)
                    failpoint("rebuild.before_commit")
        failpoint("rebuild.after_commit")
        done.swapped = wish.swap
        done.fenced_seconds = time.monotonic() - begun

    def _fold_serving(self, folding: psycopg.Connection, rules: Rules) -> None:
        """Bring the serving side's counts to its positions, as its compactor would within a minute."""
        register(folding)
        load_bigint_arrays(folding)
        compactor = Compactor(
            lambda: folding, AggregateMetrics(rules.type_codes, self._scanner.partitions), self._clock
        )
        as_of = self._clock.now()
        while compactor.fold(folding, as_of):
            pass
