"""The compactor: what all users share is folded here, so that consumers never contend for it.

A role inside `serve aggregate`: every process tries, the one that holds the advisory lock works. It folds the deltas of
new segments into trend buckets exactly once (buckets and `compactor_position` move in one transaction), ranks the
trend lists, and removes what has served its time.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from threading import Event

import numpy as np
import psycopg
import structlog

from whence.aggregate.metrics import AggregateMetrics
from whence.aggregate.neighbours import EPOCHS_KEPT
from whence.aggregate.pair_fold import first_epoch_kept, fold_pairs
from whence.aggregate.touches import PAIR_ROW
from whence.aggregate.trend import LEVELS, Level, bucket_deltas
from whence.aggregate.write import unpacked_longs
from whence.domain.errors import WhenceError
from whence.domain.events import DEDUPE_WINDOW_HOURS
from whence.domain.pairs import EPOCH_SECONDS
from whence.kit.clock import SYSTEM_TIMES, Clock, Times
from whence.kit.database import database_errors
from whence.kit.failpoints import failpoint
from whence.kit.pgarrays import BigintArray, IntArray, SmallintArray, TimestampArray, load_bigint_arrays, register
from whence.kit.sqlfiles import load_statements

TURN_SECONDS = 2.0
"""Between two turns: lists may be a minute late, and folding many segments at once is cheaper."""

SEGMENTS_MAX = 500
"""Segments of each partition in one fold: bounds the length of a transaction."""

FOLD_BYTES_MAX = 4 * 1024 * 1024
"""Bytes of pairs in one fold, about 90,000 first touches: unpacked and sorted they take some 200 MB of memory."""

FOLD_REST = 4
"""A fold is followed by this many times its own duration without one. It loads all counts of every item touched, so
that fewer, larger folds are cheaper: a dense catalogue spends a fifth of a core."""

LISTS_BEHIND_SECONDS = 30.0
"""What the rests keep to: an event that just missed a fold is in the lists after that fold, the rest, and the next one.
The promise is a minute, on a busy machine too, where the next fold takes longer."""

LIST_ITEMS_MAX = 500
"""Items of a trend list: longer ones changed no measured list."""

RANK_SECONDS = 10.0
"""Between two rankings while events trickle: each writes up to 1,500 rows."""

RANK_SHARE = 0.01
"""New events that are more than this share of all in the buckets are ranked at once: a young shop's lists move fast."""

RANK_IDLE_SECONDS = 30.0
"""Lists are ranked this often even without events: buckets grow too old."""

RANK_REST = 10
"""A ranking is followed by this many times its own duration without one: a large shop spends a tenth of a core."""

CLEAN_SECONDS = 60.0
"""Between two rounds of housekeeping."""

CLEAN_ROWS_MAX = 10_000
"""Rows that one statement of housekeeping removes, so that it never runs long; the next round goes on."""

BOOKS_SECONDS = 15.0
"""Between two looks at the books for the metrics."""

LETTERS_COUNTED_MAX = 10_000
"""Pending dead letters that are counted; more are shown as this number."""

FROZEN_SECONDS = 20
"""A leader turns every few seconds; PostgreSQL ends the session of one that is silent for this long."""

RETRY_SECONDS = 5.0
"""Wait after a turn that failed."""

_SQL = load_statements(__file__)


