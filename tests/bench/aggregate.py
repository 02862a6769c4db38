"""Aggregate: from the log to committed rows, on a real Kafka and PostgreSQL, in CPU of ours and the database's.

The real loop runs in this process, so that its CPU is measured exactly; the compactor is another role and not part of
the figure. A first stretch of traffic warms up and fills the tables, a second one is measured.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import psycopg
import structlog

from bench.memory import aggregator_pss_mb
from bench.report import FULL, SMALL, SOAK, Figures, say
from bench.signals import SignalTable
from bench.stores import Cpu, Installation, Stores, stores
from bench.traffic import TYPES, Traffic, fill
from whence.aggregate.batch import SignalDeltas
from whence.aggregate.consumer import Aggregator
from whence.aggregate.declare import claim_log, declare_event_types
from whence.aggregate.decode import Rules
from whence.aggregate.metrics import AggregateMetrics
from whence.domain.errors import BrokenInvariant
from whence.eventlog.adapters import open_consumer
from whence.eventlog.leases import Leases
from whence.kit.memory import tune_garbage_collection


@dataclass(frozen=True, slots=True)
class _Size:
    """How much is measured.

    Attributes:
        events: Of the stretch that warms up, and again of the one that is measured.
        few_rows, many_rows: Signals that exist before they are added to.
        rounds, batches: Rounds of upserts (the first warms up), and batches of each.
        ids: In the dedupe window when memory is read.
    """

    events: int
    few_rows: int
    many_rows: int
    rounds: int
    batches: int
    ids: int


_FULL = _Size(300_000, 1_000_000, 10_000_000, 5, 20, 20_000_000)
_SMALL = _Size(2_000, 2_000, 20_000, 2, 1, 20_000)
_SIZES = MappingProxyType({FULL: _FULL, SMALL: _SMALL, SOAK: _FULL})


def measure(size: str) -> Figures:
    """The whole loop, the upsert alone against a raw COPY and on a larger table, and memory with a full window."""
    wanted = _SIZES[size]
    with stores() as servers:
        events, notes = _loop(servers, wanted.events)
        ratios = _upserts(servers, wanted)
        memory_mb = aggregator_pss_mb(servers, wanted.ids)
    figures = {"events_per_cpu_second": events, "aggregator_memory_mb": memory_mb}
    return Figures(figures, ratios, notes)


def _loop(servers: Stores, events: int) -> tuple[float, list[str]]:
    installation = servers.install()
    with aggregating(installation) as loop:
        for stretch in (1, 2):
            say(f"applying {events} events ({'warming up' if stretch == 1 else 'measured'})")
            written = fill(installation.log, Traffic(events, seed=stretch).with_repeats())
            before = servers.cpu_seconds()
            loop.apply(written)
            used = servers.cpu_seconds() - before
    records = sum(written)
    each = Cpu(*(1e6 * seconds / records for seconds in used))
    return records / sum(used), [
        f"an event takes {each.client:.1f} us of ours and {each.database:.1f} us of PostgreSQL"
    ]


class _Loop:
    """A running aggregator, turned by hand."""

    def __init__(self, aggregator: Aggregator, connection: psycopg.Connection) -> None:
        self._aggregator = aggregator
        self._connection = connection
        self._steps = aggregator.steps()
        self._target = 0

    def apply(self, written: Sequence[int]) -> None:
        """Turn until so many more records of each partition are applied."""
        self._target += sum(written)
        for step in self._steps:
            if self._aggregator.halted:
                raise BrokenInvariant(f"a partition has halted: {self._aggregator.halted}")
            if step == "report" and self._applied() >= self._target:
                return

    def _applied(self) -> int:
        row = self._connection.execute(
            "SELECT coalesce(sum(next_offset), 0)::bigint FROM partition_position"
        ).fetchone()
        return int(row[0]) if row else 0


@contextmanager
def aggregating(installation: Installation) -> Iterator[_Loop]:
    """The aggregator of `whence serve aggregate`, without its other roles."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with closing(open_consumer(installation.log)) as log, installation.connect() as connection:
        claim_log(connection, log.log_id, log.partitions)
        codes = declare_event_types(connection, TYPES)
        metrics = AggregateMetrics(codes, log.partitions)
        with closing(Leases(installation.database_url, installation.namespace, "bench", log.partitions)) as leases:
            rules = Rules(log.partitions, codes)
            with closing(Aggregator(log, leases, installation.connect, rules, metrics)) as aggregator:
                tune_garbage_collection()
                yield _Loop(aggregator, connection)


@dataclass(slots=True)
class _Rate:
    """Rows over the CPU seconds that they took, ours and PostgreSQL's."""

    rows: int = 0
    seconds: float = 0.0

    @contextmanager
    def measured(self, servers: Stores, batches: Sequence[SignalDeltas]) -> Iterator[None]:
        before = servers.cpu_seconds()
        yield
        self.seconds += sum(servers.cpu_seconds() - before)
        self.rows += sum(batch.user.size for batch in batches)

    def __truediv__(self, other: "_Rate") -> float:
        return (self.rows / self.seconds) / (other.rows / other.seconds)


def _upserts(servers: Stores, wanted: _Size) -> dict[str, float]:
    """Rows per CPU-second: the upsert against a raw COPY of the same rows, and on many rows against few.

    Rounds of all three alternate, so that whatever else the machine does falls on all alike.
    """
    say(f"making tables of {wanted.few_rows} and {wanted.many_rows} signals")
    few, many = (SignalTable.make(servers.install(), rows) for rows in (wanted.few_rows, wanted.many_rows))
    with closing(few.connection), closing(many.connection):
        for number in range(wanted.rounds):
            if number <= 1:
                upsert, upsert_many, copy = _Rate(), _Rate(), _Rate()
            say(f"upserts and copies, round {number + 1} of {wanted.rounds}{'' if number else ' (warming up)'}")
            _upsert_round(servers, few, wanted.batches, number, upsert, copy)
            _upsert_round(servers, many, wanted.batches, number, upsert_many, None)
    return {"upsert_vs_raw_copy": upsert / copy, "ten_million_vs_one_million": upsert_many / upsert}


def _upsert_round(
    servers: Stores, table: SignalTable, count: int, number: int, upsert: _Rate, copy: _Rate | None
) -> None:
    random = np.random.default_rng(number)
    batches = [table.deltas(random) for _ in range(count)]
    with upsert.measured(servers, batches):
        for batch in batches:
            table.upsert(batch)
    if copy is not None:
        with copy.measured(servers, batches):
            for place, batch in enumerate(batches):
                table.copy(batch, number * count + place)
