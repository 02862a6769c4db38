"""Served lists: what was answered, kept for 7 days so that its reasons can be looked up. Best effort.

Answers go into a bounded queue behind the response and reach PostgreSQL in batches. `served_list` has a partition for
each day (UTC); one process at a time, under an advisory lock, makes days ahead and drops old ones.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import structlog
from psycopg import AsyncConnection, sql

from whence.domain.errors import WhenceError
from whence.kit.clock import Clock, from_us
from whence.kit.metrics import Metrics
from whence.kit.sqlfiles import load_statements
from whence.recommend.database import Database
from whence.recommend.metrics import HOUSEKEEPING, KEPT, NOT_KEPT

KEPT_DAYS = 7
"""How long a served list can be looked up."""

DAYS_AHEAD = 2
"""Days made before they come, so that a night without housekeeping loses nothing."""

QUEUE_BYTES_MAX = 16 * 1024 * 1024
"""Answers that wait to be written; beyond that new ones are dropped and counted."""

BATCH_MAX = 200
"""Answers written in one statement."""

HOUSEKEEPING_SECONDS = 3_600.0
RETRY_SECONDS = 5.0
"""After a failed write or round of housekeeping."""

LOCK_TIMEOUT = "2s"
"""Dropping a day waits for readers of the table, and everybody else waits behind it."""

ID_PREFIX = "rec_"
_TIME_DIGITS = 12
_PARTITION_PREFIX = "served_list_"
_STATEMENTS = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class ServedList:
    """An answer as it was served; `served_at` is the time in its id, to the millisecond."""

    recommendation_id: str
    served_at: datetime
    answer: bytes


def recommendation_id(event_id: str) -> str:
    """The id of a list from a UUIDv7: it carries the time, by which it is found again."""
    return ID_PREFIX + event_id.replace("-", "")


def served_at(recommendation_id: str) -> datetime | None:
    """When the list of that id was served; None if it is no such id."""
    digits = recommendation_id.removeprefix(ID_PREFIX)
    if digits == recommendation_id or len(digits) != 32 or set(digits) - set("0123456789abcdef"):  # 128 bits in hex
        return None
    try:
        return from_us(int(digits[:_TIME_DIGITS], 16) * 1_000)
    except (ValueError, OverflowError):
        return None


class ServedLists:
    """Keeps served lists and finds them again."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        """Write to *database*, count in *metrics*."""
        self._database = database
        self._metrics = metrics
        self._waiting: OrderedDict[str, ServedList] = OrderedDict()
        self._waiting_bytes = 0
        self._something = asyncio.Event()

    def keep(self, served: ServedList) -> None:
        """Take an answer to be written; never waits, and drops it where too much waits already."""
        if self._waiting_bytes + len(served.answer) > QUEUE_BYTES_MAX:
            self._metrics.inc(NOT_KEPT, "queue_full")
            return
        self._waiting[served.recommendation_id] = served
        self._waiting_bytes += len(served.answer)
        self._something.set()

    async def find(self, recommendation_id: str, at: datetime) -> bytes | None:
        """The answer of that id and time, if it was kept.

        Raises:
            DependencyUnavailable: If the database does not answer.
        """
        if waiting := self._waiting.get(recommendation_id):
            return waiting.answer
        async with self._database.connection() as connection:
            cursor = await connection.execute(_STATEMENTS["find"], {"id": recommendation_id, "served_at": at})
            row = await cursor.fetchone()
        return row[0].encode() if row else None

    async def write_forever(self) -> None:
        """Write what comes in, until cancelled."""
        while True:
            await self._something.wait()
            await self.write_waiting()

    async def write_waiting(self) -> None:
        """Write all that waits, batch by batch; a batch that fails is dropped, for answers must not pile up."""
        while batch := list(self._waiting.values())[:BATCH_MAX]:
            try:
                await self._write(batch)
            except WhenceError as error:
                self._forget(batch)
                self._metrics.inc(NOT_KEPT, "write_failed", by=len(batch))
                structlog.get_logger().warning("served lists not kept", count=len(batch), reason=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                # After the write, not in between: a stop in the middle of it leaves the batch for the last write.
                self._forget(batch)
                self._metrics.inc(KEPT, by=len(batch))
        self._something.clear()

    async def _write(self, batch: list[ServedList]) -> None:
        values = {
            "ids": [served.recommendation_id for served in batch],
            "times": [served.served_at for served in batch],
            "answers": [served.answer.decode() for served in batch],
        }
        async with self._database.connection() as connection:
            await connection.execute(_STATEMENTS["keep"], values)

    def _forget(self, batch: list[ServedList]) -> None:
        for served in batch:
            if self._waiting.pop(served.recommendation_id, None):
                self._waiting_bytes -= len(served.answer)


class Housekeeper:
    """The named owner of the days of `served_list`: makes days ahead and drops those past their time."""

    def __init__(self, database: Database, clock: Clock, metrics: Metrics) -> None:
        """Look after *database* by *clock*, count in *metrics*."""
        self._database = database
        self._clock = clock
        self._metrics = metrics

    async def run_forever(self) -> None:
        """A round at once and every hour, until cancelled; sooner again after one that failed."""
        while True:
            try:
                done = await self.round()
                self._metrics.inc(HOUSEKEEPING, "done" if done else "elsewhere")
                await asyncio.sleep(HOUSEKEEPING_SECONDS)
            except WhenceError as error:
                self._metrics.inc(HOUSEKEEPING, "failed")
                structlog.get_logger().warning("housekeeping of served lists failed", reason=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def round(self) -> bool:
        """Make the days from today on that are missing and drop those that nobody may look up any more.

        Returns:
            Whether this process did it; another may be at it.

        Raises:
            DependencyUnavailable: If the database does not answer, or readers held a day too long.
        """
        today = self._clock.now().astimezone(UTC).date()
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
            row = await (await connection.execute(_STATEMENTS["lock"])).fetchone()
            if not row or not row[0]:
                return False
            there = {name for (name,) in await (await connection.execute(_STATEMENTS["days"])).fetchall()}
            for name, day in wanted_days(today).items():
                if name not in there:
                    await _make_day(connection, name, day)
            for name in sorted(there):
                if name < partition_name(today - timedelta(days=KEPT_DAYS)):
                    await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
        return True


def wanted_days(today: date) -> dict[str, date]:
    """The days that must exist, by the name of their partition: yesterday too, for clocks that differ."""
    days = [today + timedelta(days=ahead) for ahead in range(-1, DAYS_AHEAD + 1)]
    return {partition_name(day): day for day in days}


def partition_name(day: date) -> str:
    """The partition of a day; names sort as days do."""
    return f"{_PARTITION_PREFIX}{day:%Y%m%d}"


async def _make_day(connection: AsyncConnection, name: str, day: date) -> None:
    # Names cannot be parameters of a statement, hence no .sql file.
    statement = sql.SQL("CREATE TABLE {} PARTITION OF served_list FOR VALUES FROM ({}) TO ({})")
    bounds = [sql.Literal(f"{bound}T00:00:00Z") for bound in (day, day + timedelta(days=1))]
    await connection.execute(statement.format(sql.Identifier(name), *bounds))
