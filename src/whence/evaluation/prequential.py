"""The prequential walk: before each group of events ask for a list from everything earlier, score it, then learn."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal, Protocol

from whence.aggregate.refinement import midnight
from whence.domain.events import DISMISS
from whence.domain.state import Exclude
from whence.evaluation.metrics import LIST_SIZE, Scores
from whence.evaluation.product import Event

COMPACT_EVERY = timedelta(seconds=60)
"""Event time between two turns of the compactor: lists may be a minute late, as in operation."""

Targets = Literal["unseen", "all"]


class Recommender(Protocol):
    """What the walk asks and teaches."""

    def learn(self, events: Iterable[Event]) -> None:
        """Take events in, in order."""

    def compact(self, as_of: datetime) -> None:
        """Renew what all users share."""

    def refine(self, as_of: datetime) -> None:
        """Renew what is fitted daily."""

    def ask(self, user: str, as_of: datetime, size: int, exclude: Exclude) -> list[str]:
        """The list of a user at a moment."""


@dataclass(frozen=True, slots=True)
class Group:
    """Events of one user that belong together, such as a basket: one query.

    Attributes:
        key: What they share.
        events: In order; all of them are learnt at once.
    """

    key: object
    events: tuple[Event, ...]

    @property
    def user(self) -> str:
        """Who acted."""
        return self.events[0].user

    @property
    def at(self) -> datetime:
        """When it began."""
        return self.events[0].at


def grouped(events: Sequence[Event], keys: Sequence[object]) -> list[Group]:
    """Neighbouring events with the same key as groups."""
    paired = zip(keys, events, strict=True)
    return [Group(key, tuple(event for _, event in part)) for key, part in groupby(paired, key=lambda pair: pair[0])]


def walk(
    product: Recommender,
    groups: Sequence[Group],
    window: tuple[datetime, datetime],
    targets: Targets,
    progress: Callable[[int, int], None] = lambda *_: None,
    queries_max: int | None = None,
) -> Scores:
    """Learn everything before the window, then ask before each group in it.

    Args:
        product: A new one.
        groups: In time order.
        window: From (inclusive) and to (exclusive).
        targets: `unseen`: a group's items that are new to its user, with seen items left out of the list; `all`: all
            its items, with repeats in the list.
        progress: Told how many groups of the window are done, of how many.
        queries_max: Stop after so many queries.

    Returns:
        The scores; groups without a target and users without a history make no query.
    """
    start, end = window
    before = [group for group in groups if group.at < start]
    during = [group for group in groups if start <= group.at < end]
    seen = _seen_in(before)
    product.learn(event for group in before for event in group.events)
    product.compact(start)
    product.refine(start)
    scores, compacted, refined = Scores(), start, midnight(start)
    for number, group in enumerate(during, start=1):
        if group.at - compacted >= COMPACT_EVERY:
            product.compact(group.at)
            compacted = group.at
        if midnight(group.at) > refined:
            refined = midnight(group.at)
            product.refine(refined)
        _query(product, group, seen, targets, scores)
        product.learn(group.events)
        seen[group.user].update(_touched(group))
        progress(number, len(during))
        if queries_max is not None and scores.queries >= queries_max:
            break
    return scores


def _query(product: Recommender, group: Group, seen: Mapping[str, set[str]], targets: Targets, scores: Scores) -> None:
    history = seen.get(group.user)
    wanted = _touched(group) - (history or set()) if targets == "unseen" else _touched(group)
    if history and wanted:
        exclude: Exclude = "seen" if targets == "unseen" else "none"
        scores.add(product.ask(group.user, group.at, LIST_SIZE, exclude), wanted)


def _touched(group: Group) -> set[str]:
    return {event.item for event in group.events if event.event_type != DISMISS}


def _seen_in(groups: Iterable[Group]) -> dict[str, set[str]]:
    seen: dict[str, set[str]] = defaultdict(set)
    for group in groups:
        seen[group.user] |= _touched(group)
    return seen
