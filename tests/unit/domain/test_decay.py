"""Decay: numbers worked out by hand, and sums that do not depend on order or batches."""

import math
import random
from decimal import Decimal, localcontext
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.domain.decay import (
    HALF_LIFE_SECONDS,
    LANDMARK_SECONDS,
    MIN_EXPONENT,
    RATE_PER_SECOND,
    decay,
    decayed_sum,
    log_add,
    log_contribution,
)

EMPTY = -math.inf
NOW = 1_800_000_000
FORTY_YEARS_SECONDS = 40 * 365 * 86_400

times = st.integers(NOW - FORTY_YEARS_SECONDS, NOW)
many_times = st.lists(times, min_size=1, max_size=60)


def fold(moments: list[int]) -> float:
    total = EMPTY
    for moment in moments:
        total = log_add(total, log_contribution(moment))
    return total


def exact_log_sum(moments: list[int]) -> Decimal:
    """ln of the sum with 60 digits: no overflow, no rounding that matters."""
    with localcontext() as context:
        context.prec = 60
        rate = Decimal(2).ln() / HALF_LIFE_SECONDS
        return sum((rate * (moment - LANDMARK_SECONDS)).exp() for moment in moments).ln()  # type: ignore[union-attr]


def test_an_event_at_the_landmark_adds_1() -> None:
    assert log_contribution(LANDMARK_SECONDS) == 0.0


def test_a_half_life_later_an_event_adds_twice_as_much() -> None:
    assert log_contribution(LANDMARK_SECONDS + HALF_LIFE_SECONDS) == pytest.approx(math.log(2), rel=1e-15)


def test_adding_logarithms_adds_the_numbers() -> None:
    assert log_add(math.log(3), math.log(4)) == pytest.approx(math.log(7), abs=1e-15)
    assert log_add(math.log(4), math.log(3)) == pytest.approx(math.log(7), abs=1e-15)


def test_the_empty_sum_changes_nothing() -> None:
    assert log_add(EMPTY, 1.5) == 1.5
    assert log_add(1.5, EMPTY) == 1.5
    assert log_add(EMPTY, EMPTY) == EMPTY


def test_nothing_overflows() -> None:
    assert log_add(1e6, 1e6) == pytest.approx(1e6 + math.log(2), rel=1e-15)
    assert log_add(1e6, -1e6) == 1e6


def test_one_fresh_event_counts_1_and_a_half_life_old_one_half() -> None:
    both = log_add(log_contribution(NOW), log_contribution(NOW - HALF_LIFE_SECONDS))
    assert decayed_sum(log_contribution(NOW), NOW) == pytest.approx(1.0, abs=1e-12)
    assert decayed_sum(both, NOW) == pytest.approx(1.5, abs=1e-12)
    assert decayed_sum(both, NOW + HALF_LIFE_SECONDS) == pytest.approx(0.75, abs=1e-12)


def test_the_empty_sum_and_a_very_old_one_stay_above_underflow() -> None:
    assert decayed_sum(EMPTY, NOW) == pytest.approx(2.0**-900, rel=1e-12)
    assert decayed_sum(log_contribution(0), 1e12) == pytest.approx(2.0**-900, rel=1e-12)
    assert math.exp(MIN_EXPONENT) > 0


@given(many_times, st.randoms(use_true_random=False))
def test_a_sum_is_the_same_in_any_order(moments: list[int], chance: random.Random) -> None:
    shuffled = list(moments)
    chance.shuffle(shuffled)
    assert fold(shuffled) == pytest.approx(fold(moments), abs=1e-9)


@given(many_times, st.lists(st.integers(0, 60), max_size=5))
def test_a_sum_is_the_same_in_any_batches(moments: list[int], cuts: list[int]) -> None:
    edges = sorted({0, len(moments), *(min(cut, len(moments)) for cut in cuts)})
    total = EMPTY
    for start, end in pairwise(edges):
        total = log_add(total, fold(moments[start:end]))
    assert total == pytest.approx(fold(moments), abs=1e-9)


@given(many_times)
def test_a_sum_equals_exact_arithmetic(moments: list[int]) -> None:
    assert abs(Decimal(fold(moments)) - exact_log_sum(moments)) < Decimal("1e-9")


@given(many_times)
def test_a_decayed_sum_is_the_classic_sum_of_halved_weights(moments: list[int]) -> None:
    classic = math.fsum(2.0 ** -((NOW - moment) / HALF_LIFE_SECONDS) for moment in moments)
    assert decayed_sum(fold(moments), NOW) == pytest.approx(classic, rel=1e-9)


@given(many_times, many_times, st.integers(0, FORTY_YEARS_SECONDS))
def test_waiting_never_changes_which_sum_is_larger(left: list[int], right: list[int], wait_seconds: int) -> None:
    difference = fold(left) - fold(right)
    later = NOW + min(wait_seconds, 100 * HALF_LIFE_SECONDS)
    if difference > 1e-6:
        assert decayed_sum(fold(left), later) >= decayed_sum(fold(right), later)


@pytest.mark.parametrize(
    ("age_seconds", "share"), [(0, 1.0), (10, 0.5), (20, 0.25), (-5, 1.0), (5, math.sqrt(0.5)), (1e9, 2.0**-900)]
)
def test_decay_halves_with_every_half_life(age_seconds: float, share: float) -> None:
    assert decay(age_seconds, 10) == pytest.approx(share, rel=1e-12)


def test_the_rate_is_the_half_lifes() -> None:
    assert math.exp(-RATE_PER_SECOND * HALF_LIFE_SECONDS) == pytest.approx(0.5, rel=1e-15)
