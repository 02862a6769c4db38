"""Scores taken apart are the blend's scores, and a proposal finds what was planted and no noise."""

import random
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from unit.domain.test_blend import NOW, WEIGHTS, once, recent
from whence.domain.blend import blend
from whence.domain.blend_weights import DEFAULT_BLEND, BlendWeights
from whence.domain.state import Refined, State
from whence.evaluation.components import MEMORIES, Components, components, promising, weight_vector, with_memory
from whence.evaluation.metrics import ndcg
from whence.evaluation.tuning import Asked, Queries, asked, memory_of, propose

NOTHING = np.zeros(0, np.int64)
WIDTH = len(weight_vector(DEFAULT_BLEND, 0))


def random_state(rng: random.Random) -> State:
    """Some of everything."""
    ages = sorted(rng.uniform(0, 100) for _ in range(rng.randint(0, 12)))
    items = rng.sample(range(1, 40), len(ages))
    times = [NOW - timedelta(hours=age) for age in ages]
    shares = [{rng.randint(1, 60): rng.random() for _ in range(8)} for _ in range(6)]
    return State(
        [recent(item, at) for item, at in zip(items, times, strict=True)],
        [once(item, rng.choice(["view", "purchase"]), at) for item, at in zip(items, times, strict=True)],
        neighbours={item: shares[item % 3] for item in items if item % 4},
        refined={item: Refined(shares[3 + item % 3], rng.uniform(-2, 3)) for item in items if item % 3},
        trends={"6h": shares[0], "7d": shares[4]},
    )


@pytest.mark.parametrize("seed", range(30))
def test_taken_apart_and_put_together_is_the_blend(seed: int) -> None:
    rng = random.Random(seed)
    state, repeats = random_state(rng), rng.random() < 0.5
    memory = rng.randrange(len(MEMORIES))
    mixture = with_memory(BlendWeights(long=0.7, own=0.9, trend_6h=0, refined=0.2), memory)
    hidden = np.array(rng.sample(range(60), 5), np.int64)

    found = components(state, WEIGHTS, NOW, hidden, repeats=repeats)

    scores = dict(zip(found.items.tolist(), (found.columns @ weight_vector(mixture, memory)).tolist(), strict=True))
    wanted = {one.item_id: one.score for one in blend(state, WEIGHTS, NOW, mixture, repeats=repeats)}
    for item in hidden.tolist():
        assert item not in scores
        wanted.pop(item, None)
    assert {item: score for item, score in scores.items() if score} == pytest.approx(wanted, abs=1e-12)


def test_the_table_of_queries_scores_them_as_the_metric_does() -> None:
    rng = np.random.default_rng(3)
    queries, expected = [], []
    for size in (3, 12, 40):
        columns = rng.random((size, WIDTH))
        wanted = rng.random(size) < 0.3
        wanted[0] = True
        targets = int(wanted.sum()) + 1
        queries.append(Asked(columns, wanted, targets))
        order = np.argsort(-(columns @ weight_vector(DEFAULT_BLEND, memory_of(DEFAULT_BLEND))))
        names = [str(place) for place in order.tolist()]
        expected.append(ndcg(names, {str(place) for place in np.flatnonzero(wanted)} | {"never a candidate"}))

    assert Queries(queries).ndcg(DEFAULT_BLEND).tolist() == pytest.approx(expected)


def planted(seed: int, column: int, strength: float) -> Queries:
    """Queries whose targets stand out in one column."""
    rng = np.random.default_rng(seed)
    queries = []
    for _ in range(200):
        columns = rng.random((60, WIDTH)) * 0.1
        wanted = np.zeros(60, np.bool_)
        wanted[rng.integers(0, 60, 3)] = True
        columns[wanted, column] += strength
        queries.append(Asked(columns, wanted, int(wanted.sum())))
    return Queries(queries)


def test_a_proposal_finds_the_part_that_foretells() -> None:
    queries = planted(1, column=4, strength=0.06)  # the trend of a week
    proposed = propose(queries, DEFAULT_BLEND, repeats=False)

    assert proposed.trend_7d * DEFAULT_BLEND.short > 4 * DEFAULT_BLEND.trend_7d * proposed.short
    assert queries.ndcg(proposed).mean() > queries.ndcg(DEFAULT_BLEND).mean() + 0.1
    assert (proposed.own, proposed.long_alone) == (DEFAULT_BLEND.own, DEFAULT_BLEND.long_alone)
    again = planted(2, column=4, strength=0.06)
    assert again.ndcg(proposed).mean() > again.ndcg(DEFAULT_BLEND).mean() + 0.1


def test_where_nothing_can_be_gained_the_blend_in_force_is_proposed() -> None:
    columns = np.zeros((20, WIDTH))
    queries = Queries([Asked(columns, np.ones(20, np.bool_), 20)] * 10)

    assert propose(queries, DEFAULT_BLEND, repeats=True) == DEFAULT_BLEND


def test_a_step_that_loses_in_a_part_of_the_days_is_not_taken() -> None:
    """What the first half gains by the trend of a week, the second half loses."""
    first, second = np.zeros((12, WIDTH)), np.zeros((12, WIDTH))
    wanted = np.arange(12) == 11
    first[:, 0], second[:, 0] = 1 - np.arange(12) / 100, np.arange(12) / 100
    first[11, 4], second[:11, 4] = 9, 9
    queries = Queries([Asked(first, wanted, 1)] * 5 + [Asked(second, wanted, 1)] * 5)
    begin = BlendWeights(long=1, trend_7d=0)

    assert queries.ndcg(replace(begin, trend_7d=0.1)).mean() >= queries.ndcg(begin).mean()
    assert propose(queries, begin, repeats=False).trend_7d == 0


def test_a_step_that_gains_by_chance_is_not_taken() -> None:
    """Six queries gain and five lose."""
    wanted = np.arange(12) == 11
    better, worse = np.zeros((12, WIDTH)), np.zeros((12, WIDTH))
    better[:, 0], worse[:, 0] = 1 - np.arange(12) / 100, np.arange(12) / 100
    better[11, 4], worse[:11, 4] = 9, 9
    begin = BlendWeights(long=1, trend_7d=0)
    of_part = [Asked(better, wanted, 1), Asked(worse, wanted, 1)]
    lucky = Queries([*of_part * 4, Asked(better, wanted, 1)])
    certain = Queries([Asked(better, wanted, 1)] * 9)

    assert propose(certain, begin, repeats=False) != begin
    assert propose(lucky, begin, repeats=False).trend_7d == 0


def test_promising_candidates_are_the_best_by_score_and_of_each_column() -> None:
    columns = np.zeros((6, WIDTH))
    columns[:, 0] = [6, 5, 4, 3, 2, 1]
    columns[5, 3] = 1e-6
    found = Components(np.arange(6), columns)

    assert promising(found, weight_vector(DEFAULT_BLEND, 0), 2, 1) == [0, 1, 5]
    kept = asked(found, [1, 99], 2, DEFAULT_BLEND)
    assert (kept.wanted.sum(), kept.targets) == (1, 2)


def test_the_nearest_memory_of_a_blend_is_found() -> None:
    assert MEMORIES[memory_of(BlendWeights(short_half_life_minutes=100, rank_factor=0.7))] == (120, 0.8)
    assert MEMORIES[memory_of(DEFAULT_BLEND)] == (30, 0.5)
