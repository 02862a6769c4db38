"""The compactor beside steady traffic: what a fold costs, and how far the lists are behind."""

import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

import numpy as np
import psycopg
import structlog

from bench.processes import cpu_seconds
from bench.report import Figures
from bench.traffic import ITEM_SKEW, TYPE_SHARES, TYPES, USER_SKEW, skewed
from whence.aggregate.compactor import Compactor
from whence.aggregate.metrics import AggregateMetrics
from whence.domain.events import EventTypes
from whence.evaluation.product import Event, Product
from whence.kit.clock import SystemClock
from whence.kit.database import connect
from whence.kit.migrate import migrate

NAMESPACE = "folding"
USERS, ITEMS = 100_000, 50_000
HISTORY_EVENTS = 300_000
"""Applied and folded before anything is measured: a fold is dearer where an item has many neighbours."""

EVENTS_PER_SECOND = 5_000
SECONDS = 60
"""Longer than the longest rest between two folds."""

_BEHIND = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(committed_at))::float8, 0)
FROM batch_segment JOIN compactor_position AS folded USING (partition) WHERE first_offset >= folded.next_offset
"""


def measure_folding(url: str) -> Figures:
    """Apply events at a steady rate while a compactor runs as in the service, on a server that is otherwise idle."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for the figures
    migrate(url, NAMESPACE, ["scores"])
    with connect(url, NAMESPACE, "bench") as connection:
        product = Product(connection, EventTypes(dict.fromkeys(TYPES, 1.0)))
        events = _events()
        product.learn(islice(events, HISTORY_EVENTS))
        product.compact(datetime.now(UTC))
        folder = _Folder(url)
        folder.start()
        behind = _apply_steadily(connection, product, events)
        folder.stop()
    applied = EVENTS_PER_SECOND * SECONDS
    figures = {"fold_events_per_cpu_second": applied / folder.cpu_seconds, "lists_behind_seconds": max(behind)}
    notes = [
        f"{applied:,} events at {EVENTS_PER_SECOND:,}/s after {HISTORY_EVENTS:,}, {USERS:,} users, {ITEMS:,} items;"
        " CPU is the compactor's thread and its database session, rankings included"
    ]
    return Figures(figures, notes=notes)


def _events() -> Iterator[Event]:
    random = np.random.default_rng(1)
    count = HISTORY_EVENTS + EVENTS_PER_SECOND * SECONDS
    users = skewed(random, count, USERS, USER_SKEW).tolist()
    items = skewed(random, count, ITEMS, ITEM_SKEW).tolist()
    types = random.choice(np.array(TYPES), count, p=TYPE_SHARES).tolist()
    for user, item, kind in zip(users, items, types, strict=True):
        yield Event(f"customer-{user}", f"item-{item}", kind, datetime.now(UTC))


def _apply_steadily(connection: psycopg.Connection, product: Product, events: Iterator[Event]) -> list[float]:
    """Seconds that the lists were behind, once a second."""
    start = time.perf_counter()
    behind = []
    for second in range(SECONDS):
        time.sleep(max(start + second - time.perf_counter(), 0.0))
        product.learn(islice(events, EVENTS_PER_SECOND))
        row = connection.execute(_BEHIND).fetchone()
        behind.append(row[0] if row else 0.0)
    return behind


class _Folder:
    """A compactor in a thread of its own, as in the service, with the CPU that it used."""

    def __init__(self, url: str) -> None:
        self.cpu_seconds = 0.0
        self._url = url
        self._stopping = threading.Event()
        self._sessions: list[int] = []
        codes = {name: code for code, name in enumerate(TYPES, start=1)}
        self._compactor = Compactor(self._connect, AggregateMetrics(codes, 1), SystemClock())
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begin to turn."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the turn under way."""
        self.cpu_seconds += cpu_seconds(self._sessions)
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        self._compactor.run(self._stopping)
        self.cpu_seconds += time.thread_time()

    def _connect(self) -> psycopg.Connection:
        connection = connect(self._url, NAMESPACE, "bench")
        self._sessions.append(connection.info.backend_pid)
        return connection
