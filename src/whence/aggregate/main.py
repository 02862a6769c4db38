"""`whence serve aggregate`: settings become clients, the loop runs in the main thread, the admin port beside it."""

import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial

import structlog

from whence.aggregate.compactor import Compactor
from whence.aggregate.consumer import Aggregator
from whence.aggregate.daily import DailyRefinement
from whence.aggregate.declare import claim_log, declare_event_types
from whence.aggregate.decode import Rules
from whence.aggregate.metrics import AggregateMetrics
from whence.domain.errors import DependencyUnavailable
from whence.eventlog.adapters import open_consumer
from whence.eventlog.leases import Leases
from whence.eventlog.places import log_place
from whence.kit.admin import AdminServer
from whence.kit.clock import SystemClock
from whence.kit.database import connect
from whence.kit.health import Readiness
from whence.kit.listening import bind
from whence.kit.memory import tune_garbage_collection
from whence.kit.settings import Settings

STUCK_SECONDS = 120.0
"""A loop that has not turned for this long is stuck: every single wait in it ends much earlier."""

ROLE_STOP_SECONDS = 4.0
"""Wait for a role's transaction at the end; what it has not committed by then is done by the next process."""


def run(settings: Settings, host: str, port: int) -> None:
    """Aggregate until SIGTERM or SIGINT, then finish the batch under way, give the partitions back and return.

    Raises:
        InvalidInput: If the address cannot be used.
        DependencyUnavailable: If the database or the log cannot be reached at the start.
        LogDamaged: If the scores were aggregated from another log.
    """
    stopping = _stop_on_signals()
    with closing(bind(host, port)) as listener:
        _aggregate(settings, listener, stopping)


def _aggregate(settings: Settings, listener: socket.socket, stopping: threading.Event) -> None:
    open_scores = partial(connect, settings.database_url, settings.namespace, "aggregate")
    with closing(open_consumer(log_place(settings))) as log:
        with open_scores() as connection:
            claim_log(connection, log.log_id, log.partitions)
            type_codes = declare_event_types(connection, settings.types().names)
        metrics = AggregateMetrics(type_codes, log.partitions)
        leases = Leases(settings.database_url, settings.namespace, _member_name(), log.partitions)
        rules = Rules(log.partitions, type_codes)
        with closing(Aggregator(log, leases, open_scores, rules, metrics, stopping.wait)) as aggregator:
            compactor = Compactor(open_scores, metrics, SystemClock())
            daily = DailyRefinement(open_scores, metrics, SystemClock())
            tune_garbage_collection()
            with (
                _admin(listener, aggregator, metrics),
                _beside("compactor", compactor.run),
                _beside("refinement", daily.run),
            ):
                _turn_until(stopping, aggregator)
            with suppress(DependencyUnavailable):
                leases.leave()


def _turn_until(stopping: threading.Event, aggregator: Aggregator) -> None:
    """Run the loop; a batch is one step, so it is finished before we look for the signal."""
    logger = structlog.get_logger("aggregate")
    logger.info("aggregating")
    for _ in aggregator.steps():
        if stopping.is_set():
            break
    logger.info("stopped")


@contextmanager
def _admin(listener: socket.socket, aggregator: Aggregator, metrics: AggregateMetrics) -> Iterator[None]:
    """Health and metrics while the loop runs."""

    async def ready() -> None:
        if aggregator.failing:
            raise DependencyUnavailable("postgresql", "the last turn could not reach the database or the log")

    readiness = Readiness({"loop": ready})
    server = AdminServer(
        listener, readiness, metrics.registry, alive=lambda: time.monotonic() - aggregator.turned_at < STUCK_SECONDS
    )
    server.start()
    try:
        yield
    finally:
        readiness.drain()
        server.stop()


@contextmanager
def _beside(name: str, role: Callable[[threading.Event], None]) -> Iterator[None]:
    """A role in a thread of its own while the loop runs."""
    stopping = threading.Event()
    thread = threading.Thread(target=role, args=[stopping], name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(ROLE_STOP_SECONDS)


def _stop_on_signals() -> threading.Event:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def _member_name() -> str:
    """A name that no other process has, now or after a restart."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
