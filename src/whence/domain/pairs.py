"""Which pairs a first touch makes.

When a user touches an item for the first time, the item is paired with each of the user's newest other items, in both
directions. The d-th newest counts 1/d, as the integer `PAIR_UNITS` / d, so that counts are equal for any grouping of
the same events. Repeats make no pairs: they add noise and writes (docs/quality.md).
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

PAIR_ITEMS = 10
"""P: with how many of the newest other items a first touch is paired."""

PAIR_UNITS = 2520
"""Units of the nearest pair: the least number that 1 to 10 divide."""

EPOCH_SECONDS = 30 * 86_400
"""Pairs are counted by 30-day epochs of event time; steps decay as well as a curve does (docs/quality.md)."""

CROWD_ITEMS = 64
CROWD_SECONDS = 3_600
"""A first touch makes no pairs where `CROWD_ITEMS` other items were touched within the `CROWD_SECONDS` before it, or
after it: what touches 64 items an hour is no visitor, and what it touches says little. It bounds what one bot can add
to everybody's counts: `CROWD_ITEMS` first touches an hour of event time. ADR-0014 has the rates of real users."""


class Recent(NamedTuple):
    """One of a user's items; ordered oldest first.

    Attributes:
        time_us: Event time of its newest touch, microseconds since the epoch.
        offset: Of that touch.
        item: Internal id.
        bought: Whether the user has bought it.
    """

    time_us: int
    offset: int
    item: int
    bought: bool


class Touch(NamedTuple):
    """An event that touches an item.

    Attributes:
        item: Internal id.
        time_us: Event time, microseconds since the epoch.
        offset: Its place in the partition.
        bought: Whether it is a purchase.
        first: Whether the user has never touched the item before.
    """

    item: int
    time_us: int
    offset: int
    bought: bool
    first: bool


@dataclass(frozen=True, slots=True)
class FirstTouch:
    """What a first touch adds to the pair counts.

    Attributes:
        item: That was touched.
        epoch: Of the touch.
        others: The newest other items before it, nearest first, at most PAIR_ITEMS.
        both_bought: Of each of them, whether both touches are purchases.
    """

    item: int
    epoch: int
    others: tuple[int, ...]
    both_bought: tuple[bool, ...]


def first_touches(newest_first: Sequence[Recent], touches: Sequence[Touch]) -> list[FirstTouch]:
    """What a user's touches add, in the partition's order.

    Args:
        newest_first: The user's newest items before them: all, or the CROWD_ITEMS newest.
        touches: In the partition's order.
    """
    recents = list(reversed(newest_first))
    held = {recent.item: recent for recent in recents}
    found = []
    for touch in touches:
        if touch.first and not _in_a_crowd(recents, touch):
            near = recents[: -PAIR_ITEMS - 1 : -1]
            if near:
                both = tuple(touch.bought and other.bought for other in near)
                epoch = touch.time_us // 1_000_000 // EPOCH_SECONDS
                found.append(FirstTouch(touch.item, epoch, tuple(other.item for other in near), both))
        _take_in(recents, held, touch)
    return found


def recents_after(newest_first: Sequence[Recent], touches: Sequence[Touch]) -> list[Recent]:
    """The user's newest items, newest first, after touches in the partition's order.

    An item that leaves them forgets that it was bought: how touches are grouped into batches must not matter.
    """
    recents = list(reversed(newest_first))
    held = {recent.item: recent for recent in recents}
    for touch in touches:
        _take_in(recents, held, touch)
    return recents[::-1]


def _in_a_crowd(recents: Sequence[Recent], touch: Touch) -> bool:
    """Whether the oldest of a full list of recent items is newer than the crowd's time before the touch."""
    return len(recents) >= CROWD_ITEMS and touch.time_us - recents[-CROWD_ITEMS].time_us < CROWD_SECONDS * 1_000_000


def _take_in(recents: list[Recent], held: dict[int, Recent], touch: Touch) -> None:
    """Keep the item with its newest touch, and at most CROWD_ITEMS items."""
    before = held.get(touch.item)
    after = Recent(touch.time_us, touch.offset, touch.item, touch.bought)
    if before is not None:
        recents.remove(before)
        after = Recent(*max(before[:2], after[:2]), touch.item, before.bought or touch.bought)
    insort(recents, after)
    held[touch.item] = after
    if len(recents) > CROWD_ITEMS:
        del held[recents.pop(0).item]
