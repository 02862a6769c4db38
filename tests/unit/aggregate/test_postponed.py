"""Which partitions are tried again when."""

from whence.aggregate.postponed import CUT_OFF_SECONDS, PAUSE_SECONDS, Postponed
from whence.kit.clock import Times


class Hands:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def postponed() -> tuple[Postponed, Hands]:
    hands = Hands()
    return Postponed(Times(monotonic=hands.monotonic)), hands


def test_without_trouble_all_are_due_in_order() -> None:
    assert postponed()[0].due({3, 1, 2}) == [1, 2, 3]


def test_after_a_silence_nothing_is_tried_for_a_while_and_the_silent_ones_come_last() -> None:
    partitions, hands = postponed()
    partitions.silent(1)
    assert partitions.due({1, 2, 3}) == []
    hands.now += PAUSE_SECONDS
    partitions.silent(2)
    hands.now += PAUSE_SECONDS
    assert partitions.due({1, 2, 3}) == [3, 1, 2]
    partitions.settled(1)
    assert partitions.due({1, 2, 3}) == [1, 3, 2]


def test_an_end_before_our_position_is_believed_once_it_has_been_told_for_long_without_a_good_answer() -> None:
    partitions, hands = postponed()
    assert not partitions.cut_off(1)
    hands.now += CUT_OFF_SECONDS - 1
    assert not partitions.cut_off(1)
    partitions.settled(1)
    assert not partitions.cut_off(1)
    hands.now += CUT_OFF_SECONDS
    assert partitions.cut_off(1)


def test_silence_is_no_sign_that_the_log_was_cut_off() -> None:
    partitions, hands = postponed()
    assert not partitions.cut_off(1)
    hands.now += CUT_OFF_SECONDS
    partitions.silent(1)
    assert not partitions.cut_off(1)
