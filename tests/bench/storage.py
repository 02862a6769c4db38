"""What a shop of a million visitors and 100,000 items takes on disk, and how long its refinement is fitted."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from types import MappingProxyType

import psycopg

from bench.report import FULL, SMALL, SOAK, Figures, say
from bench.stores import own_postgres
from bench.traffic import TYPES, Traffic
from whence.domain.events import EventTypes
from whence.evaluation.product import Event, Product
from whence.kit.database import connect
from whence.kit.migrate import migrate

NAMESPACE = "storage"
LEARN_EVENTS = 250_000
"""Applied and folded at a time."""

_BYTES = """
SELECT relname, pg_total_relation_size(pg_class.oid)::bigint
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = current_schema() AND relkind = 'r'
"""


@dataclass(frozen=True, slots=True)
class _Size:
    users: int
    items: int
    events: int


_FULL = _Size(1_000_000, 100_000, 3_000_000)
_SIZES = MappingProxyType({FULL: _FULL, SMALL: _Size(500, 100, 3_000), SOAK: _FULL})


def measure(size: str) -> Figures:
    """Apply and fold the events of a shop; look at its tables; fit the refinement in a process of its own."""
    wanted = _SIZES[size]
    with own_postgres() as url:
        migrate(url, NAMESPACE, ["scores"])
        with connect(url, NAMESPACE, "bench") as connection:
            _learn(connection, wanted)
            table_bytes: dict[str, int] = dict(connection.execute(_BYTES).fetchall())
            (users,) = connection.execute("SELECT count(*) FROM user_ref").fetchone() or (0,)
        fit = _refine(url)
    kept = sum(table_bytes.values()) - table_bytes["batch_segment"]
    figures = {
        "bytes_per_user": kept / users,
        "bytes_per_event": kept / wanted.events,
        "segment_bytes_per_event": table_bytes["batch_segment"] / wanted.events,
        "refine_seconds": fit["seconds"],
        "refine_sources": fit["sources"],
    }
    return Figures(figures, notes=[_note(wanted, users, table_bytes, fit)])


def _learn(connection: psycopg.Connection, wanted: _Size) -> None:
    product = Product(connection, EventTypes(dict.fromkeys(TYPES, 1.0)))
    events = _events(wanted)
    done = 0
    while some := list(islice(events, LEARN_EVENTS)):
        product.learn(some)
        product.compact(datetime.now(UTC))
        done += len(some)
        say(f"{done} of {wanted.events} events")


def _events(wanted: _Size) -> Iterator[Event]:
    for event in Traffic(wanted.events, wanted.users, wanted.items, dead_share=0.0).values():
        yield Event(event.subject, event.item_id, event.event_type, event.occurred_at or datetime.now(UTC))


def _refine(url: str) -> dict[str, float]:
    say("fitting the refinement")
    command = [sys.executable, "-P", "-m", "whence", "refine", "--json"]
    settings = os.environ | {"WHENCE_DATABASE_URL": url, "WHENCE_NAMESPACE": NAMESPACE}
    done = subprocess.run(command, env=settings, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)["fit"]
    return found


def _note(wanted: _Size, users: int, table_bytes: dict[str, int], fit: dict[str, float]) -> str:
    largest = sorted(table_bytes.items(), key=lambda table: -table[1])[:7]
    return (
        f"{wanted.events:,} events of {users:,} users on {wanted.items:,} items, indexes included; segments go after 25"
        f" hours; {', '.join(f'{name} {size / wanted.events:.0f}' for name, size in largest)} bytes an event; the fit"
        f" looked at {fit['touches']:,} touches"
    )
