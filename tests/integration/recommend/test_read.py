"""The read statement gives exactly what the plain reference gives, on random states of a real PostgreSQL."""

import asyncio
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import product

import psycopg
import pytest

from conftest import Installation
from integration.recommend.states import NOW, Shop, random_shop, write_shop
from whence.domain.blend import Candidate, blend
from whence.domain.blend_weights import BlendWeights
from whence.domain.reasons import Evidence
from whence.domain.state import Exclude, State, hidden_items, unite
from whence.kit.database import conninfo
from whence.recommend.read import EVIDENCE_ALL, Ask, Found, read_candidates, usable_weights

TOLERANCE = 1e-9
SEEDS_A_BLOCK = 15
WEIGHTS: Sequence[Mapping[str, float]] = (
    {"view": 1, "click": 2, "cart": 3, "purchase": 5, "dismiss": 0},
    {"view": 0, "click": 0, "cart": 0, "purchase": 0, "dismiss": 0},
    {"view": -2, "click": 0.5, "cart": 3, "purchase": 1e6, "dismiss": -4},
    {"view": 1e-300, "purchase": 5},
)
MIXTURES = (
    BlendWeights(),
    BlendWeights(short=0, long=1, long_alone=0.2, own=2, trend_6h=0, short_half_life_minutes=600, rank_factor=1),
    BlendWeights(short=1e-4, refined=0, short_half_life_minutes=0.1, rank_factor=0.4, short_damping=100),
)


class Reader:
    """Asks the statement from synchronous tests."""

    def __init__(self, url: str, namespace: str) -> None:
        self._runner = asyncio.Runner()
        self._connection = self._runner.run(
            psycopg.AsyncConnection.connect(conninfo(url, namespace, "test"), autocommit=True)
        )

    def ask(self, ask: Ask) -> tuple[Found, ...]:
        """The candidates found."""
        return self._runner.run(read_candidates(self._connection, ask)).found

    def close(self) -> None:
        """Let go of the connection."""
        self._runner.run(self._connection.close())
        self._runner.close()


@pytest.fixture
def reader(installation: Installation) -> Iterator[Reader]:
    opened = Reader(installation.url, installation.namespace)
    yield opened
    opened.close()


@pytest.mark.parametrize("block", range(4))
def test_the_statement_equals_the_reference_on_random_states(
    database: psycopg.Connection, reader: Reader, block: int
) -> None:
    for seed in range(block * SEEDS_A_BLOCK, (block + 1) * SEEDS_A_BLOCK):
        shop = random_shop(seed)
        write_shop(database, shop)
        for ask in random_asks(random.Random(seed), shop):
            check_equal(reader.ask(ask), expected(shop, ask))


def random_asks(rng: random.Random, shop: Shop) -> Iterator[Ask]:
    policies: Sequence[Exclude] = ("none", "purchased", "seen")
    for subjects, exclude in product((["u"], ["u", "s"], ["nobody"]), policies):
        yield Ask(
            subjects=subjects,
            partitions=[0],
            weights=rng.choice(WEIGHTS),
            as_of=NOW + rng.choice((timedelta(0), timedelta(days=2), timedelta(days=-400))),
            size=rng.choice((1, 10, 50)),
            exclude=exclude,
            categories=rng.choice(((), (), ("kitchen",), ("garden", "toys"))),
            excluded_items=[f"i{rng.randint(1, shop.items)}" for _ in range(rng.randint(0, 2))],
            unknown_items=rng.random() < 0.7,
            evidence_max=EVIDENCE_ALL,
            mixture=rng.choice(MIXTURES),
        )


def expected(shop: Shop, ask: Ask) -> list[Candidate]:
    """The list by the reference, without the items that only fill it."""
    state = state_of(shop, ask)
    weights = usable_weights(ask.weights)
    hidden = hidden_items(state.signals, weights, ask.exclude)
    ranked = blend(state, weights, ask.as_of, ask.mixture, repeats=ask.exclude != "seen")
    return [c for c in ranked if c.item_id not in hidden and may_show(shop, ask, c.item_id)][: ask.size]


def state_of(shop: Shop, ask: Ask) -> State:
    known = [shop.users[name] for name in ask.subjects if name in shop.users]
    return State(
        recents=unite([recent for user in known for recent in user.recents[:50]]),
        signals=[signal for user in known for signal in user.signals],
        neighbours=shop.neighbours,
        bought=shop.bought,
        refined=shop.refined,
        trends=shop.trends,
    )


def may_show(shop: Shop, ask: Ask, item_id: int) -> bool:
    entry = shop.catalogue.get(item_id)
    if f"i{item_id}" in ask.excluded_items:
        return False
    if entry is None:
        return ask.unknown_items and not ask.categories
    wanted = not ask.categories or bool(set(ask.categories) & set(entry.categories))
    return entry.available and not entry.deleted and wanted


def check_equal(found: Sequence[Found], wanted: Sequence[Candidate]) -> None:
    """Same items, scores and parts; items of the same score may stand in any order among themselves."""
    scored = [one for one in found if one.evidence[0].code not in ("catalogue", "known_item")]
    assert [one.score for one in scored] == pytest.approx([one.score for one in wanted], abs=TOLERANCE)
    by_item = {f"i{one.item_id}": one for one in wanted}
    for one in scored:
        if one.item_id in by_item:
            check_parts(one, by_item[one.item_id])
        else:  # cut off by the size among items of the same score
            assert one.score == pytest.approx(wanted[-1].score, abs=TOLERANCE)
    assert math.fsum(part.contribution for one in found for part in one.evidence) == pytest.approx(
        math.fsum(one.score for one in found), abs=TOLERANCE * max(len(found), 1)
    )


def check_parts(found: Found, wanted: Candidate) -> None:
    assert found.score == pytest.approx(wanted.score, abs=TOLERANCE)
    assert found.personal == any(part.code != "trending" for part in wanted.parts)
    assert sum(part.contribution for part in found.evidence) == pytest.approx(found.score, abs=TOLERANCE)
    ours = {part_key(e): e.contribution for e in found.evidence}
    theirs = {
        (
            p.code,
            p.source_id and f"i{p.source_id}",
            p.event_type,
            p.count,
            p.last_at,
            p.horizon,
            p.probability,
        ): p.contribution
        for p in wanted.parts
    }
    assert ours.keys() == theirs.keys()
    assert ours == pytest.approx(theirs, abs=TOLERANCE)


def part_key(part: Evidence) -> tuple[object, ...]:
    code = "trending" if part.code == "popular_in_category" else part.code
    return code, part.item_id, part.event_type, part.count, part.last_at, part.horizon, part.probability
