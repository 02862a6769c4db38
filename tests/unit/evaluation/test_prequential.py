"""The walk: what is known when something is asked, what is renewed when, and going on after a kill."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from whence.domain.state import Exclude
from whence.evaluation.prequential import Book, Freeze, Group, Lists, Place, Protocol, Targets, Walk, grouped
from whence.evaluation.product import Event

START = datetime(2024, 3, 1, tzinfo=UTC)
END = START + timedelta(days=99)


class Watching:
    """A learner that answers with what it was taught, and notes what it was asked."""

    def __init__(self) -> None:
        self.known: list[Event] = []
        self.asked: list[tuple[str, datetime, int]] = []
        self.renewed: list[tuple[str, datetime, int]] = []

    @property
    def learned(self) -> int:
        return len(self.known)

    def learn(self, events: Sequence[Event]) -> None:
        self.known += events

    def compact(self, as_of: datetime) -> None:
        self.renewed.append(("compact", as_of, len(self.known)))

    def refine(self, as_of: datetime) -> None:
        self.renewed.append(("refine", as_of, len(self.known)))

    def ask(self, user: str, as_of: datetime, exclude: Exclude) -> list[str]:
        self.asked.append((user, as_of, len(self.known)))
        return [event.item for event in self.known if event.user == user]


class Remembering(Book):
    """A book in memory, of which the walk can be broken off at any query."""

    def __init__(self, learner: Watching) -> None:
        self._learner = learner
        self._waiting: list[Lists] = []
        self.kept: Place | None = None
        self.lists: list[Lists] = []
        self.known: list[Event] = []

    def place(self) -> Place | None:
        return self.kept

    def answers(self) -> Iterable[Lists]:
        return list(self.lists)

    def note(self, lists: Lists) -> None:
        self._waiting.append(lists)

    def keep(self, place: Place, *, now: bool = False) -> None:
        if now or len(self._waiting) >= 2:
            self.kept, self.lists, self._waiting = place, self.lists + self._waiting, []
            self.known = list(self._learner.known)

    def go_on_with(self, learner: Watching) -> None:
        """As a new process finds it: what was not kept never happened."""
        learner.known = list(self.known)
        self._learner, self._waiting = learner, []


def events_of(*rows: tuple[str, str, float]) -> list[Event]:
    return [Event(user, item, "view", START + timedelta(hours=hours)) for user, item, hours in rows]


def walk(
    learner: Watching,
    groups: Sequence[Group],
    targets: Targets = "all",
    freeze: Freeze = "nothing",
    since: float = 0,
    book: Book | None = None,
    progress: Any = lambda *_: None,
) -> Walk:
    done = Walk(learner, {"it": learner.ask}, (), book, progress)
    done.run(groups, Protocol((START + timedelta(hours=since), END), targets, None, freeze))
    return done


def single(events: Sequence[Event]) -> list[Group]:
    return grouped(events, range(len(events)))


def test_a_question_comes_before_its_event_is_learnt_and_after_all_earlier_ones_of_its_user() -> None:
    events = events_of(("a", "1", 0), ("b", "1", 1), ("a", "2", 2), ("b", "3", 3), ("a", "4", 3.001))
    learner = Watching()
    walk(learner, single(events))

    assert learner.asked == [
        ("a", events[2].at, 2),
        ("b", events[3].at, 3),
        # Learnt with the next compaction: only its own user's lists can know of it before that.
        ("a", events[4].at, 3),
    ]
    assert [time for kind, time, _ in learner.renewed if kind == "compact"] == [START, events[2].at, events[3].at]


def test_days_begin_with_a_fit_of_all_that_came_before() -> None:
    events = events_of(("a", "1", 1), ("a", "2", 23), ("b", "1", 25), ("a", "3", 49))
    learner = Watching()
    walk(learner, single(events), since=2)

    fits = [(time, known) for kind, time, known in learner.renewed if kind == "refine"]
    assert fits == [(START + timedelta(hours=2), 1), (START + timedelta(days=1), 2), (START + timedelta(days=2), 3)]


def test_users_without_history_and_groups_without_a_new_item_are_no_queries() -> None:
    events = events_of(("u", "a", 0), ("u", "a", 1), ("u", "b", 2), ("u", "a", 3))

    assert walk(Watching(), single(events), "unseen").scores["it"].queries == 1
    assert walk(Watching(), single(events), "all").scores["it"].queries == 3


def test_a_basket_is_one_query_and_dismissals_are_no_targets() -> None:
    events = [*events_of(("u", "a", 0), ("u", "a", 1), ("u", "b", 1)), Event("u", "c", "dismiss", START)]
    done = walk(Watching(), grouped(events, [0, 1, 1, 2]), "all")

    assert done.scores["it"].queries == 1
    assert done.scores["it"].figures(2)["recall_at_20"] == 50


@pytest.mark.parametrize(("freeze", "known"), [("lists", [2, 3]), ("all", [2, 2])])
def test_what_is_frozen_is_not_renewed(freeze: Freeze, known: list[int]) -> None:
    events = events_of(("a", "1", 0), ("b", "1", 1), ("a", "2", 30), ("a", "3", 60))
    learner = Watching()
    walk(learner, single(events), freeze=freeze, since=2)

    assert [count for *_, count in learner.asked] == known
    assert [kind for kind, *_ in learner.renewed] == ["compact", "refine"]


@pytest.mark.parametrize("killed_at", range(1, 30))
def test_a_walk_that_was_killed_anywhere_goes_on_to_the_same_result(killed_at: int) -> None:
    rows = [(f"u{n % 3}", str(n * 7 % 11), n * 2.5) for n in range(40)]
    groups = single(events_of(*rows))
    whole = walk(Watching(), groups, since=20)

    def kill(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("asking", killed_at):
            raise KeyboardInterrupt

    book = Remembering(Watching())
    first, second = Watching(), Watching()
    book.go_on_with(first)
    with pytest.raises(KeyboardInterrupt):
        walk(first, groups, since=20, book=book, progress=kill)
    book.go_on_with(second)
    again = walk(second, groups, since=20, book=book)

    assert again.scores["it"].figures(11) | {"seconds": 0} == whole.scores["it"].figures(11) | {"seconds": 0}
    assert [event.at for event in second.known] == sorted({event.at for event in second.known})
    assert len(book.lists) == whole.scores["it"].queries
    assert len(second.asked) < whole.scores["it"].queries or killed_at < 3


def test_a_second_walk_goes_on_where_the_first_has_ended() -> None:
    groups = single(events_of(*[("u", str(n), float(n)) for n in range(10)]))
    learner = Watching()
    Walk(learner, {"it": learner.ask}).run(groups, Protocol((START, START + timedelta(hours=5)), "all"))
    Walk(learner, {"it": learner.ask}).run(groups, Protocol((START + timedelta(hours=5), END), "all"))

    assert [known for *_, known in learner.asked] == list(range(1, 10))
