"""How long the compactor rests between two folds."""

import pytest

from whence.aggregate.compactor import FOLD_REST, LISTS_BEHIND_SECONDS, rest_after


def test_a_short_fold_costs_a_bounded_share_of_a_core() -> None:
    assert rest_after(2.0) == FOLD_REST * 2.0


@pytest.mark.parametrize("fold_seconds", [0.0, 0.01, 1.0, 5.0, 5.5, 10.0, 15.0])
def test_the_fold_missed_the_rest_and_the_next_fold_keep_to_the_promise(fold_seconds: float) -> None:
    assert 2 * fold_seconds + rest_after(fold_seconds) <= LISTS_BEHIND_SECONDS


def test_a_fold_that_takes_longer_than_the_promise_allows_is_followed_at_once() -> None:
    assert rest_after(20.0) == 0.0
