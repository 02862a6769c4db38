"""How far behind the log we are, in records and in seconds; looked up at intervals."""

from collections.abc import Sequence

from whence.aggregate.metrics import AggregateMetrics
from whence.aggregate.takeover import OwnedPartition
from whence.domain.errors import PartitionUnavailable
from whence.eventlog.port import Consumer
from whence.kit.clock import SYSTEM_TIMES, Times

LOOK_SECONDS = 5.0
"""Between two looks: one query for each partition; scrapers come every 10 to 60 s."""

SILENT_SECONDS = 60.0
"""A partition that has not answered is left out for so long: the others' events wait while it is asked."""


class LagWatch:
    """Measures the lag of owned partitions."""

    def __init__(self, log: Consumer, metrics: AggregateMetrics, times: Times = SYSTEM_TIMES) -> None:
        self._log = log
        self._metrics = metrics
        self._times = times
        self._look_at = 0.0
        self._caught_up_us: dict[int, int] = {}
        self._silent_until: dict[int, float] = {}

    def look(self, partitions: Sequence[OwnedPartition], *, caught_up: bool) -> None:
        """Measure, if it is time to.

        Args:
            partitions: Those that are owned now.
            caught_up: Whether the last poll found nothing, so that none of them waits for anything.
        """
        if caught_up:
            now = self._times.now_us()
            self._caught_up_us.update({owned.position.partition: now for owned in partitions})
        if self._times.monotonic() < self._look_at:
            return
        self._measure_all(partitions)
        self._look_at = self._times.monotonic() + LOOK_SECONDS

    def _measure_all(self, partitions: Sequence[OwnedPartition]) -> None:
        """Measure all but those that were silent lately: each such answer may take seconds, so one is enough."""
        now = self._times.monotonic()
        for owned in partitions:
            partition = owned.position.partition
            if now < self._silent_until.get(partition, 0.0):
                continue
            try:
                self._measure(owned)
            except PartitionUnavailable:
                self._silent_until[partition] = self._times.monotonic() + SILENT_SECONDS
                return

    def forget(self, partition: int) -> None:
        """Another process speaks for the partition now."""
        self._caught_up_us.pop(partition, None)
        self._silent_until.pop(partition, None)
        self._metrics.released(partition)

    def _measure(self, owned: OwnedPartition) -> None:
        """The next record came after the last applied one, and after the last moment when none waited."""
        partition = owned.position.partition
        behind = self._log.watermarks(partition).high - owned.position.next_offset
        if behind <= 0:
            self._caught_up_us[partition] = self._times.now_us()
        since_us = max(owned.position.last_appended_us, self._caught_up_us.get(partition, 0))
        seconds = (self._times.now_us() - since_us) / 1e6 if behind > 0 and since_us else 0.0
        self._metrics.lag(partition, max(behind, 0), max(seconds, 0.0))
