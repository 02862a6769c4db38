"""A turn's batches, one transaction: compare-and-swap of the position, signals, recent items, segment, dead letters.

Safety rests on the compare-and-swap alone: the partition's row must hold the offset that the batch starts at and the
epoch that this process took it over with. Committed is visible.
"""

from collections.abc import Sequence

import numpy as np
import psycopg

from whence.aggregate.batch import Batch, Interest, Ints, SignalDeltas
from whence.aggregate.idmap import IdMap
from whence.aggregate.joint import Joint, joined
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
        """Carry one batch out; see `write_all`."""
        self.write_all([(batch, epoch)])

    def write_all(self, work: Sequence[tuple[Batch, int]]) -> None:
        """Carry batches out, all or nothing, in one transaction; when this returns it is committed.

        A small batch costs little more than its commit and its statements, which several partitions share here.

        Args:
            work: Batches of different partitions, ascending, each with the epoch that we own the partition with.

        Raises:
            LostOwnership: A partition is not where we left it; nothing was written.
            DependencyUnavailable: PostgreSQL does not serve us; nothing was written.
            OutcomeUnknown: The connection was lost around the commit; take the partitions over anew to see.
        """
        joint = joined([batch for batch, _ in work])
        try:
            with database_errors():
                users, items = self._ids.users(joint.users), self._ids.items(joint.items)
            failpoint("aggregate.before_begin")
            with database_errors(committing=True), self.connection.transaction():
                self._write(work, joint, users, items)
        except BaseException:
            self.forget()
            raise
        failpoint("aggregate.after_commit")

    def _write(self, work: Sequence[tuple[Batch, int]], joint: Joint, users: Ints, items: Ints) -> None:
        """The steps inside the transaction; their order matters."""
        for batch, epoch in work:
            self._swap_position(batch, epoch)
        failpoint("aggregate.after_position")
        # Whether a touch is a first one is asked before the batches' own signals are there.
        pairs, batch_of_pair = self._take_interest(joint, users, items)
        failpoint("aggregate.after_recent")
        add_signals(self.connection, joint.signals, users, items)
        failpoint("aggregate.after_signals")
        for place, (batch, _) in enumerate(work):
            own_users, own_items = users[joint.user_slice(place)], items[joint.item_slice(place)]
            self._add_segment(batch, own_users, own_items, pairs[batch_of_pair == place])
        failpoint("aggregate.after_segment")
        for batch, _ in work:
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

    def _take_interest(self, joint: Joint, users: Ints, items: Ints) -> tuple[np.ndarray, Ints]:
        """Move the touched items to the front of their users' recent items.

        Returns:
            The pair rows of first touches (`touches.pair_rows`), and for each row the place of its batch.
        """
        interest = joint.interest
        touched, any_touch, place = np.unique(users[interest.user], return_index=True, return_inverse=True)
        keys = touched.tolist()
        touches = Interest(place, items[interest.item], interest.time_us, interest.offset, interest.bought)
        before = self._recents_of(keys)
        pairs, user_of_pair = pair_rows(before, touches, self._first_touches(before, touches, touched))
        if keys:
            packed = merge_recents(before, touches)
            self.connection.execute(_SQL["put_recents"], {"users": BigintArray(touched), "packed": ByteaArray(packed)})
            self._recents.update(zip(keys, packed, strict=True))
        return pairs, joint.batch_of_user()[interest.user[any_touch[user_of_pair]]]

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
