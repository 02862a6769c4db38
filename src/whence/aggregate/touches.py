"""First touches in columns: which touches of a batch are first ones, and the pairs that they add to its segment.

A pair row is 12 signed numbers, 96 bytes: the touched item, one number that packs (epoch, mask, n), and the n newest
other items before it, nearest first, padded with 0. Bit d of the mask says that both touches of the d-th pair are
purchases. `domain/pairs.py` decides; this module only carries columns to it and back.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from whence.aggregate.batch import Interest, Ints
from whence.aggregate.recent import ENTRY, RECENT_ITEMS_MAX
from whence.domain.pairs import PAIR_ITEMS, PAIR_UNITS, FirstTouch, Recent, Touch, first_touches

Mask = npt.NDArray[np.bool_]

ROW_NUMBERS = PAIR_ITEMS + 2
_EPOCH_SHIFT, _MASK_SHIFT, _SIZE_MASK = 32, 16, 0xFFFF


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


def pair_rows(before: Sequence[bytes], touches: Interest, first: Mask) -> Ints:
    """The pair rows of a batch.

    Args:
        before: The users' packed recent items; *touches.user* is a place in it.
        touches: With internal item ids, in offset order.
        first: Which of them are the user's first touch of the item, ever.
    """
    concerned = np.zeros(len(before), dtype=np.bool_)
    concerned[touches.user[first]] = True
    order = np.flatnonzero(concerned[touches.user])
    order = order[np.argsort(touches.user[order], kind="stable")]
    columns = (touches.item, touches.time_us, touches.offset, touches.bought, first)
    by_touch = [Touch(*row) for row in zip(*(column[order].tolist() for column in columns), strict=True)]
    users = touches.user[order]
    starts = np.flatnonzero(np.diff(users, prepend=-1)).tolist()
    found: list[FirstTouch] = []
    for start, end in pairwise([*starts, len(order)]):
        found += first_touches(_unpacked(before[users[start]]), by_touch[start:end])
    return np.array([_row(touch) for touch in found], dtype=np.int64).reshape(-1, ROW_NUMBERS)


def unpack_pairs(rows: Ints) -> PairDeltas:
    """The deltas that pair rows stand for, unsummed."""
    rows = rows.reshape(-1, ROW_NUMBERS)
    item, packed, others = rows[:, 0], rows[:, 1], rows[:, 2:]
    sizes = packed & _SIZE_MASK
    place = np.arange(PAIR_ITEMS)
    kept = place < sizes[:, None]
    row, near = np.nonzero(kept)
    units = PAIR_UNITS // (near + 1)
    bought = (packed[row] >> (_MASK_SHIFT + near)) & 1
    touched, other = item[row], others[row, near]
    one_way = (packed[row] >> _EPOCH_SHIFT, touched, other, units, units * bought)
    return PairDeltas(
        *(np.concatenate([one_way[column], one_way[back]]) for column, back in enumerate((0, 2, 1, 3, 4)))
    )


def _unpacked(packed: bytes) -> list[Recent]:
    rows = np.frombuffer(packed, ENTRY).tolist()
    return [Recent(time_us, offset, item, bought) for item, time_us, offset, bought in rows]


def _row(touch: FirstTouch) -> list[int]:
    mask = sum(both << near for near, both in enumerate(touch.both_bought))
    size = len(touch.others)
    packed = touch.epoch << _EPOCH_SHIFT | mask << _MASK_SHIFT | size
    return [touch.item, packed, *touch.others, *([0] * (PAIR_ITEMS - size))]
