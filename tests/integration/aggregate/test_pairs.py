"""Pair counts and neighbour lists on a real database, against a plain recount of the log."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from conftest import Installation
from integration.aggregate.support import Fields, Running, Shop, event, running
from whence.aggregate.compactor import Compactor
from whence.domain.pairs import CROWD_ITEMS, EPOCH_SECONDS, PAIR_ITEMS, PAIR_UNITS

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)

Counts = dict[tuple[int, str, str], tuple[int, int]]


class Clock:
    """Noon."""

    def now(self) -> datetime:
        return NOON


@pytest.fixture
def compactor(installation: Installation, aggregator: Running) -> Iterator[Compactor]:
    with closing(Compactor(installation.connect, aggregator.metrics, Clock())) as one:
        yield one


def shopping(seed: int, events: int, users: int, items: int) -> list[Fields]:
    """Random events over two months, a backfill, since they are old; every fifth is a dismissal or a purchase."""
    rng = random.Random(seed)
    found = []
    for number in range(events):
        at = NOON - timedelta(seconds=rng.randrange(60 * 86_400))
        kind = rng.choice(["view", "view", "cart", "purchase", "dismiss"])
        item = f"i{min(int(rng.paretovariate(0.9)), items)}"
        found.append(
            event(f"u{rng.randrange(users)}", item, str(number), kind, occurred_at=at.isoformat(), backfill="old")
        )
    return found


def recounted(events: list[Fields]) -> Counts:
    """The pair counts from the events alone: for each user in order, the newest ten others of each new item."""
    counts: dict[tuple[int, str, str], list[int]] = defaultdict(lambda: [0, 0])
    by_user: dict[str, list[Fields]] = defaultdict(list)
    for fields in events:
        by_user[fields["user_id"]].append(fields)
    for own in by_user.values():
        newest: dict[str, tuple[str, int]] = {}
        bought: set[str] = set()
        for place, fields in enumerate(own):
            if fields["event_type"] == "dismiss":
                continue
            item, at = fields["item_id"], fields["occurred_at"]
            if item not in newest:
                near = sorted(newest, key=lambda other: newest[other], reverse=True)[:PAIR_ITEMS]
                epoch = int(datetime.fromisoformat(at).timestamp()) // EPOCH_SECONDS
                for distance, other in enumerate(near, start=1):
                    both = fields["event_type"] == "purchase" and other in bought
                    for pair in ((item, other), (other, item)):
                        counts[epoch, *pair][0] += PAIR_UNITS // distance
                        counts[epoch, *pair][1] += PAIR_UNITS // distance * both
            newest[item] = max(newest.get(item, ("", -1)), (at, place))
            if fields["event_type"] == "purchase":
                bought.add(item)
    return {key: (units, bought_units) for key, (units, bought_units) in counts.items()}


def held(shop: Shop) -> Counts:
    rows = shop.rows(
        "SELECT epoch, s.external_id, d.external_id, units, bought_units FROM pair "
        "JOIN item_ref s ON s.id = source_id JOIN item_ref d ON d.id = destination_id"
    )
    return {(epoch, source, destination): (units, bought) for epoch, source, destination, units, bought in rows}


@pytest.mark.parametrize("pieces", [1, 7])
def test_counts_equal_a_recount_of_the_log_however_it_is_cut(
    shop: Shop, aggregator: Running, compactor: Compactor, pieces: int
) -> None:
    """Enough items for users to overflow their 64 recent ones."""
    events = shopping(seed=pieces, events=3_000, users=9, items=400)
    size = len(events) // pieces + 1
    for start in range(0, len(events), size):
        shop.append(*events[start : start + size])
        aggregator.drain(shop)
        compactor.turn()

    assert max(Counter(user for user, _, _ in shop.counts()).values()) > 64
    assert held(shop) == recounted(events)


def test_lists_are_the_shares_of_the_decayed_counts(shop: Shop, aggregator: Running, compactor: Compactor) -> None:
    events = shopping(seed=5, events=800, users=40, items=30)
    shop.append(*events)
    aggregator.drain(shop)
    compactor.turn()

    counts = recounted(events)
    newest = max(epoch for epoch, _, _ in counts)
    for source in {source for _, source, _ in counts}:
        decayed: dict[str, float] = {}
        bought = {}
        for destination in {d for _, s, d in counts if s == source}:
            of_pair = [(epoch, counts[epoch, s, d]) for epoch, s, d in counts if (s, d) == (source, destination)]
            decayed[destination] = sum(units * 0.5 ** ((newest - epoch) / 2) for epoch, (units, _) in of_pair)
            bought[destination] = all(units == both for _, (units, both) in of_pair)
        total = sum(decayed.values())
        rows = shop.rows(
            "SELECT d.external_id, p, b FROM item_neighbours JOIN item_ref s ON s.id = source_id, "
            "unnest(destination_ids, probabilities, bought) WITH ORDINALITY AS n (destination, p, b, place) "
            "JOIN item_ref d ON d.id = destination WHERE s.external_id = %s ORDER BY place",
            source,
        )
        assert {item: p for item, p, _ in rows} == pytest.approx({d: value / total for d, value in decayed.items()})
        assert [p for _, p, _ in rows] == sorted((p for _, p, _ in rows), reverse=True)
        assert {item: b for item, _, b in rows} == bought


def test_another_process_goes_on_with_the_same_counts(
    shop: Shop, installation: Installation, aggregator: Running, compactor: Compactor
) -> None:
    events = shopping(seed=9, events=600, users=5, items=120)
    shop.append(*events[:300])
    aggregator.drain(shop)
    aggregator.close()
    with running(installation, "successor") as successor:
        shop.append(*events[300:])
        successor.drain(shop)
    compactor.turn()

    assert held(shop) == recounted(events)


def test_old_epochs_are_neither_counted_nor_kept(shop: Shop, aggregator: Running, compactor: Compactor) -> None:
    old = (NOON - timedelta(days=300)).isoformat()
    shop.append(*(event("u1", item, item, occurred_at=old, backfill="old") for item in "ab"))
    shop.append(*(event("u2", item, item, occurred_at=NOON.isoformat()) for item in "cd"))
    aggregator.drain(shop)
    compactor.turn()

    assert {(source, destination) for _, source, destination in held(shop)} == {("c", "d"), ("d", "c")}


def test_a_bot_that_touches_every_item_adds_a_bounded_number_of_pairs(
    shop: Shop, installation: Installation, aggregator: Running, compactor: Compactor
) -> None:
    """Three hours at ten new items a minute, cut by a take-over; a visitor's pair keeps its weight beside it."""
    items = [f"i{number}" for number in range(1_800)]
    bot = [
        event("bot", item, item, occurred_at=(NOON + timedelta(seconds=6 * place)).isoformat(), backfill="old")
        for place, item in enumerate(items)
    ]
    shop.append(*(event("guest", item, item, occurred_at=NOON.isoformat()) for item in ("i0", "i900")))
    shop.append(*bot[:1_000])
    aggregator.drain(shop)
    aggregator.close()
    with running(installation, "successor") as successor:
        shop.append(*bot[1_000:])
        successor.drain(shop)
    compactor.turn()

    counts = held(shop)
    pairs_of_64 = sum(min(place, PAIR_ITEMS) for place in range(CROWD_ITEMS))
    assert len(counts) == 2 * (pairs_of_64 + 1)
    assert {source for _, source, _ in counts} == {*items[:CROWD_ITEMS], "i900"}
    (seen_together,) = [units for (_, *pair), (units, _) in counts.items() if pair == ["i900", "i0"]]
    assert seen_together == PAIR_UNITS
    assert len(shop.counts()) == len(items) + 2
