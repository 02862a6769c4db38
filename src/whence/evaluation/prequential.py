"""The prequential walk: before each group of events ask for lists from everything earlier, score them, then learn.

All variants are asked on one walk, since they differ in what they make of one state alone. What nobody asks about is
not renewed: events are learnt when their user is asked about, and lists that all users share when somebody is asked.
"""

import time
import typing
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Literal

from whence.aggregate.refinement import midnight
from whence.domain.events import DISMISS
from whence.domain.state import Exclude
from whence.evaluation.metrics import Exposure, Scores
from whence.evaluation.product import BATCH_EVENTS, Event

COMPACT_EVERY = timedelta(seconds=60)
"""Event time between two turns of the compactor: lists may be a minute late, as in operation."""

_NEVER = datetime.fromtimestamp(0, UTC)

Targets = Literal["unseen", "all"]
Freeze = Literal["nothing", "lists", "all"]
Asker = Callable[[str, datetime, Exclude], list[str]]
"""Gives the list of a user at a moment, best first."""

Lists = Mapping[str, list[str]]
"""The list of each variant."""

Progress = Callable[[str, int, int], None]
"""Told what is going on, how much of it is done, and of how much."""


class Learner(typing.Protocol):
    """What the walk teaches."""

    @property
    def learned(self) -> int:
        """How many events it has taken in, ever."""

    def learn(self, events: Sequence[Event]) -> None:
        """Take events in, in order."""

    def compact(self, as_of: datetime) -> None:
        """Renew what all users share."""

    def refine(self, as_of: datetime) -> None:
        """Renew what is fitted daily."""


class Teachable(typing.Protocol):
    """What learns at once and needs no renewal."""

    def learn(self, events: Iterable[Event]) -> None:
        """Take events in, in order."""


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


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is asked, and when.

    Attributes:
        window: From (inclusive) and to (exclusive): what comes before is only learnt.
        targets: `unseen`: a group's items that are new to its user, with seen items left out of the list; `all`: all
            its items, with repeats in the list.
        queries_max: Stop after so many queries; None asks all.
        freeze: `lists`: what all users share stays as it is when the window begins; `all`: nothing is learnt in it.
    """

    window: tuple[datetime, datetime]
    targets: Targets
    queries_max: int | None = None
    freeze: Freeze = "nothing"


@dataclass(frozen=True, slots=True)
class Place:
    """How far a walk is.

    Attributes:
        groups: Of the window, done.
        compacted, refined: When that was done last, in event time.
    """

    groups: int
    compacted: datetime
    refined: datetime


Observer = Callable[[Group, set[str]], None]
"""Shown each query and its targets, before they are learnt."""


class Book:
    """Where a walk keeps how far it is, so that it can go on after a kill; this one keeps nothing."""

    def place(self) -> Place | None:
        """Where an earlier walk was; None if it had not entered the window."""
        return None

    def answers(self) -> Iterable[Lists]:
        """What that walk was answered, query by query."""
        return ()

    def note(self, lists: Lists) -> None:
        """Take the next query's answers in, to be kept with the next place."""

    def keep(self, place: Place, *, now: bool = False) -> None:
        """Keep a place if that is due, else only if it must be *now*."""

    def pause(self) -> None:
        """What follows needs transactions of its own; `keep` was called."""

    def go_on(self) -> None:
        """That is done."""


def grouped(events: Sequence[Event], keys: Sequence[object]) -> list[Group]:
    """Neighbouring events with the same key as groups."""
    paired = zip(keys, events, strict=True)
    return [Group(key, tuple(event for _, event in part)) for key, part in groupby(paired, key=lambda pair: pair[0])]