class Compactor:
    """Turns every few seconds, in a thread of its own with a connection of its own."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection],
        metrics: AggregateMetrics,
        clock: Clock,
        times: Times = SYSTEM_TIMES,
    ) -> None:
        self._connect = connect
        self._metrics = metrics
        self._clock = clock
        self._times = times
        self._logger = structlog.get_logger("compactor")
        self._connection: psycopg.Connection | None = None
        self._leads = False
        self._unranked_events = 0
        self._ranked_events = 0
        self._ranked_at, self._ranking_seconds = -math.inf, 0.0
        self._rest_until = -math.inf
        self._clean_at = self._books_at = 0.0

    def run(self, stopping: Event) -> None:
        """Turn until *stopping* is set; failures are logged and tried again for ever."""
        while not stopping.is_set():
            try:
                more = self.turn(resting=self._times.monotonic() < self._rest_until)
            except WhenceError as error:
                self._logger.warning("trying again", reason=str(error))
                self.close()
                stopping.wait(RETRY_SECONDS)
            else:
                stopping.wait(0.0 if more else TURN_SECONDS)
        self.close()

    def close(self) -> None:
        """Let go of the connection, and with it of the lead."""
        connection, self._connection, self._leads = self._connection, None, False
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def turn(self, *, resting: bool = False) -> bool:
        """Everything that is due now; no fold while *resting* from the last one.

        Returns:
            Whether there is more to fold at once.

        Raises:
            DependencyUnavailable: PostgreSQL does not serve us; nothing was half done.
        """
        as_of, now = self._clock.now(), self._times.monotonic()
        with database_errors():
            connection = self._ready_connection()
            more = False
            if self._leads or self._lead(connection):
                more = False if resting else self._timed_fold(connection, as_of)
                self._rank_if_due(connection, as_of, now)
                if now >= self._clean_at:
                    self._clean_at = now + CLEAN_SECONDS
                    self.clean(connection, as_of)
            if now >= self._books_at:
                self._books_at = now + BOOKS_SECONDS
                self._report_books(connection)
        return more

    def _lead(self, connection: psycopg.Connection) -> bool:
        row = connection.execute(_SQL["lead"]).fetchone()
        self._leads = bool(row and row[0])
        if self._leads:
            self._logger.info("compacting")
        return self._leads

    def _timed_fold(self, connection: psycopg.Connection, as_of: datetime) -> bool:
        start = self._times.monotonic()
        with self._metrics.stage("fold"):
            more = self.fold(connection, as_of)
        end = self._times.monotonic()
        self._rest_until = end if more else end + rest_after(end - start)
        return more

    def fold(self, connection: psycopg.Connection, as_of: datetime) -> bool:
        """Fold the oldest new segments, exactly once; whether there are more."""
        with connection.transaction():
            connection.execute(_SQL["fold_in_turn"])
            limits = {"segments_max": SEGMENTS_MAX, "bytes_max": FOLD_BYTES_MAX}
            segments = connection.execute(_SQL["unfolded"], limits, binary=True).fetchall()
            if not segments:
                return False
            trend = unpacked_longs(b"".join(packed for _, _, packed, *_ in segments))
            self._add_buckets(connection, trend, as_of)
            fold_pairs(connection, np.frombuffer(b"".join(pairs for _, _, _, pairs, _ in segments), PAIR_ROW), as_of)
            ends = {partition: end_offset for partition, end_offset, *_ in segments}
            parameters = {"partitions": IntArray(list(ends)), "next_offsets": BigintArray(list(ends.values()))}
            connection.execute(_SQL["move_positions"], parameters)
            failpoint("compactor.before_commit")
        failpoint("compactor.after_commit")
        self._unranked_events += int(trend[2::3].sum())
        self._metrics.folded(len(segments))
        per_partition = np.unique([partition for partition, *_ in segments], return_counts=True)[1]
        found = segments[0][-1]
        return bool(per_partition.max() == SEGMENTS_MAX or found > len(segments))

    def _add_buckets(self, connection: psycopg.Connection, trend: np.ndarray, as_of: datetime) -> None:
        deltas = bucket_deltas(trend, as_of)
        if deltas.count.size:
            connection.execute(
                _SQL["add_buckets"],
                {
                    "levels": SmallintArray(deltas.level),
                    "starts": TimestampArray(deltas.start_us),
                    "items": BigintArray(deltas.item),
                    "counts": BigintArray(deltas.count),
                },
            )

    def _rank_if_due(self, connection: psycopg.Connection, as_of: datetime, now: float) -> None:
        since = now - self._ranked_at
        many = self._unranked_events > RANK_SHARE * self._ranked_events
        some = self._unranked_events > 0 and since >= RANK_SECONDS
        if (many or some or since >= RANK_IDLE_SECONDS) and since >= RANK_REST * self._ranking_seconds:
            start = self._times.monotonic()
            with self._metrics.stage("rank"):
                self.rank(connection, as_of)
            self._ranked_at, self._ranking_seconds = now, self._times.monotonic() - start

    def rank(self, connection: psycopg.Connection, as_of: datetime) -> None:
        """Make the trend lists anew: a pure function of the buckets and *as_of*."""
        with connection.transaction():
            for level in LEVELS:
                connection.execute(_SQL["rank"], _rank_parameters(level, as_of))
            longest = LEVELS[-1]
            parameters = {"level": longest.code, "kept_from": longest.kept_from(as_of)}
            row = connection.execute(_SQL["total"], parameters).fetchone()
        self._ranked_events, self._unranked_events = (int(row[0]) if row else 0), 0

    def clean(self, connection: psycopg.Connection, as_of: datetime) -> None:
        """Remove a bounded number of segments and buckets that count no more."""
        with self._metrics.stage("clean"):
            segments = {"window_hours": DEDUPE_WINDOW_HOURS, "rows_max": CLEAN_ROWS_MAX}
            self._metrics.cleaned("batch_segment", connection.execute(_SQL["delete_segments"], segments).rowcount)
            connection.execute(_SQL["empty_segments"], segments)
            old = {
                "first_epoch": first_epoch_kept(as_of),
                "epoch_seconds": EPOCH_SECONDS,
                "epochs_kept": EPOCHS_KEPT,
                "rows_max": CLEAN_ROWS_MAX,
            }
            self._metrics.cleaned("pair_count", connection.execute(_SQL["delete_pairs"], old).rowcount)
            for level in LEVELS:
                parameters = {
                    "level": level.code,
                    "kept_from": level.kept_from(as_of),
                    "kept": level.kept,
                    "rows_max": CLEAN_ROWS_MAX,
                }
                self._metrics.cleaned("trend_bucket", connection.execute(_SQL["delete_buckets"], parameters).rowcount)

    def _report_books(self, connection: psycopg.Connection) -> None:
        row = connection.execute(_SQL["books"], {"letters_max": LETTERS_COUNTED_MAX}).fetchone()
        if row is not None:
            unaccounted, behind, letters = row
            self._metrics.books(unaccounted, behind, letters)

    def _ready_connection(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = self._connect()
            register(self._connection)
            self._connection.execute(_SQL["limits"], {"idle": f"{FROZEN_SECONDS}s"})
            load_bigint_arrays(self._connection)
        return self._connection


def rest_after(fold_seconds: float) -> float:
    """Seconds without a fold after one that took so long and left nothing over."""
    return min(FOLD_REST * fold_seconds, max(LISTS_BEHIND_SECONDS - 2 * fold_seconds, 0.0))


def _rank_parameters(level: Level, as_of: datetime) -> dict[str, object]:
    return {
        "level": level.code,
        "horizon": level.horizon,
        "half_life_seconds": level.half_life.total_seconds(),
        "width_seconds": level.width.total_seconds(),
        "kept_from": level.kept_from(as_of),
        "as_of": as_of,
        "items_max": LIST_ITEMS_MAX,
    }
