"""Taking a partition over: fence the owner before us, read where it stands, load its memory, check the log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psycopg

from whence.aggregate.batch import Batch, Ints
from whence.aggregate.dedupe import BackfillIndex, Mask, Window
from whence.aggregate.pipeline import HOUR_US, Position
from whence.aggregate.poison import PoisonGuard
from whence.aggregate.write import unpacked_longs
from whence.domain.errors import LogCutOff, LogDamaged
from whence.domain.events import DEDUPE_WINDOW_HOURS
from whence.eventlog.port import Consumer, Watermarks
from whence.kit.clock import to_us
from whence.kit.database import database_errors
from whence.kit.sqlfiles import load_statements

BACKFILL_IDLE_BATCHES = 1_000
"""Batches without a new backfill event after which the backfill index is dropped: an import has ended by then."""

_SQL = load_statements(__file__)


class PartitionMemory:
    """Which events a partition has applied: the live window, and the backfill index while backfill records arrive."""

    def __init__(self, connection: psycopg.Connection, partition: int, window: Window) -> None:
        self.window = window
        self._connection = connection
        self._partition = partition
        self._backfill: BackfillIndex | None = None
        self._batches_without_backfill = 0

    def __len__(self) -> int:
        return len(self.window) + (len(self._backfill) if self._backfill else 0)

    def repeats(self, hashes: Ints, backfill: Mask, hour: int) -> Mask:
        """Which of these events have been applied: see `dedupe.Known`."""
        found = self.window.contains(hashes, hour)
        if backfill.any():
            found |= backfill & self._index().contains(hashes)
        return found

    def remember(self, batch: Batch) -> None:
        """Take a committed batch's ids in."""
        self.window.add(np.sort(np.concatenate([batch.live_hashes, batch.backfill_hashes])), batch.append_hour)
        if self._backfill is None:
            return
        self._backfill.add(batch.backfill_hashes)
        self._batches_without_backfill = 0 if batch.backfill_hashes.size else self._batches_without_backfill + 1
        if self._batches_without_backfill > BACKFILL_IDLE_BATCHES:
            self._backfill = None

    def _index(self) -> BackfillIndex:
        if self._backfill is None:
            self._backfill = BackfillIndex(self._load_backfill())
        self._batches_without_backfill = 0
        return self._backfill

    def _load_backfill(self) -> Ints:
        with database_errors():
            rows = self._connection.execute(_SQL["backfill_hashes"], {"partition": self._partition}, binary=True)
            return unpacked_longs(b"".join(packed for (packed,) in rows))


@dataclass(slots=True)
class OwnedPartition:
    """A partition that this process reads.

    Attributes:
        position: Where it stands; moves with every committed batch.
        epoch: What we took it over with.
        memory, guard: What its next batches are judged by.
    """

    position: Position
    epoch: int
    memory: PartitionMemory
    guard: PoisonGuard = field(default_factory=PoisonGuard)

    def advance(self, batch: Batch) -> None:
        """Take a committed batch in."""
        self.memory.remember(batch)
        self.position = Position(batch.partition, batch.end_offset, batch.last_appended_us)


def take_over(connection: psycopg.Connection, log: Consumer, partition: int) -> OwnedPartition | None:
    """Fence the partition's former owner and read what is needed to go on.

    Returns:
        None if a transaction of the former owner is still under way: to be tried again a little later.

    Raises:
        DependencyUnavailable: PostgreSQL or the log does not answer.
        LogDamaged: The log cannot give what comes next, or is another log than the one that was aggregated; LogCutOff
            if it ends before that, which may pass.
    """
    low = log.watermarks(partition).low
    with database_errors():
        row = _fence(connection, {"partition": partition, "log_id": log.log_id, "low": low})
        if row is None:
            return None
        epoch, next_offset, log_id, last_appended_at = row
        # Looked up after the position: until the fence the former owner may have applied records that are newer still.
        _check_log(partition, next_offset, log_id, log.log_id, log.watermarks(partition))
        last_appended_us = 0 if last_appended_at is None else to_us(last_appended_at)
        window = _load_window(connection, partition, last_appended_us // HOUR_US)
    position = Position(partition, next_offset, last_appended_us)
    return OwnedPartition(position, epoch, PartitionMemory(connection, partition, window))


def _fence(connection: psycopg.Connection, parameters: Mapping[str, object]) -> tuple[Any, ...] | None:
    try:
        with connection.transaction():
            connection.execute(_SQL["hold_position"], parameters)
            return connection.execute(_SQL["take_over"], parameters).fetchone()
    except psycopg.errors.LockNotAvailable:
        return None


def _load_window(connection: psycopg.Connection, partition: int, hour: int) -> Window:
    parameters = {"partition": partition, "first_hour": hour - DEDUPE_WINDOW_HOURS}
    rows = connection.execute(_SQL["window"], parameters, binary=True)
    window = Window()
    window.load(((at, unpacked_longs(live + backfill)) for at, live, backfill in rows), hour)
    return window


def _check_log(partition: int, next_offset: int, log_id: str, log_id_now: str, watermarks: Watermarks) -> None:
    if log_id != log_id_now:
        raise LogDamaged(
            f"partition {partition} was aggregated from log {log_id}, this is log {log_id_now}: "
            "bring the first one back, or start over in an empty WHENCE_NAMESPACE"
        )
    if not watermarks.low <= next_offset <= watermarks.high:
        family = LogDamaged if next_offset < watermarks.low else LogCutOff
        raise family(
            f"partition {partition} stands at {next_offset}, the log holds {watermarks.low} to {watermarks.high}: "
            "restore the missing records, or start over in an empty WHENCE_NAMESPACE"
        )
