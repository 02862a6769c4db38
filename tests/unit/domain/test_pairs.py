"""Which pairs a first touch makes, by hand."""

from whence.domain.pairs import CROWD_ITEMS, CROWD_SECONDS, EPOCH_SECONDS, FirstTouch, Recent, Touch, first_touches

SECOND = 1_000_000


def touch(item: int, second: int, offset: int = 0, *, bought: bool = False, first: bool = True) -> Touch:
    return Touch(item, second * SECOND, offset, bought, first)


def others(found: list[FirstTouch]) -> list[tuple[int, tuple[int, ...]]]:
    return [(one.item, one.others) for one in found]


def test_the_first_item_of_a_user_makes_no_pair() -> None:
    assert first_touches([], [touch(1, 5)]) == []


def test_each_new_item_is_paired_with_the_newest_others_nearest_first() -> None:
    found = first_touches(
        [Recent(2 * SECOND, 0, 8, False), Recent(1 * SECOND, 0, 9, False)], [touch(1, 5), touch(2, 6)]
    )

    assert others(found) == [(1, (8, 9)), (2, (1, 8, 9))]


def test_at_most_ten_others_count() -> None:
    found = first_touches([], [touch(item, item) for item in range(1, 13)])

    assert others(found)[-1] == (12, (11, 10, 9, 8, 7, 6, 5, 4, 3, 2))


def test_a_repeat_makes_no_pair_and_moves_its_item_to_the_front() -> None:
    touches = [touch(1, 1), touch(2, 2), touch(1, 3, first=False), touch(3, 4)]

    assert others(first_touches([], touches)) == [(2, (1,)), (3, (1, 2))]


def test_nearness_goes_by_event_time_then_offset_not_by_arrival() -> None:
    touches = [touch(1, 50, 0), touch(2, 10, 1), touch(3, 10, 2), touch(4, 60, 3)]

    assert others(first_touches([], touches))[-1] == (4, (1, 3, 2))


def test_both_sides_must_be_purchases_to_count_as_bought() -> None:
    touches = [touch(1, 1, bought=True), touch(2, 2), touch(3, 3, bought=True), touch(2, 4, bought=True, first=False)]
    touches += [touch(4, 5, bought=True)]

    assert [(one.item, one.others, one.both_bought) for one in first_touches([], touches)] == [
        (2, (1,), (False,)),
        (3, (2, 1), (False, True)),
        (4, (2, 3, 1), (True, True, True)),
    ]


def test_the_epoch_is_that_of_the_event() -> None:
    (found,) = first_touches([Recent(0, 0, 8, False)], [touch(1, 3 * EPOCH_SECONDS - 1)])

    assert found.epoch == 2


def test_a_crowd_of_touches_makes_no_pairs_until_it_slows_down() -> None:
    crowd = [touch(item, 100, item) for item in range(CROWD_ITEMS)]
    end = 100 + CROWD_SECONDS
    found = first_touches([], [*crowd, touch(1_000, end - 1, 1_000), touch(1_001, end, 1_001)])

    assert [one.item for one in found] == [*range(1, CROWD_ITEMS), 1_001]
