"""The writing side of the event log on PostgreSQL."""

import asyncio
import select
from collections.abc import Mapping, Sequence
from contextlib import suppress

import psycopg
from psycopg import AsyncConnection

from whence.domain.errors import BrokenInvariant, DependencyUnavailable, OutcomeUnknown
from whence.eventlog.group_commit import GroupCommit
from whence.eventlog.port import NewRecord, check_call
from whence.eventlog.postgres import DEPENDENCY, STATEMENTS, LogInfo, channel, log_errors, log_info
from whence.kit.database import conninfo
from whence.kit.pgarrays import ByteaArray, IntArray, register

WRITE_TIMEOUT_SECONDS = 4.0
"""A group that is not committed by then counts as lost: its connection is given up and its outcome is unknown. Below an
append's limit, so that what is sent again does not wait behind itself."""


class PostgresAppender:
    """The writing side (`port.Appender`): one connection, and one transaction for all appends that wait."""

    def __init__(self, url: str, namespace: str, connection: AsyncConnection, info: LogInfo) -> None:
        self._url = url
        self._namespace = namespace
        self._connection: AsyncConnection | None = connection
        self._info = info
        self._commits = GroupCommit(DEPENDENCY, self._write)

    @classmethod
    async def open(cls, url: str, namespace: str) -> "PostgresAppender":
        """Connect.

        Raises:
            DependencyUnavailable: If the server cannot be reached or has no log yet.
        """
        return cls(url, namespace, *await _connect_appender(url, namespace))

    @property
    def log_id(self) -> str:
        """Eight hex digits that name this log."""
        return self._info.log_id

    @property
    def partitions(self) -> int:
        """How many partitions the log has."""
        return self._info.partitions

    async def append(self, records: Sequence[NewRecord]) -> list[int]:
        """Append records; see `port.Appender.append`.

        Raises:
            ValueError: If there are too many records or a partition that the log does not have.
        """
        check_call(records, self.partitions)
        return await self._commits.append(records) if records else []

    async def check(self) -> None:
        """Raise DependencyUnavailable if the log does not answer now."""
        await self._commits.append([])

    async def close(self) -> None:
        """Finish what is under way and let go of the connection."""
        await self._commits.close()
        await self._give_up_connection()

    async def _write(self, records: Sequence[NewRecord]) -> list[int]:
        connection = await self._ready_connection()
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                cursor = await connection.execute(
                    STATEMENTS["append"], _append_parameters(records, self._namespace), binary=True
                )
                first = {partition: offset for partition, offset, _ in await cursor.fetchall()}
        except (psycopg.Error, TimeoutError) as error:
            await self._give_up_connection()
            raise _append_error(error) from error
        return _offsets(records, first)

    async def _ready_connection(self) -> AsyncConnection:
        """The connection, made anew if the server has closed it meanwhile."""
        if self._connection is not None and _has_ended(self._connection):
            await self._give_up_connection()
        if self._connection is None:
            connection, info = await _connect_appender(self._url, self._namespace)
            if info != self._info:
                await connection.close()
                raise DependencyUnavailable(DEPENDENCY, "the event log was made anew: restart this service")
            self._connection = connection
        return self._connection

    async def _give_up_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()


async def _connect_appender(url: str, namespace: str) -> tuple[AsyncConnection, LogInfo]:
    with log_errors(namespace):
        connection = await AsyncConnection.connect(conninfo(url, namespace, "appender"), autocommit=True)
    try:
        with log_errors(namespace):
            register(connection)
            await connection.execute(STATEMENTS["durable_commits"])
            row = await (await connection.execute(STATEMENTS["log_info"])).fetchone()
            return connection, log_info(row, namespace)
    except BaseException:
        await connection.close()
        raise


def _has_ended(connection: AsyncConnection) -> bool:
    """Whether the server has ended an idle connection: found before anything depends on it.

    Nothing is due on an idle connection but the news of its end (or of a changed setting: then a new one is as good).
    """
    if connection.closed:
        return True
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    return bool(poller.poll(0))


def _append_parameters(records: Sequence[NewRecord], namespace: str) -> dict[str, object]:
    counts: dict[int, int] = {}
    ranks = []
    for record in records:
        rank = counts.get(record.partition, 0)
        ranks.append(rank)
        counts[record.partition] = rank + 1
    return {
        "partitions": IntArray(list(counts)),
        "counts": IntArray(list(counts.values())),
        "record_partitions": IntArray([record.partition for record in records]),
        "ranks": IntArray(ranks),
        "keys": ByteaArray([record.key for record in records]),
        "values": ByteaArray([record.value for record in records]),
        "channel": channel(namespace),
    }


def _offsets(records: Sequence[NewRecord], first: Mapping[int, int]) -> list[int]:
    """The records' offsets, from the first offset that each partition gave out."""
    following = dict(first)
    offsets = []
    for record in records:
        if record.partition not in following:
            raise BrokenInvariant(f"the event log has lost the row of partition {record.partition}")
        offsets.append(following[record.partition])
        following[record.partition] += 1
    return offsets


def _append_error(error: Exception) -> DependencyUnavailable:
    """What a failed append means.

    An ERROR that the server reports has rolled the transaction back. Anything else (a FATAL at shutdown, a lost
    connection, no answer) may have come after the commit; so may class 57 (a cancelled statement), if only in theory.
    """
    if isinstance(error, psycopg.Error):
        state = error.sqlstate or ""
        if error.diag.severity_nonlocalized == "ERROR" and not state.startswith("57"):
            return DependencyUnavailable(DEPENDENCY, f"PostgreSQL did not take the events: {str(error).strip()}")
    return OutcomeUnknown(DEPENDENCY, f"PostgreSQL's answer was lost: {str(error).strip() or 'no answer in time'}")
