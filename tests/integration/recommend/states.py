"""States of the score tables for tests: made at random or by hand, written to PostgreSQL, known to the reference."""

import random
import struct
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg

from whence.domain.decay import log_add, log_contribution
from whence.domain.state import Horizon, Recent, Refined, Signal, State
from whence.kit.clock import to_us

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
TYPES = ("view", "click", "cart", "purchase", "dismiss")
TABLES = (
    "user_ref, item_ref, event_type, signal, user_recent, item_neighbours, item_refined, trend_list, catalogue_item, "
    "partition_position, aggregated_log"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A catalogue row."""

    available: bool = True
    deleted: bool = False
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shop:
    """All tables: users' own states by external id, what all share, and the catalogue by internal item id."""

    users: Mapping[str, State]
    items: int
    neighbours: Mapping[int, Mapping[int, float]] = field(default_factory=dict)
    bought: Mapping[int, AbstractSet[int]] = field(default_factory=dict)
    refined: Mapping[int, Refined] | None = None
    trends: Mapping[Horizon, Mapping[int, float]] = field(default_factory=dict)
    catalogue: Mapping[int, Entry] = field(default_factory=dict)


def signal(item_id: int, event_type: str, times: Sequence[datetime]) -> Signal:
    """The signal that events of these times leave."""
    log_sum = float("-inf")
    for time in times:
        log_sum = log_add(log_sum, log_contribution(time.timestamp()))
    return Signal(item_id, event_type, len(times), log_sum, max(times))


def random_shop(seed: int) -> Shop:
    """A small shop where anything may happen: ties, empty tables, dismissals, times after now."""
    rng = random.Random(seed)
    items = rng.randint(1, 90)
    ids = range(1, items + 1)
    neighbours = {} if rng.random() < 0.3 else _lists(rng, ids, 0.0)
    weights = {} if rng.random() < 0.4 else _lists(rng, ids, rng.choice((-0.3, -1.5)))
    horizons: tuple[Horizon, ...] = ("6h", "1d", "7d")
    trends = {h: {i: rng.choice((0.001, rng.random())) for i in _some(rng, ids, 0.5)} for h in horizons}
    return Shop(
        users={name: _random_user(rng, ids) for name in ("u", "s")},
        items=items,
        neighbours=neighbours,
        bought={source: {i for i in row if rng.random() < 0.3} for source, row in neighbours.items()},
        refined={i: _refined(row) for i, row in weights.items()} or None,
        trends=trends if rng.random() < 0.8 else {},
        catalogue={i: _random_entry(rng) for i in _some(rng, ids, 0.8)},
    )


def _random_user(rng: random.Random, ids: range) -> State:
    signals: list[Signal] = []
    recents: list[Recent] = []
    for item in _some(rng, ids, rng.choice((0.0, 0.1, 0.9))):
        types = rng.sample(TYPES[:4], rng.randint(1, 3)) + (["dismiss"] if rng.random() < 0.2 else [])
        own = [signal(item, t, [_random_time(rng) for _ in range(rng.randint(1, 4))]) for t in types]
        touched = max(s.last_at for s in own if s.event_type != "dismiss")
        signals += own
        recents.append(Recent(item, touched, rng.randint(0, 3)))
    recents.sort(key=lambda r: (r.last_at, r.offset, -r.item_id), reverse=True)
    return State(recents=recents[:64], signals=signals)


def _random_time(rng: random.Random) -> datetime:
    age = rng.choice((timedelta(0), timedelta(minutes=1), timedelta(days=3), timedelta(seconds=rng.uniform(-60, 9e6))))
    return NOW - rng.choice((age, timedelta(seconds=rng.uniform(0, 7200)), timedelta(days=365 * 60)))


def _random_entry(rng: random.Random) -> Entry:
    categories = tuple(rng.sample(("kitchen", "garden", "toys"), rng.randint(0, 2)))
    return Entry(rng.random() < 0.8, rng.random() < 0.1, categories)


def _lists(rng: random.Random, ids: range, low: float) -> dict[int, dict[int, float]]:
    return {source: {i: rng.uniform(low, 1.0) for i in _some(rng, ids, 0.3)} for source in _some(rng, ids, 0.7)}


def _refined(weights: dict[int, float]) -> Refined:
    return Refined(weights, sum(weights.values()))


def _some(rng: random.Random, ids: range, share: float) -> list[int]:
    return [i for i in ids if rng.random() < share]


def write_shop(connection: psycopg.Connection, shop: Shop) -> None:
    """Put a shop into the tables, in place of what was there. Item n is `i<n>` outside and n inside."""
    connection.execute(f"TRUNCATE {TABLES} RESTART IDENTITY CASCADE".encode())
    connection.cursor().executemany("INSERT INTO event_type (name) VALUES (%s)", [(name,) for name in TYPES])
    connection.execute("INSERT INTO item_ref (external_id) SELECT 'i' || n FROM generate_series(1, %s) n", [shop.items])
    for number, (name, state) in enumerate(shop.users.items(), start=1):
        connection.execute("INSERT INTO user_ref (external_id) VALUES (%s)", [name])
        _write_user(connection, number, state)
    _write_shared(connection, shop)


def _write_user(connection: psycopg.Connection, user_id: int, state: State) -> None:
    packed = b"".join(struct.pack(">qqq?", r.item_id, to_us(r.last_at), r.offset, False) for r in state.recents)
    connection.execute("INSERT INTO user_recent VALUES (%s, %s)", [user_id, packed])
    connection.cursor().executemany(
        "INSERT INTO signal VALUES (%s, %s, (SELECT code FROM event_type WHERE name = %s), %s, %s, %s)",
        [(user_id, s.item_id, s.event_type, s.count, s.log_sum, s.last_at) for s in state.signals],
    )


def _write_shared(connection: psycopg.Connection, shop: Shop) -> None:
    cursor = connection.cursor()
    cursor.executemany(
        "INSERT INTO item_neighbours VALUES (%s, %s, %s, %s)",
        [
            (source, list(row), list(row.values()), [item in shop.bought.get(source, ()) for item in row])
            for source, row in shop.neighbours.items()
        ],
    )
    cursor.executemany(
        "INSERT INTO item_refined VALUES (%s, %s, %s, %s)",
        [(s, list(r.weights), list(r.weights.values()), r.mass) for s, r in (shop.refined or {}).items()],
    )
    cursor.executemany(
        "INSERT INTO trend_list VALUES (%s, %s, %s, %s)",
        [(h, rank, item, v) for h, row in shop.trends.items() for rank, (item, v) in enumerate(row.items())],
    )
    cursor.executemany(
        "INSERT INTO catalogue_item (item_id, title, categories, available, deleted) VALUES (%s, %s, %s, %s, %s)",
        [(i, f"Item {i}", list(e.categories), e.available, e.deleted) for i, e in shop.catalogue.items()],
    )
