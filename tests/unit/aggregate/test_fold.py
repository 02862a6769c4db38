"""Events fold into signals, recents and trend: numbers worked out by hand."""

import math

import numpy as np
import pytest

from whence.aggregate.fold import Touches, fold_signals, fold_trend
from whence.domain.decay import LANDMARK_SECONDS, RATE_PER_SECOND

LANDMARK_US = LANDMARK_SECONDS * 1_000_000
DAY_US = 86_400 * 1_000_000


def touches(*rows: tuple[int, int, int, int, int]) -> Touches:
    return Touches(*np.array(rows, dtype=np.int64).reshape(-1, 5).T)


def test_counts_sums_and_newest_times() -> None:
    """At the landmark an event weighs 1, one half-life (90 days) later 2: together 3, and ln 3 is kept."""
    signals = fold_signals(
        touches(
            (0, 5, 1, LANDMARK_US, 10),
            (0, 5, 1, LANDMARK_US + 90 * DAY_US, 11),
            (0, 5, 2, LANDMARK_US, 12),
            (1, 5, 1, LANDMARK_US, 13),
        )
    )
    assert signals.user.tolist() == [0, 0, 1]
    assert signals.item.tolist() == [5, 5, 5]
    assert signals.type_code.tolist() == [1, 2, 1]
    assert signals.count.tolist() == [2, 1, 1]
    assert signals.log_sum.tolist() == pytest.approx([math.log(3), 0, 0], abs=1e-14)
    assert signals.last_us.tolist() == [LANDMARK_US + 90 * DAY_US, LANDMARK_US, LANDMARK_US]


def test_sums_neither_overflow_nor_vanish_over_centuries() -> None:
    far_us = LANDMARK_US + 400 * 365 * DAY_US
    signals = fold_signals(touches((0, 0, 1, 0, 0), (0, 0, 1, far_us, 1), (0, 0, 1, far_us, 2)))
    assert signals.log_sum[0] == pytest.approx(RATE_PER_SECOND * 400 * 365 * 86_400 + math.log(2), abs=1e-9)


def test_trend_counts_by_item_and_five_minutes() -> None:
    second = 1_000_000
    trend = fold_trend(
        touches((0, 1, 1, 299 * second, 0), (1, 1, 2, 0, 1), (0, 1, 1, 300 * second, 2), (0, 2, 1, 0, 3))
    )
    assert list(zip(trend.item.tolist(), trend.start_s.tolist(), trend.count.tolist(), strict=True)) == [
        (1, 0, 2),
        (1, 300, 1),
        (2, 0, 1),
    ]


def test_nothing_folds_to_nothing() -> None:
    assert fold_signals(touches()).count.size == 0
    assert fold_trend(touches()).count.size == 0
