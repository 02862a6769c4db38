"""An event log in memory that keeps the port's contract; its conformance tests run among the unit tests."""

import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from whence.domain.errors import DependencyUnavailable, LogDamaged
from whence.eventlog.port import NewRecord, Record, Watermarks, check_call, check_partitions

SCAN_RECORDS = 100


class MemoryLog:
    """The log itself. `down` makes every side raise; `clock_us` stamps appends."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.log_id = ""
        self.down = False
        self.changed = threading.Condition()
        self.records: dict[int, list[Record]] = {}
        self.lows: dict[int, int] = {}
        self.replace()

    def clock_us(self) -> int:
        """The log's clock."""
        return time.time_ns() // 1_000

    def replace(self) -> None:
        """Make the log anew."""
        with self.changed:
            self.log_id = secrets.token_hex(4)
            self.records = {partition: [] for partition in range(self.partitions)}
            self.lows = dict.fromkeys(range(self.partitions), 0)

    def trim(self, partition: int, low: int) -> None:
        """Forget the records below *low*, as retention does."""
        with self.changed:
            self.lows[partition] = low

    def watermarks(self, partition: int) -> Watermarks:
        """What the partition can give."""
        self.check()
        check_partitions([partition], self.partitions)
        return Watermarks(self.lows[partition], len(self.records[partition]))

    def read(self, partition: int, start: int, end: int) -> list[Record]:
        """The records with start <= offset < end."""
        low, high = self.watermarks(partition)
        if not low <= start <= high:
            raise LogDamaged(f"partition {partition} has the offsets {low} to {high}, not {start}", partition)
        return self.records[partition][start:end]

    def check(self) -> None:
        """Raise if the log is down."""
        if self.down:
            raise DependencyUnavailable("memory", "the log is down")

    def append(self, records: Sequence[NewRecord]) -> list[int]:
        """Append and wake the consumers."""
        with self.changed:
            self.check()
            offsets = []
            for record in records:
                lane = self.records[record.partition]
                offsets.append(len(lane))
                lane.append(Record(record.partition, len(lane), self.clock_us(), record.key, record.value))
            self.changed.notify_all()
            return offsets


class MemoryAppender:
    """`port.Appender` on a `MemoryLog`."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._closed = False
        self.log_id = log.log_id
        self.partitions = log.partitions

    async def append(self, records: Sequence[NewRecord]) -> list[int]:
        """Append, or raise without having done anything."""
        check_call(records, self.partitions)
        await self.check()
        return self._log.append(records)

    async def check(self) -> None:
        """Raise if the log is down or this side is closed."""
        if self._closed:
            raise DependencyUnavailable("memory", "the appender is closed")
        self._log.check()

    async def close(self) -> None:
        """Refuse further appends."""
        self._closed = True


class MemoryConsumer:
    """`port.Consumer` on a `MemoryLog`."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._positions: dict[int, int] = {}
        self.log_id = log.log_id
        self.partitions = log.partitions
        self.advertised: dict[int, int] = {}

    def assign(self, positions: Mapping[int, int]) -> None:
        """Read these partitions from these offsets on."""
        check_partitions(positions, self.partitions)
        self._positions = dict(positions)

    def poll(self, max_records: int, wait_seconds: float) -> list[Record]:
        """What is there, else what comes within *wait_seconds*."""
        deadline = time.monotonic() + wait_seconds
        with self._log.changed:
            while True:
                records = self._take(max_records)
                left_seconds = deadline - time.monotonic()
                if records or left_seconds <= 0:
                    return records
                self._log.changed.wait(left_seconds)

    def watermarks(self, partition: int) -> Watermarks:
        """What the partition can give."""
        return self._log.watermarks(partition)

    def advertise(self, next_offsets: Mapping[int, int]) -> None:
        """Keep it for the test to look at."""
        self.advertised |= next_offsets

    def close(self) -> None:
        """Nothing to let go of."""

    def _take(self, max_records: int) -> list[Record]:
        if self._log.log_id != self.log_id:
            raise LogDamaged("this is another log")
        records: list[Record] = []
        for partition, start in list(self._positions.items()):
            found = self._log.read(partition, start, start + max_records - len(records))
            records += found
            if found:
                self._positions[partition] = self._positions.pop(partition) + len(found)
        return records


class MemoryScanner:
    """`port.Scanner` on a `MemoryLog`."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.log_id = log.log_id
        self.partitions = log.partitions

    def watermarks(self, partition: int) -> Watermarks:
        """What the partition can give."""
        return self._log.watermarks(partition)

    def scan(self, partition: int, start: int, end: int) -> Iterator[list[Record]]:
        """The records in lists of at most `SCAN_RECORDS`."""
        last = min(end, self.watermarks(partition).high)
        for first in range(start, last, SCAN_RECORDS):
            yield self._log.read(partition, first, min(last, first + SCAN_RECORDS))

    def close(self) -> None:
        """Nothing to let go of."""
