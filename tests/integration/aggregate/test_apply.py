"""Records become signals, exactly once, in one transaction a batch."""

import math

import pytest

from conftest import Installation
from integration.aggregate.support import Running, Shop, event, record, running
from whence.domain.decay import LANDMARK_SECONDS, RATE_PER_SECOND
from whence.domain.identity import event_hash
from whence.domain.partition import partition_of
from whence.eventlog.port import NewRecord

NOON_SECONDS = 1_709_553_600  # 2024-03-04T12:00:00Z


def test_events_become_signals_recents_segments_and_books(shop: Shop, aggregator: Running) -> None:
    shop.append(
        event("u1", "a", "1"),
        event("u1", "a", "2", occurred_at="2024-03-04T11:59:00Z"),
        event("u1", "b", "3", "purchase", occurred_at="2024-03-04T11:58:00+00:00"),
        event("u1", "c", "4", "dismiss"),
    )
    aggregator.drain(shop)

    assert shop.counts() == {("u1", "a", "view"): 2, ("u1", "b", "purchase"): 1, ("u1", "c", "dismiss"): 1}
    assert shop.books() == (4, 0, 0, 0)
    log_sum = shop.value("SELECT log_sum FROM signal WHERE count = 2")
    now, minute_ago = (RATE_PER_SECOND * (NOON_SECONDS - LANDMARK_SECONDS - age) for age in (0, 60))
    assert log_sum == pytest.approx(math.log(math.exp(now) + math.exp(minute_ago)), abs=1e-12)
    recent = shop.rows(
        "SELECT external_id, extract(epoch FROM last_at)::bigint FROM user_recent_item JOIN item_ref ON id = item_id"
    )
    assert recent == [("a", NOON_SECONDS), ("b", NOON_SECONDS - 120)], "newest first, and a dismiss is no interest"
    assert shop.value("SELECT max(last_event_at)::text FROM partition_position") == "2024-03-04 12:00:00+00"
    hashes = shop.value("SELECT string_agg(event_hashes, '') FROM batch_segment")
    assert len(hashes) == 32
    assert event_hash("u1", "3").to_bytes(8, "little", signed=True) in hashes


def test_a_repeat_counts_once_within_a_batch_across_batches_and_after_a_restart(
    shop: Shop, installation: Installation
) -> None:
    shop.append(event("u1", "a", "1"), event("u1", "b", "1"), event("u2", "a", "1"))
    with running(installation) as first:
        first.drain(shop)
        shop.append(event("u1", "a", "1"))
        first.drain(shop)
        assert shop.books() == (2, 2, 0, 0)
    shop.append(event("u1", "a", "1"), event("u1", "a", "2"))
    with running(installation, "second") as second:
        second.drain(shop)
    assert shop.counts() == {("u1", "a", "view"): 2, ("u2", "a", "view"): 1}, "the first content wins"
    assert shop.books() == (3, 3, 0, 0)


def test_recent_items_keep_the_newest_64_across_batches_and_processes(shop: Shop, installation: Installation) -> None:
    times = [f"2024-03-04T10:{minute:02}:00Z" for minute in range(60)]
    with running(installation) as first:
        shop.append(*(event("u1", f"i{n}", f"x{n}", occurred_at=times[n]) for n in range(50)))
        first.drain(shop)
        shop.append(*(event("u1", f"i{n}", f"x{n}", occurred_at=times[n]) for n in range(50, 60)))
        first.drain(shop)
    with running(installation, "second") as second:
        shop.append(*(event("u1", f"old{n}", f"y{n}", occurred_at="2024-03-04T09:00:00Z") for n in range(10)))
        shop.append(event("u1", "i0", "again", occurred_at="2024-03-04T11:00:00Z"))
        second.drain(shop)
    items = [
        item
        for (item,) in shop.rows("SELECT external_id FROM user_recent_item JOIN item_ref ON id = item_id ORDER BY rank")
    ]
    assert items == ["i0", *(f"i{n}" for n in range(59, 0, -1)), *(f"old{n}" for n in (9, 8, 7, 6))]


def test_dead_letters_are_kept_with_their_bytes_and_the_next_record_goes_on(shop: Shop, aggregator: Running) -> None:
    good = record(event("u1", "a", "1"))
    wrong = NewRecord((good.partition + 1) % 16, good.key, good.value)
    shop.append_records([NewRecord(good.partition, b"u1", b"\x00\xffnot json"), wrong, good])
    aggregator.drain(shop)
    assert shop.counts() == {("u1", "a", "view"): 1}
    assert shop.books() == (1, 0, 2, 0)
    letters = shop.rows("SELECT reason, value, state FROM dead_letter ORDER BY reason")
    assert letters == [
        ("undecodable", b"\x00\xffnot json", "pending"),
        ("wrong_partition", good.value, "pending"),
    ]
    assert aggregator.metric("whence_aggregate_dead_letters_total", reason="undecodable") == 1


