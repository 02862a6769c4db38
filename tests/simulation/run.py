"""One run: real aggregators and compactors in a world of trouble, then calm, then the books are checked."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import cast

import structlog

from simulation.catalog import EVENT_TYPES, new_database
from simulation.checks import check
from simulation.database import Client, Database
from simulation.log import Coordinator, SimulatedConsumer, SimulatedLeases, SimulatedLog
from simulation.producer import Producer
from simulation.world import START_US, Task, World
from whence.aggregate.compactor import Compactor
from whence.aggregate.consumer import Aggregator
from whence.aggregate.decode import Rules
from whence.aggregate.metrics import AggregateMetrics
from whence.kit.clock import Times, from_us

PARTITIONS = 2
CALM_TICKS_MAX = 2_000
"""A world in which nothing fails any more is drained long before."""

FREEZE_TICKS_MAX = 40


@dataclass(frozen=True)
class Plan:
    """What a run consists of.

    Attributes:
        ticks: Turns of the world in which things fail.
        appends: Of these, how many bring records.
        aggregators, compactors: At the most, chosen by the seed from the pair's range.
        hours_jump: Whether hours pass in the log.
        plant: Puts a bug into the database.
    """

    ticks: int = 120
    appends: int = 10
    aggregators: tuple[int, int] = (2, 3)
    compactors: int = 0
    hours_jump: bool = True
    plant: Callable[[Database], None] = lambda database: None


USUAL = Plan()
COMPACTING = Plan(ticks=150, appends=7, aggregators=(1, 2), compactors=2, hours_jump=False)


class Failed(AssertionError):
    """A run that went wrong, with the seed that repeats it."""


@lru_cache(maxsize=1)
def _metrics() -> AggregateMetrics:
    return AggregateMetrics(EVENT_TYPES, PARTITIONS)


class _Start:
    """The compactor's clock: it stands still, so that no entry grows too old for its bucket on the way."""

    def now(self) -> datetime:
        return from_us(START_US)


class Simulation:
    """The world, its server, its log and its processes."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.world = World(seed)
        self.plan = plan
        self.log = SimulatedLog(self.world, PARTITIONS)
        self.database = new_database(self.world)
        plan.plant(self.database)
        self.coordinator = Coordinator(self.world, PARTITIONS)
        self._producer = Producer(self.world, self.log, hours_jump=plan.hours_jump)
        self._times = Times(self.world.monotonic, lambda: self.world.now_us)
        self._started = 0
        self._tasks: list[Task] = []
        for _ in range(self.world.chance.randint(*plan.aggregators)):
            self._start(self._aggregate, "aggregator")
        for _ in range(plan.compactors):
            self._start(self._compact, "compactor")

    def run(self) -> None:
        """Trouble, calm, checks."""
        appending = set(self.world.chance.sample(range(self.plan.ticks), self.plan.appends))
        try:
            for tick in range(self.plan.ticks):
                if tick in appending:
                    self._producer.append()
                self._trouble()
                self._tick()
            self.world.calm = True
            self._drain()
            check(self.log, self.database.tables, folded=self.plan.compactors > 0)
        finally:
            for task in self._tasks:
                task.kill()

    def _trouble(self) -> None:
        chance = self.world.chance
        aggregators = [task.name for task in self._tasks if task.name.startswith("aggregator")]
        if self.world.happens(0.1):
            self.coordinator.move(aggregators)
        if self.world.happens(0.03):
            chance.choice(self._tasks).frozen_ticks = chance.randrange(FREEZE_TICKS_MAX)
        if self.world.happens(0.1):
            self.world.pass_time(1_000_000)

    def _tick(self) -> None:
        self.database.tick()
        for task in self._tasks:
            task.frozen_ticks = 0 if self.world.calm else max(0, task.frozen_ticks - 1)
        awake = [task for task in self._tasks if not task.frozen_ticks]
        if awake:
            self.world.run(self.world.chance.choice(awake))
        for task in [task for task in self._tasks if task.ended]:
            self._tasks.remove(task)
            kind = task.name.split("-")[0]
            self._start(self._aggregate if kind == "aggregator" else self._compact, kind)

    def _drain(self) -> None:
        for _ in range(CALM_TICKS_MAX):
            if self._drained():
                return
            self._tick()
        raise AssertionError(f"nothing fails any more, and still not everything is applied: {self.database.tables}")

    def _drained(self) -> bool:
        positions, folded = self.database.tables.positions, self.database.tables.folded
        ends = {partition: self.log.end(partition) for partition in self.log.records}
        applied = all(
            partition in positions and positions[partition].next_offset >= end for partition, end in ends.items()
        )
        if not applied or not self.plan.compactors:
            return applied
        return all(folded.get(partition, 0) >= end for partition, end in ends.items())

    def _start(self, body: Callable[[str], None], kind: str) -> None:
        self._started += 1
        name = f"{kind}-{self._started}"
        self._tasks.append(Task(name, lambda: body(name)))

    def _aggregate(self, name: str) -> None:
        """What `whence.aggregate.main` does, until a signal to stop."""
        with self._process(name) as client:
            consumer = SimulatedConsumer(self.log, self.world)
            rules = Rules(PARTITIONS, EVENT_TYPES)
            leases = SimulatedLeases(self.coordinator, name)
            aggregator = Aggregator(consumer, leases, client.connect, rules, _metrics(), self._wait, self._times)
            for _ in aggregator.steps():
                self.world.crash()
                assert not aggregator.halted, aggregator.halted
                if self.world.happens(0.002):
                    break
            aggregator.close()

    def _compact(self, name: str) -> None:
        with self._process(name) as client:
            stopping = cast("threading.Event", _Stopping(self._wait))
            clock = _Start()
            Compactor(client.connect, _metrics(), clock, self._times).run(stopping)

    @contextmanager
    def _process(self, name: str) -> Iterator[Client]:
        client = Client(self.database)
        try:
            yield client
        finally:
            client.gone()
            self.coordinator.gone(name)

    def _wait(self, seconds: float) -> None:
        assert 0 <= seconds <= 5
        self.world.now_us += 1 + int(self.world.chance.random() * 1e6)
        self.world.pause()


class _Stopping:
    """An event that is never set, whose waiting is the world's."""

    def __init__(self, wait: Callable[[float], None]) -> None:
        self.wait = wait

    def is_set(self) -> bool:
        """Never: compactors end by being killed."""
        return False


def simulate(seed: int, plan: Plan = USUAL) -> None:
    """Run one seed.

    Raises:
        Failed: If anything is lost, doubled or wrong, or stands still.
    """
    try:
        Simulation(seed, plan).run()
    except Exception as error:
        raise Failed(f"seed {seed}: {type(error).__name__}: {error}") from error


def first_failure(plan: Plan, seeds: range) -> Failed | None:
    """The first of some seeds that goes wrong."""
    for seed in seeds:
        try:
            simulate(seed, plan)
        except Failed as failure:
            return failure
    return None


@contextmanager
def silence() -> Iterator[None]:
    """Without the log lines of the product, thousands of which mean nothing here."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
