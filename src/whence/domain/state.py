"""What a list is made from: a user's newest items and signals, and the lists that all users share."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from whence.domain.events import DISMISS, PURCHASE

RECENT_ITEMS_READ = 50
"""The newest items that a read looks at, so that it is bounded for bots too."""

Horizon = Literal["6h", "1d", "7d"]
"""The half-life of what counts in a trend."""

Exclude = Literal["none", "purchased", "seen"]


@dataclass(frozen=True, slots=True)
class Recent:
    """One of the user's newest items: its last event's time and place in the log."""

    item_id: int
    last_at: datetime
    offset: int


@dataclass(frozen=True, slots=True)
class Signal:
    """What is held of (user, item, event type); `log_sum` is explained in `whence.domain.decay`."""

    item_id: int
    event_type: str
    count: int
    log_sum: float
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Refined:
    """An item's refined neighbour weights and their sum."""

    weights: Mapping[int, float]
    mass: float


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a list is made from.

    Attributes:
        recents: Newest first; more than `RECENT_ITEMS_READ` are cut off.
        signals: The user's signals; several of one (item, event type) add up (a session united with its user).
        neighbours: p(destination given source) by source.
        refined: By source; None while no refined weights were ever fitted.
        trends: The share of the decayed activity by horizon and item.
        bought: By source, the neighbours of whose pair all counts are of purchases on both sides.
    """

    recents: Sequence[Recent] = ()
    signals: Sequence[Signal] = ()
    neighbours: Mapping[int, Mapping[int, float]] = field(default_factory=dict)
    refined: Mapping[int, Refined] | None = None
    trends: Mapping[Horizon, Mapping[int, float]] = field(default_factory=dict)
    bought: Mapping[int, AbstractSet[int]] = field(default_factory=dict)


def hidden_items(signals: Iterable[Signal], weights: Mapping[str, float], exclude: Exclude) -> set[int]:
    """The items that a user's own signals keep out of the list.

    Dismissed ones, until a later signal of a type with a positive weight; and by policy those bought or ever touched.
    """
    by_item: dict[int, list[Signal]] = defaultdict(list)
    for signal in signals:
        by_item[signal.item_id].append(signal)
    return {
        item
        for item, own in by_item.items()
        if is_dismissed(own, weights)
        or exclude == "seen"
        or (exclude == "purchased" and any(signal.event_type == PURCHASE for signal in own))
    }


def is_dismissed(signals: Iterable[Signal], weights: Mapping[str, float]) -> bool:
    """Whether a user's signals on one item say that it was dismissed and not taken up again since."""
    own = list(signals)
    dismissed = [signal.last_at for signal in own if signal.event_type == DISMISS]
    positive = [s.last_at for s in own if s.event_type != DISMISS and weights.get(s.event_type, 0.0) > 0]
    return bool(dismissed) and not (positive and max(positive) > max(dismissed))


def unite(recents: Iterable[Recent]) -> list[Recent]:
    """The newest items of a user and a session together: each item once, at its newest."""
    newest: dict[int, Recent] = {}
    for recent in recents:
        held = newest.get(recent.item_id)
        if held is None or (recent.last_at, recent.offset) > (held.last_at, held.offset):
            newest[recent.item_id] = recent
    order = sorted(newest.values(), key=lambda recent: (recent.last_at, recent.offset, -recent.item_id), reverse=True)
    return order[:RECENT_ITEMS_READ]
