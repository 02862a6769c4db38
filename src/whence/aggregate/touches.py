"""First touches in columns: which touches of a batch are first ones, and the pairs that they add to its segment.

`domain/pairs.py` decides; this module carries columns to it and back, and decides itself, many at once and alike, where
a user has a single touch in the batch: nearly always.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from whence.aggregate.batch import Interest, Ints
from whence.aggregate.recent import ENTRY, RECENT_ITEMS_MAX, unpacked_recents
from whence.domain.errors import BrokenInvariant
from whence.domain.pairs import (
    CROWD_ITEMS,
    CROWD_SECONDS,
    EPOCH_SECONDS,
    PAIR_ITEMS,
    PAIR_UNITS,
    FirstTouch,
    Touch,
    first_touches,
)

Mask = npt.NDArray[np.bool_]

PAIR_ROW = np.dtype([("item", "<u4"), ("epoch", "<u2"), ("bought", "<u2"), ("others", "<u4", PAIR_ITEMS)])
"""A first touch in a segment, 48 bytes: the touched item, its epoch, and the newest other items before it, nearest
first, padded with 0. Bit d of `bought` says that both touches of the d-th pair are purchases."""

ITEM_ID_MAX = 2**32 - 1
"""Internal item ids are counted up from 1; four bytes halve a segment."""


class PairDeltas(NamedTuple):
    """What to add to the pair counts, both directions; columns of equal length.

    Attributes:
        epoch, source, destination: The key.
        units: Of `PAIR_UNITS`.
        bought_units: The part of them where both touches are purchases.
    """

    epoch: Ints
    source: Ints
    destination: Ints
    units: Ints
    bought_units: Ints


def new_to_recents(before: Sequence[bytes], touches: Interest) -> Mask:
    """Which touches are the first of their (user, item) in the batch, of an item that is not among the user's recents.

    Args:
        before: The users' packed recent items; *touches.user* is a place in it.
        touches: With internal item ids, in offset order.
    """
    lengths = [len(packed) // ENTRY.itemsize for packed in before]
    held_item = np.frombuffer(b"".join(before), ENTRY)["item"].astype(np.int64)
    held_user = np.repeat(np.arange(len(before)), lengths)
    codes = np.unique(np.concatenate([held_item, touches.item]), return_inverse=True)[1]
    keys = np.concatenate([held_user, touches.user]) * (len(codes) + 1) + codes
    first = np.zeros(keys.size, dtype=np.bool_)
    first[np.unique(keys, return_index=True)[1]] = True
    return first[held_item.size :]


def users_with_more(before: Sequence[bytes]) -> Mask:
    """Which users may have touched items that their recent items no longer hold."""
    sizes = np.fromiter((len(packed) for packed in before), np.int64, len(before))
    return sizes >= RECENT_ITEMS_MAX * ENTRY.itemsize


def pair_rows(before: Sequence[bytes], touches: Interest, first: Mask) -> tuple[np.ndarray, Ints]:
    """The pair rows of a batch, of type PAIR_ROW, and for each row whose it is.

    Args:
        before: The users' packed recent items; *touches.user* is a place in it.
        touches: With internal item ids; each user's in offset order.
        first: Which of them are the user's first touch of the item, ever.
    """
    if touches.item.max(initial=0) > ITEM_ID_MAX:
        raise BrokenInvariant(f"an internal item id is above {ITEM_ID_MAX}")
    single = (np.bincount(touches.user, minlength=len(before)) == 1)[touches.user]
    alone, alone_users = _rows_of_single(before, touches.pick(first & single))
    others, other_users = _rows_in_turn(before, touches.pick(~single), first[~single])
    return np.concatenate([alone, others]), np.concatenate([alone_users, other_users])


def unpack_pairs(rows: np.ndarray) -> PairDeltas:
    """The deltas that pair rows stand for, unsummed."""
    row, near = np.nonzero(rows["others"])
    units = PAIR_UNITS // (near + 1)
    bought = (rows["bought"][row] >> near) & 1
    touched, other = rows["item"][row].astype(np.int64), rows["others"][row, near].astype(np.int64)
    one_way = (rows["epoch"][row].astype(np.int64), touched, other, units, units * bought)
    return PairDeltas(
        *(np.concatenate([one_way[column], one_way[back]]) for column, back in enumerate((0, 2, 1, 3, 4)))
    )


def _rows_of_single(before: Sequence[bytes], touches: Interest) -> tuple[np.ndarray, Ints]:
    """The rows of first touches by users who have no other touch in the batch: what `first_touches` says of each."""
    packed = [before[user] for user in touches.user.tolist()]
    sizes = np.fromiter(map(len, packed), np.int64, len(packed)) // ENTRY.itemsize
    held = np.frombuffer(b"".join(packed) or bytes(ENTRY.itemsize), ENTRY)
    starts = np.cumsum(sizes) - sizes
    oldest = held["time_us"][np.where(sizes >= CROWD_ITEMS, starts + CROWD_ITEMS - 1, 0)]
    crowded = (sizes >= CROWD_ITEMS) & (touches.time_us - oldest < CROWD_SECONDS * 1_000_000)
    counts = np.flatnonzero((sizes > 0) & ~crowded)
    near = np.arange(PAIR_ITEMS)
    there = near < sizes[counts, None]
    places = np.where(there, starts[counts, None] + near, 0)
    rows = np.zeros(counts.size, PAIR_ROW)
    rows["item"] = touches.item[counts]
    rows["epoch"] = touches.time_us[counts] // 1_000_000 // EPOCH_SECONDS
    rows["others"] = np.where(there, held["item"][places], 0)
    rows["bought"] = (there & held["bought"][places] & touches.bought[counts, None]) @ (1 << near)
    return rows, touches.user[counts]


def _rows_in_turn(before: Sequence[bytes], touches: Interest, first: Mask) -> tuple[np.ndarray, Ints]:
    """The rows of first touches, each user's touches one after the other."""
    order = np.argsort(touches.user, kind="stable")
    columns = (touches.item, touches.time_us, touches.offset, touches.bought, first)
    by_touch = [Touch(*row) for row in zip(*(column[order].tolist() for column in columns), strict=True)]
    users = touches.user[order]
    starts = np.flatnonzero(np.diff(users, prepend=-1)).tolist()
    found: list[FirstTouch] = []
    found_users: list[int] = []
    for start, end in pairwise([*starts, len(order)]):
        if any(touch.first for touch in by_touch[start:end]):
            user = int(users[start])
            found += first_touches(unpacked_recents(before[user]), by_touch[start:end])
            found_users += [user] * (len(found) - len(found_users))
    return np.array([_row(touch) for touch in found], dtype=PAIR_ROW), np.array(found_users, np.int64)


def _row(touch: FirstTouch) -> tuple[int, int, int, list[int]]:
    bought = sum(both << near for near, both in enumerate(touch.both_bought))
    return touch.item, touch.epoch, bought, [*touch.others, *([0] * (PAIR_ITEMS - len(touch.others)))]
