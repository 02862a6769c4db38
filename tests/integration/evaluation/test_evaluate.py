"""`whence evaluate`: the walk over the real product, what it must not know, and the command."""

import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from conftest import Installation
from program import Program
from whence.domain.events import parse_event_types
from whence.domain.state import Exclude
from whence.evaluation.prequential import Group, grouped, walk
from whence.evaluation.product import Event, Product
from whence.evaluation.run import Protocol, evaluate

START = datetime(2024, 3, 1, tzinfo=UTC)
TYPES = parse_event_types("view=1,purchase=5,dismiss=0")


def habits(seed: int, days: int = 20, users: int = 30) -> list[Event]:
    """Users who walk through a family of items in order: what comes next can be learnt from others."""
    rng = random.Random(seed)
    events = []
    for user in range(users):
        family = user % 3
        begin = START + timedelta(hours=rng.randrange(days * 24))
        for step in range(rng.randrange(3, 9)):
            at = begin + timedelta(minutes=step)
            events.append(Event(f"u{user}", f"f{family}-{step}", "view", at))
    return sorted(events, key=lambda event: (event.at, event.user))


def groups_of(events: list[Event]) -> list[Group]:
    return grouped(events, list(range(len(events))))


class Watching:
    """A recommender that notes what it was taught before each question."""

    def __init__(self) -> None:
        self.known: list[Event] = []
        self.asked: list[tuple[str, datetime, int]] = []

    def learn(self, events: Iterable[Event]) -> None:
        self.known += events

    def compact(self, as_of: datetime) -> None:
        assert all(event.at <= as_of for event in self.known)

    def refine(self, as_of: datetime) -> None:
        pass

    def ask(self, user: str, as_of: datetime, size: int, exclude: Exclude) -> list[str]:
        self.asked.append((user, as_of, len(self.known)))
        return []


def test_a_question_comes_before_its_event_is_learnt_and_after_all_earlier_ones() -> None:
    events = habits(1)
    watching = Watching()
    middle = events[len(events) // 2].at
    walk(watching, groups_of(events), (middle, START + timedelta(days=99)), "all")

    assert watching.known == events
    places = [place for *_, place in watching.asked]
    assert places == sorted(set(places))
    assert all(events[place].user == user and events[place].at == at for user, at, place in watching.asked)


def test_users_without_history_and_groups_without_a_new_item_are_no_queries() -> None:
    minutes = [START + timedelta(minutes=n) for n in range(4)]
    events = [Event("u", item, "view", at) for item, at in zip("aaba", minutes, strict=True)]

    assert walk(Watching(), groups_of(events), (START, minutes[-1] + timedelta(1)), "unseen").queries == 1
    assert walk(Watching(), groups_of(events), (START, minutes[-1] + timedelta(1)), "all").queries == 3


def test_the_product_learns_what_comes_next_where_popularity_cannot(postgres_url: str) -> None:
    window = (START + timedelta(days=10), START + timedelta(days=99))
    figures = evaluate(postgres_url, groups_of(habits(2, users=60)), TYPES, Protocol(window, "unseen", 40))

    assert figures["whence"]["queries"] == figures["popularity"]["queries"] == 40
    assert figures["whence"]["hr_at_20"] > 90
    assert figures["whence"]["ndcg_at_10"] > figures["popularity"]["ndcg_at_10"] + 10
    assert figures["own_scores"]["hr_at_20"] == 0


def test_the_event_that_is_asked_for_does_not_change_the_answer(installation: Installation) -> None:
    """The same list whether the target is about to come or another item is."""
    events = habits(3)
    last = events[-1]
    with installation.connect() as connection:
        product = Product(connection, TYPES)
        product.learn(events[:-1])
        product.compact(last.at)
        first = product.ask(last.user, last.at, 20, "seen")
        product.compact(last.at)
        assert product.ask(last.user, last.at, 20, "seen") == first
        product.learn([last])
        assert last.item not in product.ask(last.user, last.at, 20, "seen")


def test_the_command_reports_every_variant(program: Program, postgres_url: str) -> None:
    rows = [
        {
            "user_id": e.user,
            "item_id": e.item,
            "event_type": e.event_type,
            "occurred_at": e.at.isoformat(),
            "visit": e.user,
        }
        for e in habits(4)
    ]
    (program.folder / "log.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    words = ["evaluate", "log.jsonl", "--from", "2024-03-10T00:00:00Z", "--to", "2024-06-01T00:00:00Z"]
    done = program.run(*words, "--limit-queries", "5", "--json", WHENCE_DATABASE_URL=postgres_url)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert set(figures) == {"whence", "popularity", "own_scores"}
    assert figures["whence"]["queries"] == 5
    assert {"ndcg_at_10", "hr_at_20", "recall_at_20", "mrr_at_20", "coverage"} < set(figures["whence"])

    table = program.run(
        *words, "--limit-queries", "1", "--group-by", "visit", "--targets", "all", WHENCE_DATABASE_URL=postgres_url
    )
    assert "popularity" in table.stdout, table.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "yesterday", "--to", "2024-06-01T00:00:00Z"], "--from: 'yesterday' is no RFC 3339 time"),
        (["--from", "2024-01-01T00:00:00Z", "--to", "2024-06-01T00:00:00Z"], "row 1: needs user_id or session_id"),
    ],
)
def test_wrong_use_is_told(program: Program, words: list[str], said: str) -> None:
    (program.folder / "log.jsonl").write_text('{"event_type": "view"}')
    done = program.run("evaluate", "log.jsonl", *words)

    assert done.returncode == 2
    assert said in done.stderr
