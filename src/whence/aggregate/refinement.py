"""The refinement: refined neighbour weights fitted from a snapshot of the signals, swapped in one transaction.

A role of `serve aggregate` that runs daily in a process of its own, since a fit keeps a core busy for seconds; also
`whence refine`. Disposable: without it, or while it is late, lists fall back to counts.
"""

import json
import time
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import psycopg
from psycopg import IsolationLevel

from whence.aggregate.batch import Floats, Ints
from whence.aggregate.fold import run_starts
from whence.domain.events import DISMISS
from whence.domain.refine import RefinedNeighbours, fit
from whence.kit.clock import utc_text
from whence.kit.database import database_errors
from whence.kit.pgarrays import BigintArray, DoubleArray, IntArray, register
from whence.kit.sqlfiles import load_statements

USERS_MAX = 100_000
"""The newest active users that a fit looks at: more changed nothing, and bound its memory to about a gigabyte."""

SNAPSHOT_TIMEOUT_MS = 600_000
"""Reading the signals of 100,000 users takes seconds; a database under load may need minutes."""

_SQL = load_statements(__file__)
_COPY_HEADER_BYTES, _COPY_TRAILER_BYTES = 19, 2
_COPY_ROW = np.dtype(
    [
        ("fields", ">i2"),
        *(part for name in ("user", "item", "last_us") for part in ((f"{name}_n", ">i4"), (name, ">i8"))),
    ]
)


@dataclass(frozen=True, slots=True)
class Fit:
    """What a refinement did.

    Attributes:
        as_of: T, the zero of ages.
        positions: The offsets of the snapshot by partition: equal offsets and T give equal weights.
        touches: (user, item) pairs that it looked at.
        sources, weights: Items that have refined neighbours, and how many weights there are.
        seconds: What it took.
    """

    as_of: datetime
    positions: dict[int, int]
    touches: int
    sources: int
    weights: int
    seconds: float

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "as_of": utc_text(self.as_of),
            "positions": {str(partition): offset for partition, offset in self.positions.items()},
            "touches": self.touches,
            "sources": self.sources,
            "weights": self.weights,
            "seconds": round(self.seconds, 3),
        }


def refine(connection: psycopg.Connection, as_of: datetime) -> Fit | None:
    """Fit the refined neighbour weights of now and put them in place of the former ones.

    Args:
        connection: Autocommitting; holds an advisory lock meanwhile.
        as_of: T; touches after it have age 0.

    Returns:
        None if another process is at it.

    Raises:
        DependencyUnavailable: PostgreSQL does not serve us; the former weights stay.
    """
    with database_errors():
        register(connection)
        locked = connection.execute(_SQL["lock"]).fetchone()
        if not (locked and locked[0]):
            return None
        try:
            return _refine(connection, as_of)
        finally:
            connection.execute(_SQL["unlock"])


def is_due(connection: psycopg.Connection, now: datetime) -> bool:
    """Whether no fit of this day (UTC) is in place."""
    with database_errors():
        row = connection.execute(_SQL["last_fit"]).fetchone()
    return row is None or row[0] < midnight(now)


def midnight(now: datetime) -> datetime:
    """The T of a daily fit."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _refine(connection: psycopg.Connection, as_of: datetime) -> Fit:
    begun = time.monotonic()
    users, items, last_us, positions = _snapshot(connection)
    ages_days: Floats = np.maximum(as_of.timestamp() - last_us / 1e6, 0.0) / 86_400
    weights = fit(users, items, ages_days)
    sources = len(run_starts(weights.sources))
    done = Fit(as_of, positions, len(users), sources, len(weights.weights), time.monotonic() - begun)
    _swap(connection, weights, done)
    return done


def _snapshot(connection: psycopg.Connection) -> tuple[Ints, Ints, Ints, dict[int, int]]:
    """Who touched what when, and the offsets that this is the state of."""
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL statement_timeout = {SNAPSHOT_TIMEOUT_MS}".encode())
            positions: dict[int, int] = dict(connection.execute(_SQL["positions"]).fetchall())
            with connection.cursor().copy(_SQL["touches"], {"dismiss": DISMISS, "users_max": USERS_MAX}) as copy:
                data = b"".join(bytes(block) for block in copy)
    finally:
        connection.isolation_level = None
    rows = np.frombuffer(data[_COPY_HEADER_BYTES:-_COPY_TRAILER_BYTES], _COPY_ROW)
    users, items, last_us = (rows[name].astype(np.int64) for name in ("user", "item", "last_us"))
    return users, items, last_us, positions


def _swap(connection: psycopg.Connection, weights: RefinedNeighbours, done: Fit) -> None:
    starts = run_starts(weights.sources)
    ends = np.append(starts[1:], weights.sources.size)[: starts.size]
    masses = np.add.reduceat(weights.weights, starts) if starts.size else np.zeros(0)
    with connection.transaction():
        connection.execute(_SQL["clear"])
        connection.execute(
            _SQL["put_weights"],
            {
                "sources": BigintArray(weights.sources[starts]),
                "starts": IntArray(starts + 1),
                "ends": IntArray(ends),
                "masses": DoubleArray(masses),
                "targets": BigintArray(weights.targets),
                "weights": DoubleArray(weights.weights),
            },
        )
        connection.execute(
            _SQL["note_fit"],
            {
                "as_of": done.as_of,
                "positions": json.dumps(done.positions),
                "touches": done.touches,
                "weights": done.weights,
                "seconds": done.seconds,
            },
        )
