"""Ranking metrics, by hand."""

import math
from datetime import date, timedelta

import pytest

from whence.evaluation.metrics import Exposure, Scores, hit, ndcg, recall, reciprocal_rank

DAY = date(2024, 3, 1)


def test_ndcg_is_1_for_targets_first_and_normalises_by_what_is_possible() -> None:
    assert ndcg(["a", "b", "x"], {"a", "b"}) == pytest.approx(1.0)
    assert ndcg(["x", "a"], {"a"}) == pytest.approx(1 / math.log2(3))
    assert ndcg(["x", "a", "y", "b"], {"a", "b"}) == pytest.approx(
        (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))
    )


def test_only_the_first_ten_count_for_ndcg_and_twenty_for_the_others() -> None:
    items = [f"x{n}" for n in range(10)] + ["a"]
    assert ndcg(items, {"a"}) == 0
    assert (hit(items, {"a"}), recall(items, {"a", "b"}), reciprocal_rank(items, {"a"})) == (1, 0.5, 1 / 11)
    late = [f"x{n}" for n in range(20)] + ["a"]
    assert (hit(late, {"a"}), recall(late, {"a"}), reciprocal_rank(late, {"a"})) == (0, 0, 0)


def test_figures_are_percent_with_standard_errors() -> None:
    scores = Scores()
    scores.add(["a"], {"a"}, DAY, 2.0)
    scores.add(["b"], {"a"}, DAY + timedelta(1), 4.0)
    scores.add(["b"], {"a"}, DAY + timedelta(1), 4.0)
    scores.add(["a"], {"a"}, DAY, 2.0)

    figures = scores.figures(known_items=8)

    assert figures["queries"] == 4
    assert (figures["hr_at_20"], figures["mrr_at_20"], figures["coverage"]) == (50, 50, 25)
    assert figures["hr_at_20_error"] == pytest.approx(25)
    assert figures["novelty_bits"] == 3
    assert scores.daily() == {
        "2024-03-01": {"queries": 2, "ndcg_at_10": 100.0},
        "2024-03-02": {"queries": 2, "ndcg_at_10": 0.0},
    }


def test_novelty_is_the_mean_self_information_of_what_was_shown() -> None:
    exposure = Exposure()
    exposure.count("aaaaaabc")

    assert exposure.novelty(["b", "a"]) == pytest.approx((3 + math.log2(8 / 6)) / 2)
    assert exposure.novelty(["never touched"]) == 3
    assert exposure.novelty([]) == 0
    assert exposure.known_items == 3
