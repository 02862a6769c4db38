"""The reading sides of the event log on PostgreSQL: the consumer that waits, and the scanner."""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import Connection, sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from whence.domain.errors import BrokenInvariant, LogDamaged
from whence.eventlog.port import Record, Watermarks, check_partitions
from whence.eventlog.postgres import STATEMENTS, LogInfo, channel, log_errors, log_info
from whence.kit.database import conninfo
from whence.kit.pgarrays import BigintArray, IntArray, register

LOOK_AGAIN_SECONDS = 1.0
"""A waiting consumer looks by itself this often, in case a notice was lost with its connection."""

MAX_POLL_BYTES = 16 * 2**20
"""Bytes of keys and values that one poll fetches, shared evenly by the partitions; one record each always comes."""

SCAN_RECORDS = 2_000
"""Records of one list of a scan: some milliseconds of PostgreSQL's time."""

SCAN_BYTES = 8 * 2**20
"""Bytes of one list of a scan."""

_POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01T00:00:00Z, the zero of PostgreSQL's binary times, in microseconds since 1970."""


class _Range(NamedTuple):
    """The records of a partition with start <= offset < end."""

    partition: int
    start: int
    end: int


class _Reader:
    """A reading connection that opens again by itself, always to the same log."""

    def __init__(self, url: str, namespace: str, application: str) -> None:
        self._url = url
        self._namespace = namespace
        self._application = application
        self._connection: Connection | None = None
        self._info: LogInfo | None = None
        self._ready_connection()

    @property
    def log_id(self) -> str:
        """Eight hex digits that name the log that is read."""
        return self._known_info().log_id

    @property
    def partitions(self) -> int:
        """How many partitions the log has."""
        return self._known_info().partitions

    def watermarks(self, partition: int) -> Watermarks:
        """The offsets that the partition can give now."""
        check_partitions([partition], self.partitions)
        return Watermarks(*self._rows("watermarks", {"partition": partition})[0])

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _rows(self, name: str, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        try:
            with log_errors(self._namespace):
                return self._ready_connection().execute(STATEMENTS[name], parameters, binary=True).fetchall()
        except BaseException:
            self.close()
            raise

    def _ready_connection(self) -> Connection:
        if self._connection is None:
            with log_errors(self._namespace):
                self._connection = psycopg.connect(
                    conninfo(self._url, self._namespace, self._application), autocommit=True
                )
                try:
                    self._set_up(self._connection)
                except BaseException:
                    self.close()
                    raise
        return self._connection

    def _set_up(self, connection: Connection) -> None:
        register(connection)
        connection.adapters.register_loader("timestamptz", _MicrosecondsLoader)
        info = log_info(connection.execute(STATEMENTS["log_info"]).fetchone(), self._namespace)
        if self._info not in (None, info):
            raise LogDamaged(f"this is the log {info.log_id}, not {self.log_id}: it was made anew")
        self._info = info

    def _known_info(self) -> LogInfo:
        if self._info is None:
            raise BrokenInvariant("a log reader is used before it has connected")
        return self._info

    def _fetch(self, ranges: Sequence[_Range], range_bytes: int) -> list[Record]:
        """The records of some ranges below the high watermark, each without a hole and cut at some bytes.

        Raises:
            LogDamaged: If a range does not begin with its first record or has a hole: the records are gone.
        """
        partitions, starts, ends = zip(*ranges, strict=True)
        parameters = {
            "partitions": IntArray(partitions),
            "starts": BigintArray(starts),
            "ends": BigintArray(ends),
            "range_bytes": range_bytes,
        }
        records = sorted(map(Record._make, self._rows("records", parameters)))
        expected = {place.partition: place.start for place in ranges}
        for record in records:
            if record.offset != expected[record.partition]:
                raise _missing(record.partition, expected[record.partition])
            expected[record.partition] += 1
        for place in ranges:
            if expected[place.partition] == place.start:
                raise _missing(place.partition, place.start)
        return records


class PostgresConsumer(_Reader):
    """The reading side of `aggregate` (`port.Consumer`): waits for notices, looks by itself now and then."""

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace, "consumer")
        self._positions: dict[int, int] = {}
        self._turns: deque[int] = deque()

    def assign(self, positions: Mapping[int, int]) -> None:
        """Read exactly these partitions from these next offsets on."""
        check_partitions(positions, self.partitions)
        self._positions = dict(positions)
        self._turns = deque(sorted(positions))

    def poll(self, max_records: int, wait_seconds: float) -> list[Record]:
        """Records of the assigned partitions; see `port.Consumer.poll`.

        Partitions take turns in being served first, so that none waits for another's backlog for long.
        """
        deadline = time.monotonic() + wait_seconds
        if not self._positions:
            time.sleep(wait_seconds)
            return []
        while True:
            records = self._take(max_records)
            left_seconds = deadline - time.monotonic()
            if records or left_seconds <= 0:
                return records
            self._notices(min(left_seconds, LOOK_AGAIN_SECONDS))

    def advertise(self, next_offsets: Mapping[int, int]) -> None:
        """Nothing to tell: who watches the lag reads `partition_position` beside this log."""

    def _set_up(self, connection: Connection) -> None:
        super()._set_up(connection)
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel(self._namespace))))

    def _notices(self, wait_seconds: float) -> None:
        """Take the notices that are there, else wait for one."""
        try:
            with log_errors(self._namespace):
                for _ in self._ready_connection().notifies(timeout=wait_seconds, stop_after=1):
                    pass
        except BaseException:
            self.close()
            raise

    def _take(self, max_records: int) -> list[Record]:
        self._notices(0)  # whatever they announce, the look below sees it; else they would pile up under load
        ranges = self._ready_ranges(max_records)
        if not ranges:
            return []
        records = self._fetch(ranges, MAX_POLL_BYTES // len(ranges))
        for record in records:
            self._positions[record.partition] = record.offset + 1
        self._turns.rotate(-1)
        return records

    def _ready_ranges(self, max_records: int) -> list[_Range]:
        """What can be read now, at most *max_records* in all, in the order of turns.

        Each partition may give an equal share; those that come first in turn may give what others leave of theirs.
        """
        highs = self._high_watermarks()
        waiting = {number: size for number in self._turns if (size := highs[number] - self._positions[number]) > 0}
        left, takes = max_records, dict.fromkeys(waiting, 0)
        for share in (-(-max_records // max(len(waiting), 1)), max_records):
            for partition, size in waiting.items():
                more = min(size - takes[partition], share, left)
                takes[partition] += more
                left -= more
        places = ((number, self._positions[number], size) for number, size in takes.items() if size)
        return [_Range(number, start, start + size) for number, start, size in places]

    def _high_watermarks(self) -> dict[int, int]:
        highs: dict[int, int] = {}
        rows = self._rows("places", {"partitions": IntArray(list(self._positions))})
        for log_id, partition, next_offset in rows:
            if log_id != self.log_id:
                raise LogDamaged(f"this is the log {log_id}, not {self.log_id}: it was made anew")
            highs[int(partition)] = int(next_offset)
        for partition, position in self._positions.items():
            if position > highs.get(partition, -1):
                message = f"partition {partition} of the log ends before our position {position}: it was cut off"
                raise LogDamaged(message, partition)
        return highs


class PostgresScanner(_Reader):
    """Bounded reads for reconcile and rebuild (`port.Scanner`)."""

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace, "scanner")

    def scan(self, partition: int, start: int, end: int) -> Iterator[list[Record]]:
        """The records with start <= offset < end that are there when it begins, in lists of bounded size.

        Raises:
            LogDamaged: If the log has lost records of this range.
        """
        last = min(end, self.watermarks(partition).high)
        while start < last:
            chunk = _Range(partition, start, min(last, start + SCAN_RECORDS))
            records = self._fetch([chunk], SCAN_BYTES)
            yield records
            start = records[-1].offset + 1


class _MicrosecondsLoader(Loader):
    """A binary timestamptz as microseconds since 1970: exact, and without a datetime on the way."""

    format = Format.BINARY

    def load(self, data: Buffer) -> int:
        return int.from_bytes(data, "big", signed=True) + _POSTGRES_EPOCH_US


def _missing(partition: int, offset: int) -> LogDamaged:
    return LogDamaged(f"partition {partition} of the log has lost its records from offset {offset} on", partition)