def test_a_poisoned_partition_stops_and_the_others_go_on_and_a_restart_resumes(
    shop: Shop, installation: Installation
) -> None:
    good = record(event("u1", "a", "1"))
    bad = NewRecord(good.partition, b"u1", b"{}")
    shop.append_records([*[bad] * 250, good])
    others = [event(f"v{n}", "a", "1") for n in range(40)]
    shop.append(*others)
    elsewhere = sum(record(fields).partition != good.partition for fields in others)
    with running(installation) as first:
        first.turn(5)
        assert list(first.aggregator.halted) == [good.partition]
        assert first.metric("whence_aggregate_partition_halted", partition=str(good.partition)) == 1
        assert shop.books() == (elsewhere, 0, 200, 0)
        first.turn(3)
        assert shop.books() == (elsewhere, 0, 200, 0)
    with running(installation, "second") as second:
        second.drain(shop)
    assert shop.books() == (41, 0, 250, 0)


def test_a_late_twin_is_fenced_between_fetch_and_transaction(shop: Shop, installation: Installation) -> None:
    shop.append(event("u1", "a", "1"))
    with running(installation, "first", lease_seconds=0.2) as first, running(installation, "second") as second:
        first.step_to("write")
        shop.rows("SELECT pg_sleep(0.3)")
        second.drain(shop)
        assert shop.counts() == {("u1", "a", "view"): 1}
        first.turn(2)
        assert first.metric("whence_aggregate_fenced_total") == 1
        shop.append(event("u1", "a", "2"))
        second.drain(shop)
        first.turn()
    assert shop.counts() == {("u1", "a", "view"): 2}
    assert shop.books() == (2, 0, 0, 0)


def test_a_batch_that_was_committed_unnoticed_is_not_applied_again(shop: Shop, aggregator: Running) -> None:
    """The answer to a commit is lost: the position says what happened."""
    shop.append(event("u1", "a", "1"))
    aggregator.drain(shop)
    shop.append(event("u1", "a", "2"))
    aggregator.step_to("write")
    shop.rows(
        "UPDATE partition_position SET applied = applied + 1, next_offset = next_offset + 1 "
        "WHERE applied = 1 RETURNING 1"
    )
    aggregator.turn(2)
    assert shop.counts() == {("u1", "a", "view"): 1}
    assert sum(shop.books()) == 2


def test_a_lost_connection_costs_time_but_no_event(shop: Shop, aggregator: Running) -> None:
    shop.append(event("u1", "a", "1"))
    aggregator.step_to("write")
    shop.rows("SELECT pg_terminate_backend(%s)", aggregator.connections[-1].info.backend_pid)
    aggregator.step_to("back_off")
    aggregator.step_to("own")
    assert aggregator.aggregator.failing
    assert aggregator.waits
    aggregator.drain(shop)
    assert shop.counts() == {("u1", "a", "view"): 1}
    aggregator.turn()
    assert not aggregator.aggregator.failing


def test_what_one_turn_finds_in_several_partitions_is_committed_together(shop: Shop, aggregator: Running) -> None:
    users = [f"u{number}" for number in range(40)]
    aggregator.turn()
    shop.append(*(event(user, f"i{number % 3}", user) for number, user in enumerate(users)))
    aggregator.drain(shop)

    assert shop.value("SELECT count(*) FROM batch_segment") > 10
    assert shop.value("SELECT count(DISTINCT xmin::text) FROM batch_segment") == 1
    assert shop.counts() == {(user, f"i{number % 3}", "view"): 1 for number, user in enumerate(users)}
    assert shop.books() == (40, 0, 0, 0)


def test_a_batch_that_the_database_refuses_halts_its_partition_alone(shop: Shop, aggregator: Running) -> None:
    users = [f"u{number}" for number in range(40)]
    bad = partition_of(b"u0", 16)
    aggregator.turn()
    shop.connection.execute(f"ALTER TABLE batch_segment ADD CHECK (partition <> {bad})".encode())
    shop.append(*(event(user, "a", user) for user in users))
    good = [user for user in users if partition_of(user.encode(), 16) != bad]
    for _ in range(100):
        aggregator.turn()
        if len(shop.counts()) == len(good):
            break

    assert shop.counts() == {(user, "a", "view"): 1 for user in good}
    assert list(aggregator.aggregator.halted) == [bad]
    assert "records from offset 0 on wait" in aggregator.aggregator.halted[bad]
    assert aggregator.metric("whence_aggregate_fenced_total") == 0
