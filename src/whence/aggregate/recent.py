"""A user's newest items as one packed value: the newest 64 by (event time, offset), newest first.

24 bytes an item, big-endian signed: internal item id, event time in microseconds since the epoch, offset.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from whence.aggregate.batch import Ints, RecentDeltas

RECENT_ITEMS_MAX = 64
"""Items kept for a user. Reads use the newest 50; the rest is reserve for items that get hidden."""

ENTRY = np.dtype([("item", ">i8"), ("time_us", ">i8"), ("offset", ">i8")])


def merge_recents(old: Sequence[bytes], new: RecentDeltas) -> list[bytes]:
    """The packed values after adding touches.

    Args:
        old: Packed values of the users before; b"" for a user without one.
        new: Touches; `user` is a place in *old*, `item` an internal id.

    Returns:
        The new packed values, in the order of *old*. An item counts with its newest (event time, offset).
    """
    lengths = [len(packed) // ENTRY.itemsize for packed in old]
    before = np.frombuffer(b"".join(old), ENTRY)
    user = np.concatenate([np.repeat(np.arange(len(old)), lengths), new.user])
    item, time_us, offset = (
        np.concatenate([before[name].astype(np.int64), column])
        for name, column in (("item", new.item), ("time_us", new.time_us), ("offset", new.offset))
    )
    newest = _newest_of_each_item(user, item, time_us, offset)
    newest = newest[_ranks(user[newest]) < RECENT_ITEMS_MAX]
    return _packed(len(old), user[newest], item[newest], time_us[newest], offset[newest])


def _newest_of_each_item(user: Ints, item: Ints, time_us: Ints, offset: Ints) -> Ints:
    """Rows that hold an item's newest touch, sorted by user and newest first."""
    order = np.lexsort((-offset, -time_us, item, user))
    first = np.ones(order.size, dtype=np.bool_)
    first[1:] = (user[order][1:] != user[order][:-1]) | (item[order][1:] != item[order][:-1])
    rows = order[first]
    return rows[np.lexsort((-offset[rows], -time_us[rows], user[rows]))]


def _ranks(user: Ints) -> Ints:
    """0, 1, 2, … within each run of equal users."""
    begin = np.searchsorted(user, user)
    ranks: Ints = np.arange(user.size) - begin
    return ranks


def _packed(users: int, user: Ints, item: Ints, time_us: Ints, offset: Ints) -> list[bytes]:
    rows = np.empty(user.size, ENTRY)
    rows["item"], rows["time_us"], rows["offset"] = item, time_us, offset
    data = rows.tobytes()
    edges = (np.searchsorted(user, np.arange(users + 1)) * ENTRY.itemsize).tolist()
    return [data[start:end] for start, end in pairwise(edges)]
