"""Ingest on a real Kafka, acks=all: CPU of its process for each event, against a server that does nothing.

Single events are awaited on 64 connections. Ours and the do-nothing server take turns, so that whatever else the
machine does falls on both alike; the load comes from a process of its own and does not count.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bench.load import Plan, send
from bench.processes import cpu_seconds, pss_mb, start_module
from bench.report import FULL, SMALL, SOAK, Figures, say
from bench.stores import stores
from integration.service import free_port, serving
from program import get, until

BATCH_EVENTS = 100


@dataclass(frozen=True, slots=True)
class _Size:
    """Rounds of requests; the first warms up and does not count."""

    rounds: int
    singles: int
    batches: int


_FULL = _Size(5, 20_000, 1_000)
_SIZES = MappingProxyType({FULL: _FULL, SMALL: _Size(2, 200, 10), SOAK: _FULL})


@dataclass(slots=True)
class _Server:
    """A server under load, and the CPU seconds and requests of it that count."""

    pid: int
    port: int
    requests: int = 0
    seconds: float = 0.0

    def take(self, plan: Plan, status: str, *, counts: bool) -> None:
        """Carry a plan out; every answer must have the status."""
        before = cpu_seconds([self.pid])
        outcome = send(plan)
        assert outcome.statuses == {status: plan.requests}, outcome
        if counts:
            self.requests += plan.requests
            self.seconds += cpu_seconds([self.pid]) - before

    @property
    def request_us(self) -> float:
        """CPU of one request."""
        return 1e6 * self.seconds / self.requests


def measure(size: str) -> Figures:
    """Single events against doing nothing, batches of 100, and memory after both."""
    wanted = _SIZES[size]
    with (
        stores() as servers,
        tempfile.TemporaryDirectory() as folder,
        serving("ingest", Path(folder), **servers.install().settings()) as service,
        _do_nothing() as nothing,
    ):
        single = _Server(service.process.pid, service.port)
        batch = _Server(service.process.pid, service.port)
        for number in range(wanted.rounds):
            say(f"round {number + 1} of {wanted.rounds}{'' if number else ' (warming up)'}")
            for server in (single, nothing):
                server.take(Plan(server.port, wanted.singles, seed=number), "202", counts=number > 0)
            batch.take(Plan(batch.port, wanted.batches, BATCH_EVENTS, seed=1_000 + number), "200", counts=number > 0)
        memory_mb = pss_mb([service.process.pid])
    figures = {
        "single_cpu_us": single.request_us,
        "do_nothing_cpu_us": nothing.request_us,
        "batch100_events_per_second_per_core": BATCH_EVENTS * 1e6 / batch.request_us,
        "memory_mb": memory_mb,
    }
    return Figures(figures, {"single_cpu_vs_do_nothing": single.request_us / nothing.request_us})


@contextmanager
def _do_nothing() -> Iterator[_Server]:
    port = free_port()
    process = start_module("bench.do_nothing", str(port))
    try:
        assert until(lambda: get(f"http://127.0.0.1:{port}/")[0] or process.poll() is not None)
        assert process.poll() is None, "the server that does nothing has ended"
        yield _Server(process.pid, port)
    finally:
        process.terminate()
        process.wait()
