"""The refinement on a real database: the fit of the snapshot, swapped in at once, once a day."""

import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from conftest import Installation
from integration.aggregate.support import Running, Shop, event
from whence.aggregate.daily import DailyRefinement
from whence.aggregate.refinement import is_due, midnight, refine
from whence.domain.refine import fit

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)


class Clock:
    """Noon."""

    def now(self) -> datetime:
        return NOON


def shop_of(shop: Shop, aggregator: Running) -> None:
    """Forty users, twelve items; a dismissal is no touch."""
    events = []
    for number in range(400):
        user, item, days = number % 40, (number * number // 7) % 12, number % 50
        at = (NOON - timedelta(days=days)).isoformat()
        kind = "dismiss" if number % 11 == 0 else "view"
        events.append(event(f"u{user}", f"i{item}", str(number), kind, occurred_at=at, backfill="old"))
    shop.append(*events)
    aggregator.drain(shop)


def weights(shop: Shop) -> dict[tuple[int, int], float]:
    rows = shop.rows("SELECT source_id, d, w FROM item_refined, unnest(destination_ids, weights) AS n (d, w)")
    return {(source, destination): weight for source, destination, weight in rows}


def test_the_table_holds_the_fit_of_the_signals(shop: Shop, aggregator: Running) -> None:
    shop_of(shop, aggregator)
    done = refine(shop.connection, NOON)

    rows = shop.rows(
        "SELECT user_id, item_id, extract(epoch FROM max(last_at)) FROM signal JOIN event_type ON code = event_type "
        "WHERE name <> 'dismiss' GROUP BY user_id, item_id"
    )
    users, items, last_s = (np.array(column) for column in zip(*rows, strict=True))
    ages = (NOON.timestamp() - last_s.astype(float)) / 86_400
    expected = fit(users.astype(np.int64), items.astype(np.int64), ages)
    pairs = zip(expected.sources.tolist(), expected.targets.tolist(), strict=True)
    assert weights(shop) == pytest.approx(dict(zip(pairs, expected.weights.tolist(), strict=True)), abs=1e-12)
    assert done is not None
    assert done.touches == len(rows)
    masses = dict(shop.rows("SELECT source_id, mass FROM item_refined"))
    assert sum(masses.values()) == pytest.approx(expected.weights.sum())


def test_a_second_fit_of_the_same_state_is_byte_equal(shop: Shop, aggregator: Running) -> None:
    shop_of(shop, aggregator)
    refine(shop.connection, NOON)
    first = shop.rows("SELECT * FROM item_refined ORDER BY source_id")
    refine(shop.connection, NOON)

    assert shop.rows("SELECT * FROM item_refined ORDER BY source_id") == first
    assert first


def test_nothing_touched_is_an_empty_fit(shop: Shop, aggregator: Running) -> None:
    done = refine(shop.connection, NOON)

    assert done is not None
    assert (done.touches, done.weights) == (0, 0)


def test_two_processes_do_not_fit_at_once(shop: Shop, installation: Installation) -> None:
    with installation.connect() as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended('whence refinement ' || current_schema(), 0))")
        assert refine(shop.connection, NOON) is None


def test_a_fit_is_due_once_a_day(shop: Shop) -> None:
    assert is_due(shop.connection, NOON)
    refine(shop.connection, midnight(NOON))
    assert not is_due(shop.connection, NOON)
    assert is_due(shop.connection, NOON + timedelta(days=1))


def test_the_daily_role_runs_the_command_when_it_is_due(installation: Installation, aggregator: Running) -> None:
    with installation.connect() as connection:
        connection.execute("CREATE TABLE fits (at timestamptz DEFAULT now())")
    insert = f"INSERT INTO {installation.namespace}.fits DEFAULT VALUES"
    script = f"import psycopg; psycopg.connect({installation.url!r}, autocommit=True).execute({insert!r})"
    role = DailyRefinement(
        installation.connect, aggregator.metrics, Clock(), [sys.executable, "-c", script], look_seconds=0.05
    )
    stopping = threading.Event()
    thread = threading.Thread(target=role.run, args=[stopping])
    thread.start()
    try:
        with installation.connect() as connection:
            deadline = time.monotonic() + 120
            while not connection.execute("SELECT FROM fits").fetchall():
                assert time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        stopping.set()
        thread.join(60)
    assert not thread.is_alive()
