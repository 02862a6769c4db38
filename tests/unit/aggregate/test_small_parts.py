"""The poison limit, the packed recents, the bounded memory, the trend's levels."""

from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from whence.aggregate.batch import Interest
from whence.aggregate.memory import BoundedMemory
from whence.aggregate.poison import PoisonGuard
from whence.aggregate.recent import ENTRY, RECENT_ITEMS_MAX, merge_recents
from whence.aggregate.trend import bucket_deltas


def first_excess(guard: PoisonGuard, dead: list[bool]) -> int | None:
    return guard.first_excess(np.array(dead, dtype=np.bool_))


def test_199_dead_in_a_row_are_borne_and_the_200th_stops() -> None:
    guard = PoisonGuard()
    assert first_excess(guard, [True] * 199 + [False] + [True] * 199) is None
    assert first_excess(guard, [True]) == 0
    assert "200 dead letters in a row" in guard.verdict()


def test_more_than_half_of_the_last_2000_stops() -> None:
    guard = PoisonGuard()
    assert first_excess(guard, [True, False] * 2_000) is None, "exactly half of any 2,000"
    assert first_excess(guard, [True, True]) == 1, "the first dead one replaces a dead one, the second a good one"


def test_dead_ones_long_ago_are_forgotten() -> None:
    guard = PoisonGuard()
    assert first_excess(guard, ([True] * 150 + [False]) * 6) is None
    assert first_excess(guard, [False] * 2_000) is None
    assert first_excess(guard, ([True] * 150 + [False]) * 6) is None


@given(st.lists(st.lists(st.sampled_from([True, False]), max_size=40), max_size=8))
def test_the_limit_does_not_depend_on_how_records_are_batched(batches: list[list[bool]]) -> None:
    """Each sign stands for 60 records in a row, so that both limits come into reach."""
    whole, parts = PoisonGuard(), PoisonGuard()
    stretched = [[dead for dead in batch for _ in range(60)] for batch in batches]
    at = first_excess(whole, [dead for batch in stretched for dead in batch])
    before = 0
    for batch in stretched:
        if (found := first_excess(parts, batch)) is not None:
            assert before + found == at
            assert parts.verdict() == whole.verdict()
            return
        before += len(batch)
    assert at is None


def unpacked(packed: bytes) -> list[tuple[int, int, int]]:
    return [tuple(row[:3]) for row in np.frombuffer(packed, ENTRY).tolist()]


def columns_of(parts: list[Interest]) -> list[tuple[np.ndarray, ...]]:
    """The same column of each part, for every column."""
    names = ("user", "item", "time_us", "offset", "bought")
    return [tuple(getattr(part, name) for part in parts) for name in names]


def interest(*rows: tuple[int, int, int, int], bought: bool = False) -> Interest:
    user, item, time_us, offset = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return Interest(user, item, time_us, offset, np.full(len(rows), bought))


touch = st.tuples(st.integers(0, 2), st.integers(1, 90), st.integers(-5, 5))


@given(st.lists(st.lists(touch, max_size=100), max_size=4))
def test_recents_hold_the_newest_64_items_after_any_batches(batches: list[list[tuple[int, int, int]]]) -> None:
    packed = [b"", b"", b""]
    expected: list[list[tuple[int, int, int]]] = [[], [], []]
    offset = 0
    for batch in batches:
        rows = [(user, item, time, offset + place) for place, (user, item, time) in enumerate(batch)]
        offset += len(batch)
        packed = merge_recents(packed, interest(*rows))
        for user in range(3):
            touched = expected[user] + [(item, time, at) for owner, item, time, at in rows if owner == user]
            newest = {item: (time, at) for item, time, at in sorted(touched, key=lambda row: row[1:])}
            order = sorted(newest, key=lambda item: newest[item], reverse=True)
            expected[user] = [(item, *newest[item]) for item in order[:RECENT_ITEMS_MAX]]
    assert [unpacked(one) for one in packed] == expected


def test_a_recent_item_takes_25_big_endian_bytes() -> None:
    (packed,) = merge_recents([b""], interest((0, 7, -1, 258), bought=True))
    assert packed == (7).to_bytes(8, "big") + b"\xff" * 8 + (258).to_bytes(8, "big") + b"\x01"


def test_what_was_bought_once_stays_so_when_it_is_looked_at_again() -> None:
    packed = merge_recents([b""], interest((0, 7, 1, 1), (0, 8, 1, 2), bought=True))
    (packed_after,) = merge_recents(packed, interest((0, 7, 9, 3), (0, 9, 5, 4)))
    assert np.frombuffer(packed_after, ENTRY).tolist() == [(7, 9, 3, True), (9, 5, 4, False), (8, 1, 2, True)]


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 30), st.booleans()), min_size=60, max_size=200),
    st.integers(0, 200),
)
def test_what_is_remembered_as_bought_does_not_depend_on_the_batches(
    touches: list[tuple[int, int, bool]], cut: int
) -> None:
    rows = [
        interest((0, item, time + place, place), bought=bought) for place, (item, time, bought) in enumerate(touches)
    ]

    def merged(parts: list[list[Interest]]) -> list[bytes]:
        packed = [b""]
        for part in filter(None, parts):
            packed = merge_recents(packed, Interest(*(np.concatenate(columns) for columns in columns_of(part))))
        return packed

    singly = merged([[row] for row in rows])
    assert merged([rows]) == singly
    assert merged([rows[:cut], rows[cut:]]) == singly


def test_memory_stays_bounded_and_keeps_what_is_used() -> None:
    memory: BoundedMemory[int, str] = BoundedMemory(10)
    for key in range(100):
        memory.put(key, str(key))
        assert memory.get(0) == "0", "used each time"
        assert len(memory) <= 10
    assert memory.get(98) == "98"
    assert memory.get(5) is None
    memory.clear()
    assert memory.get(0) is None


def test_buckets_of_three_widths_and_only_where_they_still_count() -> None:
    """As of 2024-03-04T12:00Z: now, 4 days ago (too old for 5-minute buckets), 20 days ago (days only), a year ago."""
    now_s = 1_709_553_600
    day_s = 86_400
    entries = [
        (1, now_s, 2),
        (1, now_s - 300, 1),
        (1, now_s - 4 * day_s, 5),
        (2, now_s - 20 * day_s, 7),
        (3, now_s - 365 * day_s, 9),
    ]
    found = bucket_deltas(np.array(entries, dtype=np.int64).reshape(-1), datetime(2024, 3, 4, 12, tzinfo=UTC))
    rows = list(
        zip(
            found.level.tolist(),
            (found.start_us // 1_000_000).tolist(),
            found.item.tolist(),
            found.count.tolist(),
            strict=True,
        )
    )
    assert rows == [
        (0, now_s - 300, 1, 1),
        (0, now_s, 1, 2),
        (1, now_s - 4 * day_s, 1, 5),
        (1, now_s - 3_600, 1, 1),
        (1, now_s, 1, 2),
        (2, now_s - day_s * 20 - day_s // 2, 2, 7),
        (2, now_s - day_s * 4 - day_s // 2, 1, 5),
        (2, now_s - day_s // 2, 1, 3),
    ]
