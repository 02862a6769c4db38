"""A user's newest items as one packed value: the newest 64 by (event time, offset), newest first.

25 bytes an item: three big-endian signed numbers (internal item id, event time in microseconds since the epoch, offset)
and a byte that is 1 if the user has bought it.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from whence.aggregate.batch import Interest, Ints
from whence.domain.pairs import Recent, Touch, recents_after

RECENT_ITEMS_MAX = 64
"""Items kept for a user. Reads use the newest 50; the rest is reserve for items that get hidden."""

ENTRY = np.dtype([("item", ">i8"), ("time_us", ">i8"), ("offset", ">i8"), ("bought", "?")])


def merge_recents(old: Sequence[bytes], new: Interest) -> list[bytes]:
    """The packed values after adding touches.

    Args:
        old: Packed values of the users before; b"" for a user without one.
        new: Touches; `user` is a place in *old*, `item` an internal id.

    Returns:
        The new packed values, in the order of *old*: the same however touches are grouped into batches. An item counts
        with its newest (event time, offset).
    """
    lengths = [len(packed) // ENTRY.itemsize for packed in old]
    before = np.frombuffer(b"".join(old), ENTRY)
    user = np.concatenate([np.repeat(np.arange(len(old)), lengths), new.user])
    rows = np.empty(user.size, ENTRY)
    rows[: before.size] = before
    for name in ENTRY.names or ():
        rows[name][before.size :] = getattr(new, name)
    newest = _newest_of_each_item(user, rows)
    in_turn = _users_in_turn(user, rows, newest, new)
    newest = newest[_ranks(user[newest]) < RECENT_ITEMS_MAX]
    data = rows[newest].tobytes()
    edges = (np.searchsorted(user[newest], np.arange(len(old) + 1)) * ENTRY.itemsize).tolist()
    packed = [data[start:end] for start, end in pairwise(edges)]
    for one in in_turn.tolist():
        packed[one] = _merged_in_turn(old[one], new.pick(new.user == one))
    return packed


def unpacked_recents(packed: bytes) -> list[Recent]:
    """What a packed value says, newest first."""
    rows = np.frombuffer(packed, ENTRY).tolist()
    return [Recent(time_us, offset, item, bought) for item, time_us, offset, bought in rows]


def _users_in_turn(user: Ints, rows: np.ndarray, newest: Ints, new: Interest) -> Ints:
    """Users of whom an item may leave the newest within the batch and come back, no longer known as bought."""
    users = int(user.max(initial=-1)) + 1
    items = np.bincount(user[newest], minlength=users)
    touches = np.bincount(new.user, minlength=users)
    bought = np.bincount(user, rows["bought"], users)
    return np.flatnonzero((items > RECENT_ITEMS_MAX) & (touches > 1) & (bought > 0))


def _merged_in_turn(old: bytes, new: Interest) -> bytes:
    rows = zip(*(column.tolist() for column in (new.item, new.time_us, new.offset, new.bought)), strict=True)
    touches = [Touch(item, time_us, at, bought, first=False) for item, time_us, at, bought in rows]
    after = [(recent.item, *recent[:2], recent.bought) for recent in recents_after(unpacked_recents(old), touches)]
    return np.array(after, ENTRY).tobytes()


def _newest_of_each_item(user: Ints, rows: np.ndarray) -> Ints:
    """Places of each item's newest touch, sorted by user and newest first; what was bought once stays so in *rows*."""
    item, time_us, offset = (rows[name].astype(np.int64) for name in ("item", "time_us", "offset"))
    order = np.lexsort((-offset, -time_us, item, user))
    first = np.ones(order.size, dtype=np.bool_)
    first[1:] = (user[order][1:] != user[order][:-1]) | (item[order][1:] != item[order][:-1])
    kept = order[first]
    if kept.size:
        rows["bought"][kept] = np.logical_or.reduceat(rows["bought"][order], np.flatnonzero(first))
    return kept[np.lexsort((-offset[kept], -time_us[kept], user[kept]))]


def _ranks(user: Ints) -> Ints:
    """0, 1, 2, … within each run of equal users."""
    begin = np.searchsorted(user, user)
    ranks: Ints = np.arange(user.size) - begin
    return ranks
