"""One aggregator against two on a log of 8 partitions, and how long progress pauses when one joins, leaves or dies."""

import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bench.processes import cpu_seconds
from bench.progress import Watch, applied, wait_for_applied
from bench.report import FULL, SMALL, SOAK, Figures, say
from bench.services import Replica, replicas
from bench.stores import Installation, Stores, stores
from bench.traffic import Traffic, fill
from program import PATIENCE_SECONDS, until
from whence.domain.events import LoggedEvent

PARTITIONS = 8
SETTLE_SECONDS = 5.0
"""After a change, until all have taken over what they will; and after a kill, beside the life of a lease."""

KILL_SECONDS = 20.0
"""Longer than a lease of a dead member lives, and than the target for the pause."""


@dataclass(frozen=True, slots=True)
class _Size:
    """How much is done.

    Attributes:
        rounds: Of one aggregator and of two, in turn.
        events: The backlog of each.
        events_per_second: While aggregators come and go.
    """

    rounds: int
    events: int
    events_per_second: int


_FULL = _Size(3, 300_000, 1_000)
_SIZES = MappingProxyType({FULL: _FULL, SMALL: _Size(1, 5_000, 200), SOAK: _FULL})


def measure(size: str) -> Figures:
    """Backlogs for one and for two; then steady traffic while a second one joins, leaves, joins again and is killed."""
    wanted = _SIZES[size]
    cpu = {1: 0.0, 2: 0.0}
    events = {1: 0, 2: 0}
    with stores() as servers:
        for number in range(wanted.rounds):
            for aggregators in (1, 2):
                say(f"round {number + 1} of {wanted.rounds}: a backlog for {aggregators}")
                done, used = _backlog(servers, wanted.events, aggregators)
                events[aggregators] += done
                cpu[aggregators] += used
        say("joining, leaving and dying")
        pauses = _pauses(servers.install(PARTITIONS), wanted.events_per_second)
    one, two = (events[aggregators] / cpu[aggregators] for aggregators in (1, 2))
    figures = {
        "one_events_per_cpu_second": one,
        "two_events_per_cpu_second": two,
        "rebalance_pause_seconds": max(pauses["join"], pauses["leave"]),
        "kill_pause_seconds": pauses["kill"],
    }
    return Figures(figures, {"two_vs_one_per_core": two / one})


def _backlog(servers: Stores, events: int, aggregators: int) -> tuple[int, float]:
    """Events applied, and CPU seconds for them of the aggregators and PostgreSQL, once all are at work."""
    installation = servers.install(PARTITIONS)
    total = sum(fill(installation.log, Traffic(events).with_repeats()))
    with _aggregators(installation, aggregators) as made:
        assert until(lambda: _owners(installation) == aggregators and applied(installation) > 0)
        before, used_before = applied(installation), _cpu_seconds(servers, made)
        wait_for_applied(installation, total)
        return total - before, _cpu_seconds(servers, made) - used_before


def _pauses(installation: Installation, events_per_second: int) -> dict[str, float]:
    """The longest time without progress of a partition around each change, in seconds."""
    found = {}
    with (
        _traffic(installation, events_per_second),
        _aggregators(installation, 1) as (first,),
        Watch(installation) as watch,
    ):
        assert until(lambda: applied(installation) > 0)
        second = Replica("aggregate", first.settings, first.log)
        try:
            for change in ("join", "leave", "join again", "kill"):
                time.sleep(SETTLE_SECONDS)
                start = time.monotonic()
                _change(second, change)
                assert until(lambda: _owners(installation) == (2 if second.runs() else 1))
                time.sleep(KILL_SECONDS if change == "kill" else SETTLE_SECONDS)
                found[change] = _longest_pause(watch, start)
        finally:
            second.end(signal.SIGTERM)
    return found


def _change(replica: Replica, change: str) -> None:
    if change.startswith("join"):
        replica.start()
        replica.wait_until_ready()
    else:
        replica.end(signal.SIGKILL if change == "kill" else signal.SIGTERM)


def _longest_pause(watch: Watch, start: float) -> float:
    longest = 0.0
    for _, times in watch.moves().values():
        seen = np.append(times[max(int(np.searchsorted(times, start)) - 1, 0) :], time.monotonic())
        longest = max(longest, float(np.diff(seen).max()))
    return longest


@contextmanager
def _aggregators(installation: Installation, count: int) -> Iterator[list[Replica]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        replicas(Path(folder), installation.settings(), ["aggregate"] * count) as made,
    ):
        yield made


@contextmanager
def _traffic(installation: Installation, events_per_second: int) -> Iterator[None]:
    """Records at a steady rate straight to the log, from a thread of its own."""
    stopping = threading.Event()

    def run() -> None:
        events = Traffic(events_per_second * int(PATIENCE_SECONDS)).values()
        fill(installation.log, _paced(events, events_per_second, stopping))

    thread = threading.Thread(target=run, name="traffic")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _paced(events: Iterator[LoggedEvent], events_per_second: int, stopping: threading.Event) -> Iterator[LoggedEvent]:
    """The events, each when its time has come, until *stopping* is set."""
    start = time.monotonic()
    for number, event in enumerate(events):
        if stopping.wait(max(start + number / events_per_second - time.monotonic(), 0)):
            return
        yield event


def _owners(installation: Installation) -> int:
    """How many processes hold partitions, once all partitions are held and equally."""
    query = "SELECT count(*) FROM partition_lease WHERE expires_at > clock_timestamp() GROUP BY owner"
    with installation.connect() as connection:
        shares = [count for (count,) in connection.execute(query)]
    return len(shares) if sum(shares) == PARTITIONS and max(shares) - min(shares) <= 1 else 0


def _cpu_seconds(servers: Stores, made: list[Replica]) -> float:
    return servers.cpu_seconds().database + cpu_seconds([replica.pid for replica in made])
