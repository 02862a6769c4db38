"""Segments become trend buckets and lists, exactly once; what has served its time goes."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from conftest import Installation
from integration.aggregate.support import Running, Shop, event
from whence.aggregate.compactor import Compactor

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)


class FixedClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.moment = NOON

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def compactor(installation: Installation, aggregator: Running, clock: FixedClock) -> Iterator[Compactor]:
    with closing(Compactor(installation.connect, aggregator.metrics, clock)) as one:
        yield one


def lists(shop: Shop) -> dict[str, list[tuple[str, object]]]:
    rows = shop.rows(
        "SELECT horizon, external_id, value FROM trend_list JOIN item_ref ON id = item_id ORDER BY horizon, rank"
    )
    found: dict[str, list[tuple[str, object]]] = {}
    for horizon, item, value in rows:
        found.setdefault(horizon, []).append((item, value))
    return found


def buckets(shop: Shop) -> list[tuple[int, str, str, int]]:
    return shop.rows(
        "SELECT level, to_char(start_at, 'MM-DD HH24:MI'), external_id, count FROM trend_bucket "
        "JOIN item_ref ON id = item_id ORDER BY level, start_at, external_id"
    )


def test_the_trend_as_worked_out_by_hand(shop: Shop, aggregator: Running, compactor: Compactor) -> None:
    """At noon: three views of a in the bucket whose middle is 150 s ago, four of b six hours before that."""
    shop.append(*(event(f"u{n}", "a", str(n), occurred_at="2024-03-04T11:58:00Z") for n in range(3)))
    shop.append(*(event(f"u{n}", "b", f"b{n}", "cart", occurred_at="2024-03-04T05:59:59Z") for n in range(4)))
    shop.append(event("u9", "a", "9", "dismiss"))
    aggregator.drain(shop)
    compactor.turn()
    assert buckets(shop) == [
        (0, "03-04 05:55", "b", 4),
        (0, "03-04 11:55", "a", 3),
        (1, "03-04 05:00", "b", 4),
        (1, "03-04 11:00", "a", 3),
        (2, "03-04 00:00", "a", 3),
        (2, "03-04 00:00", "b", 4),
    ]
    older_by_six_hours = 4 * 2 ** (-6 / 24)
    assert lists(shop) == {
        "6h": [("a", pytest.approx(0.6)), ("b", pytest.approx(0.4))],
        "1d": [
            ("b", pytest.approx(older_by_six_hours / (older_by_six_hours + 3))),
            ("a", pytest.approx(3 / (older_by_six_hours + 3))),
        ],
        "7d": [("b", pytest.approx(4 / 7)), ("a", pytest.approx(3 / 7))],
    }


def test_a_fold_takes_a_bounded_part_of_a_backlog_and_none_twice(
    shop: Shop, aggregator: Running, compactor: Compactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whence.aggregate.compactor.FOLD_BYTES_MAX", 1)
    for turn in range(3):
        shop.append(*(event(f"u{n}", f"i{turn}", f"{turn} {n}", occurred_at="2024-03-04T11:58:00Z") for n in range(40)))
        aggregator.drain(shop)
    folds = 1
    while compactor.turn():
        folds += 1
    assert folds > 3
    counted = shop.rows("SELECT external_id, count FROM trend_bucket JOIN item_ref ON id = item_id WHERE level = 0")
    assert sorted(counted) == [("i0", 40), ("i1", 40), ("i2", 40)]
    assert shop.rows("SELECT sum(p) FROM pair_count, unnest(units) AS p") == [(2 * 40 * (2520 + 2520 + 1260),)]


def test_nothing_is_folded_while_resting(shop: Shop, aggregator: Running, compactor: Compactor) -> None:
    shop.append(event("u", "a", "1", occurred_at="2024-03-04T11:58:00Z"))
    aggregator.drain(shop)
    assert not compactor.turn(resting=True)
    assert buckets(shop) == []
    compactor.turn()
    assert len(buckets(shop)) == 3


def test_segments_are_folded_once_whatever_fails_in_between(
    shop: Shop, aggregator: Running, compactor: Compactor, installation: Installation, clock: FixedClock
) -> None:
    shop.append(*(event(f"u{n}", "a", str(n)) for n in range(20)))
    aggregator.drain(shop)
    shop.connection.execute("ALTER TABLE compactor_position RENAME TO hidden")
    with pytest.raises(Exception, match="compactor_position"):
        compactor.turn()
    compactor.close()
    shop.connection.execute("ALTER TABLE hidden RENAME TO compactor_position")
    assert buckets(shop) == []
    for _ in range(2):
        compactor.turn()
    assert [count for *_, count in buckets(shop)] == [20, 20, 20]
    with closing(Compactor(installation.connect, aggregator.metrics, clock)) as second:
        shop.append(*(event(f"u{n}", "a", f"more{n}") for n in range(20)))
        aggregator.drain(shop)
        second.turn()
        assert [count for *_, count in buckets(shop)] == [20, 20, 20], "only one leads"
        compactor.close()
        second.turn()
        compactor.turn()
    assert [count for *_, count in buckets(shop)] == [40, 40, 40]


def test_old_entries_reach_only_the_levels_that_still_count_them(
    shop: Shop, aggregator: Running, compactor: Compactor
) -> None:
    shop.append(
        event("u1", "week", "1", occurred_at="2024-02-26T12:00:00Z"),
        event("u1", "month", "2", occurred_at="2024-02-04T12:00:00Z"),
        event("u1", "year", "3", occurred_at="2023-03-04T12:00:00Z"),
    )
    aggregator.drain(shop)
    compactor.turn()
    assert [(level, item) for level, _, item, _ in buckets(shop)] == [(1, "week"), (2, "month"), (2, "week")]
    assert lists(shop).keys() == {"1d", "7d"}


def test_housekeeping_removes_what_no_repeat_can_meet_and_keeps_backfill_ids(
    shop: Shop, aggregator: Running, compactor: Compactor
) -> None:
    shop.append(event("u1", "a", "live"))
    aggregator.drain(shop)
    shop.append(event("u1", "b", "old", backfill="history"))
    aggregator.drain(shop)
    compactor.turn()
    assert shop.value("SELECT count(*) FROM batch_segment") == 2
    shop.append(event("u1", "c", "next"))
    age_log(shop, hours=25)
    aggregator.drain(shop)
    compactor.turn()
    later = NOON + timedelta(days=100)
    compactor.clean(shop.connection, later)
    compactor.rank(shop.connection, later)
    kept = shop.rows(
        "SELECT length(event_hashes), length(backfill_hashes), length(user_ids), length(trend) FROM batch_segment "
        "ORDER BY first_offset"
    )
    assert kept == [(0, 8, 0, 0), (8, 0, 8, 24)]
    assert buckets(shop) == []
    assert lists(shop) == {}


def age_log(shop: Shop, hours: int) -> None:
    """Let the newest record be that much younger than the others: move everything else into the past."""
    shop.connection.execute(
        "UPDATE partition_position SET last_appended_at = last_appended_at - make_interval(hours => %s)", [hours]
    )
    shop.connection.execute("UPDATE batch_segment SET append_hour = append_hour - %s", [hours])


def test_the_thread_works_until_it_is_told_to_stop_and_survives_a_lost_connection(
    shop: Shop, aggregator: Running, compactor: Compactor, installation: Installation
) -> None:
    shop.append(event("u1", "a", "1"))
    aggregator.drain(shop)
    stopping = threading.Event()
    thread = threading.Thread(target=compactor.run, args=[stopping])
    thread.start()
    try:
        wait_until(lambda: bool(buckets(shop)))
    finally:
        stopping.set()
        thread.join(60)
    assert not thread.is_alive()


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll for up to a minute."""
    waiter = threading.Event()
    for _ in range(600):
        if condition():
            return
        waiter.wait(0.1)
    raise AssertionError("it did not become so within a minute")
