"""One batch, one transaction: compare-and-swap of the position, signals, recent items, segment, dead letters.

Safety rests on the compare-and-swap alone: the partition's row must hold the offset that the batch starts at and the
epoch that this process took it over with. Committed is visible.
"""

import numpy as np
import psycopg

from whence.aggregate.batch import Batch, Interest, Ints, SignalDeltas
from whence.aggregate.idmap import IdMap
from whence.aggregate.memory import BoundedMemory
from whence.aggregate.recent import merge_recents
from whence.aggregate.touches import Mask, new_to_recents, pair_rows, users_with_more
from whence.domain.errors import LostOwnership
from whence.domain.events import DISMISS
from whence.kit.clock import from_us
from whence.kit.database import database_errors
from whence.kit.failpoints import failpoint
from whence.kit.pgarrays import BigintArray, ByteaArray, DoubleArray, SmallintArray, TimestampArray, register
from whence.kit.sqlfiles import load_statements

RECENTS_MEMORY_USERS = 20_000
"""Users whose recent items stay in memory: at most 1.5 KB each, 30 MB."""

FROZEN_TRANSACTION_SECONDS = 10
"""A process that freezes inside a transaction holds its partition's row; after this time PostgreSQL ends its session,
so that another owner can go on. Between two statements lie milliseconds of work."""

_SQL = load_statements(__file__)


