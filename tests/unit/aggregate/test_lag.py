"""The lag is looked up at intervals, and partitions that do not answer hold nobody up."""

from types import SimpleNamespace
from typing import cast

from whence.aggregate.lag import LOOK_SECONDS, SILENT_SECONDS, LagWatch
from whence.aggregate.metrics import AggregateMetrics
from whence.aggregate.pipeline import Position
from whence.aggregate.takeover import OwnedPartition
from whence.domain.errors import PartitionUnavailable
from whence.eventlog.port import Consumer, Watermarks
from whence.kit.clock import Times

PARTITIONS = 4
WAIT_SECONDS = 5.0
OWNED = [cast("OwnedPartition", SimpleNamespace(position=Position(number, 10, 0))) for number in range(PARTITIONS)]


class SlowLog:
    """A log on a clock of its own, whose silent partitions are waited for in vain."""

    def __init__(self, *silent: int) -> None:
        self.now = 100.0
        self.silent = silent
        self.asked: list[int] = []

    def watermarks(self, partition: int) -> Watermarks:
        self.asked.append(partition)
        if partition in self.silent:
            self.now += WAIT_SECONDS
            raise PartitionUnavailable("kafka", "no leader")
        return Watermarks(0, 12)

    def watch(self) -> LagWatch:
        times = Times(monotonic=lambda: self.now)
        return LagWatch(cast("Consumer", self), AggregateMetrics({"view": 1}, PARTITIONS), times)


def test_all_are_measured_at_intervals() -> None:
    log = SlowLog()
    watch = log.watch()
    for _ in range(3):
        watch.look(OWNED, caught_up=False)
    assert log.asked == [0, 1, 2, 3]
    log.now += LOOK_SECONDS
    watch.look(OWNED, caught_up=False)
    assert log.asked == [0, 1, 2, 3] * 2


def test_a_silent_partition_is_waited_for_once_a_minute_and_the_others_are_measured() -> None:
    log = SlowLog(1)
    watch = log.watch()
    start, waited = log.now, 0
    while log.now < start + SILENT_SECONDS:
        asked = len(log.asked)
        watch.look(OWNED, caught_up=False)
        waited += log.asked[asked:].count(1)
        log.now += 0.2
    assert waited == 1
    assert {0, 2, 3} <= set(log.asked)


def test_it_is_not_looked_again_as_soon_as_a_long_look_ends() -> None:
    log = SlowLog(0, 1)
    watch = log.watch()
    watch.look(OWNED, caught_up=False)
    watch.look(OWNED, caught_up=False)
    assert log.asked == [0]