class Walk:
    """One walk through a window."""

    def __init__(
        self,
        learner: Learner,
        askers: Mapping[str, Asker],
        others: Sequence[Teachable] = (),
        book: Book | None = None,
        progress: Progress = lambda *_: None,
        observer: Observer = lambda *_: None,
    ) -> None:
        """Ask *askers* of what *learner* and *others* (which need no renewal) have learnt; *observer* sees queries."""
        self._learner = learner
        self._askers = askers
        self._others = others
        self._book = book or Book()
        self._progress = progress
        self._observer = observer
        self._pending: list[Event] = []
        self._pending_users: set[str] = set()
        self._seen: dict[str, set[str]] = defaultdict(set)
        self._exposure = Exposure()
        self._passed = 0
        self._place = Place(0, _NEVER, _NEVER)
        self.scores = {name: Scores() for name in askers}

    @property
    def known_items(self) -> int:
        """How many items have been seen."""
        return self._exposure.known_items

    def run(self, groups: Sequence[Group], protocol: Protocol) -> dict[str, Scores]:
        """Learn everything before the window, then ask before each group in it.

        Args:
            groups: In time order.
            protocol: What is asked.

        Returns:
            The scores by variant; groups without a target and users without a history make no query.
        """
        start, end = protocol.window
        before = [group for group in groups if group.at < start]
        during = [group for group in groups if start <= group.at < end]
        self._learn_history(before, start)
        answered, done = iter(self._book.answers()), self._place.groups
        queries = 0
        for number, group in enumerate(during):
            if number == done:
                self._book.go_on()
            if number >= done and protocol.freeze == "nothing":
                self._new_day(group.at)
            if wanted := self._wanted(group, protocol.targets):
                lists = next(answered) if number < done else self._ask(group, wanted, protocol)
                self._score(lists, wanted, group.at)
                queries += 1
            self._pass(group, learn=protocol.freeze != "all")
            self._place = replace(self._place, groups=max(number + 1, done))
            if number >= done:
                self._book.keep(self._place)
            self._progress("asking", number + 1, len(during))
            if queries == protocol.queries_max:
                break
        self._book.keep(self._place, now=True)
        self._book.pause()
        return self.scores

    def _learn_history(self, before: Sequence[Group], start: datetime) -> None:
        events = [event for group in before for event in group.events]
        for first in range(0, len(events), BATCH_EVENTS):
            batch = events[first : first + BATCH_EVENTS]
            if first + len(batch) > self._learner.learned:
                self._learner.learn(batch[max(self._learner.learned - first, 0) :])
            for other in self._others:
                other.learn(batch)
            self._progress("learning", first + len(batch), len(events))
        for group in before:
            self._take_in(group)
        self._passed = len(events)
        kept = self._book.place()
        if kept is None:
            self._learner.compact(start)
            self._learner.refine(start)
            kept = Place(0, start, midnight(start))
            self._book.keep(kept, now=True)
        self._place = kept

    def _wanted(self, group: Group, targets: Targets) -> set[str]:
        """The targets; none if this is no query."""
        history = self._seen.get(group.user)
        if not history:
            return set()
        return _touched(group) - history if targets == "unseen" else _touched(group)

    def _new_day(self, at: datetime) -> None:
        if midnight(at) > self._place.refined:
            self._catch_up()
            self._book.keep(self._place, now=True)
            self._book.pause()
            self._learner.refine(midnight(at))
            self._book.go_on()
            self._place = replace(self._place, refined=midnight(at))

    def _ask(self, group: Group, wanted: set[str], protocol: Protocol) -> Lists:
        due = protocol.freeze == "nothing" and group.at - self._place.compacted >= COMPACT_EVERY
        if due or group.user in self._pending_users:
            self._catch_up()
        if due:
            self._learner.compact(group.at)
            self._place = replace(self._place, compacted=group.at)
        exclude: Exclude = "seen" if protocol.targets == "unseen" else "none"
        self._observer(group, wanted)
        lists = {}
        for name, ask in self._askers.items():
            begun = time.perf_counter()
            lists[name] = ask(group.user, group.at, exclude)
            self.scores[name].seconds += time.perf_counter() - begun
        self._book.note(lists)
        return lists

    def _score(self, lists: Lists, wanted: set[str], at: datetime) -> None:
        for name, items in lists.items():
            self.scores[name].add(items, wanted, at.date(), self._exposure.novelty(items))

    def _pass(self, group: Group, *, learn: bool) -> None:
        """Leave a group behind: it may be learnt from now on."""
        self._take_in(group)
        if not learn:
            return
        for event in group.events:
            if self._passed >= self._learner.learned:
                self._pending.append(event)
                self._pending_users.add(event.user)
            self._passed += 1
        for other in self._others:
            other.learn(group.events)
        if len(self._pending) >= BATCH_EVENTS:
            self._catch_up()

    def _catch_up(self) -> None:
        """Learn what waits for it."""
        if self._pending:
            self._learner.learn(self._pending)
            self._pending, self._pending_users = [], set()

    def _take_in(self, group: Group) -> None:
        touched = [event.item for event in group.events if event.event_type != DISMISS]
        self._seen[group.user].update(touched)
        self._exposure.count(touched)


def _touched(group: Group) -> set[str]:
    return {event.item for event in group.events if event.event_type != DISMISS}