class Writer:
    """Writes batches of the partitions that this process owns. One thread.

    Attributes:
        connection: The autocommitting connection that it works with.
    """

    def __init__(self, connection: psycopg.Connection, log_id: str) -> None:
        register(connection)
        with database_errors():
            connection.execute(_SQL["limits"], {"idle_in_transaction": f"{FROZEN_TRANSACTION_SECONDS}s"})
        self.connection = connection
        self._log_id = log_id
        self._ids = IdMap(connection)
        self._recents: BoundedMemory[int, bytes] = BoundedMemory(RECENTS_MEMORY_USERS)

    def forget(self) -> None:
        """Drop what is remembered of the users' recent items: after a failed batch, and whenever ownership changes."""
        self._recents.clear()

    def write(self, batch: Batch, epoch: int) -> None:
        """Carry the batch out, all or nothing; when this returns it is committed.

        Raises:
            LostOwnership: The partition is not where we left it; nothing was written.
            DependencyUnavailable: PostgreSQL does not serve us; nothing was written.
            OutcomeUnknown: The connection was lost around the commit; take the partition over anew to see.
        """
        try:
            with database_errors():
                users, items = self._ids.users(batch.users), self._ids.items(batch.items)
            failpoint("aggregate.before_begin")
            with database_errors(committing=True), self.connection.transaction():
                self._write(batch, epoch, users, items)
        except BaseException:
            self.forget()
            raise
        failpoint("aggregate.after_commit")

    def _write(self, batch: Batch, epoch: int, users: Ints, items: Ints) -> None:
        """The steps inside the transaction; their order matters."""
        self._swap_position(batch, epoch)
        failpoint("aggregate.after_position")
        # Whether a touch is a first one is asked before the batch's own signals are there.
        pairs = self._take_interest(batch.interest, users, items)
        failpoint("aggregate.after_recent")
        add_signals(self.connection, batch.signals, users, items)
        failpoint("aggregate.after_signals")
        self._add_segment(batch, users, items, pairs)
        failpoint("aggregate.after_segment")
        self._add_dead_letters(batch)
        failpoint("aggregate.before_commit")

    def _swap_position(self, batch: Batch, epoch: int) -> None:
        counts = batch.counts
        swapped = self.connection.execute(
            _SQL["swap_position"],
            {
                "partition": batch.partition,
                "log_id": self._log_id,
                "epoch": epoch,
                "first_offset": batch.first_offset,
                "end_offset": batch.end_offset,
                "applied": counts.applied,
                "duplicate": counts.duplicate,
                "dead": counts.dead,
                "absent": counts.absent,
                "last_appended_at": from_us(batch.last_appended_us),
                "last_event_at": None if batch.last_event_us is None else from_us(batch.last_event_us),
            },
        )
        if swapped.rowcount != 1:
            raise LostOwnership(
                f"partition {batch.partition} no longer stands at offset {batch.first_offset} with epoch {epoch}"
            )

    def _take_interest(self, interest: Interest, users: Ints, items: Ints) -> np.ndarray:
        """Move the touched items to the front of their users' recent items.

        Returns:
            The pair rows of first touches (`touches.pair_rows`).
        """
        touched, place = np.unique(users[interest.user], return_inverse=True)
        keys = touched.tolist()
        touches = Interest(place, items[interest.item], interest.time_us, interest.offset, interest.bought)
        before = self._recents_of(keys)
        pairs = pair_rows(before, touches, self._first_touches(before, touches, touched))
        if keys:
            packed = merge_recents(before, touches)
            self.connection.execute(_SQL["put_recents"], {"users": BigintArray(touched), "packed": ByteaArray(packed)})
            self._recents.update(zip(keys, packed, strict=True))
        return pairs

    def _first_touches(self, before: list[bytes], touches: Interest, users: Ints) -> Mask:
        """Which touches are the first of their user and item, ever; asks only for users whose recents overflow."""
        first = new_to_recents(before, touches)
        unsure = np.flatnonzero(first & users_with_more(before)[touches.user])
        if unsure.size:
            asked = {
                "users": BigintArray(users[touches.user[unsure]]),
                "items": BigintArray(touches.item[unsure]),
                "dismiss": DISMISS,
            }
            known = self.connection.execute(_SQL["touched_before"], asked).fetchall()
            first[unsure[[place - 1 for (place,) in known]]] = False
        return first

    def _recents_of(self, users: list[int]) -> list[bytes]:
        """The packed recent items of users, b"" for those without any: from memory, else by primary key."""
        found = self._recents.get_all(users)
        if missing := [user for user in users if user not in found]:
            rows = self.connection.execute(_SQL["recents_of"], {"users": BigintArray(missing)}, binary=True)
            found |= dict(rows.fetchall())
        return [found.get(user, b"") for user in users]

    def _add_segment(self, batch: Batch, users: Ints, items: Ints, pairs: np.ndarray) -> None:
        trend = np.column_stack((items[batch.trend.item], batch.trend.start_s, batch.trend.count))
        self.connection.execute(
            _SQL["add_segment"],
            {
                "partition": batch.partition,
                "first_offset": batch.first_offset,
                "end_offset": batch.end_offset,
                "append_hour": batch.append_hour,
                "event_hashes": packed_longs(batch.live_hashes),
                "backfill_hashes": packed_longs(batch.backfill_hashes),
                "user_ids": packed_longs(np.sort(users)),
                "trend": packed_longs(trend),
                "pairs": pairs.tobytes(),
            },
        )

    def _add_dead_letters(self, batch: Batch) -> None:
        letters = batch.dead
        if not letters:
            return
        self.connection.execute(
            _SQL["add_dead_letters"],
            {
                "partition": batch.partition,
                "log_id": self._log_id,
                "offsets": BigintArray([letter.offset for letter in letters]),
                "reasons": [letter.reason.value for letter in letters],
                "details": [letter.detail for letter in letters],
                "keys": ByteaArray([letter.key for letter in letters]),
                "values": ByteaArray([letter.value for letter in letters]),
                "appended_at": TimestampArray([letter.appended_at_us for letter in letters]),
            },
        )


def add_signals(connection: psycopg.Connection, signals: SignalDeltas, users: Ints, items: Ints) -> None:
    """Add deltas to `signal`; *users* and *items* hold the internal ids that the deltas refer to by place."""
    if not signals.user.size:
        return
    user, item = users[signals.user], items[signals.item]
    order = np.lexsort((signals.type_code, item, user))
    connection.execute(
        _SQL["add_signals"],
        {
            "users": BigintArray(user[order]),
            "items": BigintArray(item[order]),
            "types": SmallintArray(signals.type_code[order]),
            "counts": BigintArray(signals.count[order]),
            "log_sums": DoubleArray(signals.log_sum[order]),
            "last_at": TimestampArray(signals.last_us[order]),
        },
    )


def packed_longs(values: Ints) -> bytes:
    """Signed little-endian 8-byte numbers, the form of the columns of `batch_segment`."""
    return values.astype("<i8").tobytes()


def unpacked_longs(packed: bytes) -> Ints:
    """The numbers that `packed_longs` packed."""
    return np.frombuffer(packed, "<i8").astype(np.int64)
