"""Pair rows in columns say of every touch what the plain rule says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from whence.aggregate.batch import Interest
from whence.aggregate.recent import ENTRY, merge_recents
from whence.aggregate.touches import PAIR_ROW, pair_rows, unpack_pairs
from whence.domain.pairs import CROWD_ITEMS, CROWD_SECONDS, PAIR_UNITS, FirstTouch, Recent, Touch, first_touches

USERS = 3
SECOND = 1_000_000

touches = st.lists(
    st.tuples(st.integers(0, USERS - 1), st.integers(1, 6), st.integers(0, 10_000_000), st.booleans()), max_size=12
)


def interest(rows: list[tuple[int, int, int, bool]], first_offset: int = 0) -> Interest:
    """Touches as columns; times are given in seconds."""
    user, item, time_s, bought = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Interest(
        np.array(user, np.int64),
        np.array(item, np.int64),
        np.array(time_s, np.int64) * SECOND,
        np.arange(first_offset, first_offset + len(rows)),
        np.array(bought, np.bool_),
    )


def by_the_rule(before: list[bytes], given: Interest, first: list[bool]) -> list[FirstTouch]:
    found = []
    for user, packed in enumerate(before):
        recents = [
            Recent(time_us, at, item, bought) for item, time_us, at, bought in np.frombuffer(packed, ENTRY).tolist()
        ]
        columns = (given.item, given.time_us, given.offset, given.bought)
        rows = list(zip(*(column.tolist() for column in columns), first, strict=True))
        found += first_touches(recents, [Touch(*row) for at, row in enumerate(rows) if given.user[at] == user])
    return found


def told(rows: np.ndarray) -> list[FirstTouch]:
    found = []
    for item, epoch, bought, others in rows.tolist():
        near = tuple(int(other) for other in others if other)
        found.append(FirstTouch(item, epoch, near, tuple(bool(bought >> place & 1) for place in range(len(near)))))
    return found


@given(touches, touches, st.integers(0, 2 * CROWD_ITEMS))
def test_columns_say_what_the_rule_says(
    earlier: list[tuple[int, int, int, bool]], now: list[tuple[int, int, int, bool]], crowd: int
) -> None:
    """User 0 has touched many other items before, around second 5,000,000."""
    many = [(0, 100 + place, 5_000_000 + place // 4, False) for place in range(crowd)]
    before = merge_recents([b""] * USERS, interest([*earlier, *many]))
    given_now = interest(now, 1_000)
    seen = {(user, item) for user, item, *_ in earlier}
    first = []
    for user, item, *_ in now:
        first.append((user, item) not in seen)
        seen.add((user, item))
    rows, users = pair_rows(before, given_now, np.array(first, np.bool_))
    assert {(user, touch.item) for user, touch in zip(users.tolist(), told(rows), strict=True)} <= {
        (user, item) for user, item, *_ in now
    }
    assert sorted(told(rows), key=repr) == sorted(by_the_rule(before, given_now, first), key=repr)


def test_a_single_touch_in_a_crowd_makes_no_pair_until_it_slows_down() -> None:
    crowd = merge_recents([b""], interest([(0, 100 + place, 100, False) for place in range(CROWD_ITEMS)]))
    first = np.ones(1, np.bool_)
    assert pair_rows(crowd, interest([(0, 1, 99 + CROWD_SECONDS, False)], 1_000), first)[0].size == 0
    assert pair_rows(crowd, interest([(0, 1, 100 + CROWD_SECONDS, False)], 1_000), first)[0].size == 1


def test_rows_unpack_to_both_directions_with_the_units_of_their_place() -> None:
    rows = np.array([(7, 3, 0b10, [5, 6] + [0] * 8)], PAIR_ROW)
    found = unpack_pairs(rows)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == [
        (3, 7, 5, PAIR_UNITS, 0),
        (3, 7, 6, PAIR_UNITS // 2, PAIR_UNITS // 2),
        (3, 5, 7, PAIR_UNITS, 0),
        (3, 6, 7, PAIR_UNITS // 2, PAIR_UNITS // 2),
    ]
