"""Rebuild: events replayed from a real Kafka into shadow tables, compared and swapped, by the clock and by CPU."""

import logging
import time
from contextlib import closing
from types import MappingProxyType

import structlog

from bench.aggregate import aggregating
from bench.report import FULL, SMALL, SOAK, Figures, say
from bench.stores import Cpu, Stores, stores
from bench.traffic import Traffic, fill
from whence.aggregate.rebuild.story import Rebuild, Rebuilt, Wish
from whence.domain.errors import BrokenInvariant
from whence.eventlog.adapters import open_scanner
from whence.kit.clock import SystemClock

EVENTS = MappingProxyType({FULL: 500_000, SMALL: 2_000, SOAK: 500_000})


def measure(size: str) -> Figures:
    """One rebuild of scores that the consumer has just made."""
    with stores() as servers:
        done, used, wall = _rebuilt(servers, EVENTS[size])
    if done.difference_count:
        raise BrokenInvariant(f"the rebuild differs: {done.as_dict()['tables']}")
    figures = {
        "rebuild_events_per_second": done.records / wall,
        "rebuild_events_per_cpu_second": done.records / sum(used),
        "rebuild_fenced_seconds": done.fenced_seconds,
    }
    each = Cpu(*(1e6 * seconds / done.records for seconds in used))
    note = f"an event takes {each.client:.1f} us of ours and {each.database:.1f} us of PostgreSQL, folds included"
    return Figures(figures, notes=[note])


def _rebuilt(servers: Stores, events: int) -> tuple[Rebuilt, Cpu, float]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    installation = servers.install()
    with aggregating(installation) as loop:
        say(f"applying {events} events")
        loop.apply(fill(installation.log, Traffic(events).with_repeats()))
    say("making their scores anew")
    with closing(open_scanner(installation.log)) as scanner:
        before, begun = servers.cpu_seconds(), time.monotonic()
        work = Rebuild(installation.database_url, installation.namespace, scanner, SystemClock(), say)
        done = work.run(Wish())
        return done, servers.cpu_seconds() - before, time.monotonic() - begun
