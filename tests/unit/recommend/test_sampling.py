"""Drawing users: each once, spread over all, whatever their number."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from whence.recommend.sampling import strides


@given(st.integers(0, 5_000))
def test_every_id_is_drawn_once(newest: int) -> None:
    assert sorted(strides(newest)) == list(range(1, newest + 1))


def test_a_part_is_spread_over_all_ids() -> None:
    drawn = list(islice(strides(10_000_000), 1_000))
    by_tenth = [sum(1_000_000 * tenth < number <= 1_000_000 * (tenth + 1) for number in drawn) for tenth in range(10)]
    assert min(by_tenth) > 80


def test_new_users_do_not_change_who_else_is_drawn() -> None:
    before, after = islice(strides(10_000), 400), islice(strides(10_100), 500)
    assert list(before) == [number for number in after if number <= 10_000][:400]
