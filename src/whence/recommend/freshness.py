"""Freshness: how far the scores have come in the log, and waiting (bounded) until they hold what a token names."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from psycopg import AsyncConnection

from whence.domain.partition import partition_of
from whence.domain.tokens import FreshnessToken
from whence.kit.sqlfiles import load_statements
from whence.recommend.database import Database

WAIT_SECONDS = 2.0
"""Longest wait for a token; events are usually in within a tenth of that."""

POLL_SECONDS = 0.01
"""Between two looks at the positions, which all waiters share: ten milliseconds are not seen by anybody."""

WAITERS_MAX = 2_000
"""Requests that may wait at once; the next one is answered at once from what is there."""

Marker = Literal["stale", "token_unknown"]

_STATEMENTS = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class Positions:
    """Where the partitions of the log stand that the scores come from.

    Attributes:
        log_id, partitions: None before anything was ever aggregated.
        next_offsets: By partition; everything below is in.
    """

    log_id: str | None
    partitions: int | None
    next_offsets: Mapping[int, int]

    def verdict(self, token: FreshnessToken, subjects: Sequence[str]) -> Literal["reached", "behind", "foreign"]:
        """Whether everything that the token says of these users is in. Other users' partitions do not count."""
        if self.log_id is None or self.partitions is None:
            return "behind"
        if token.log_id != self.log_id:
            return "foreign"
        mine = {partition_of(subject.encode(), self.partitions) for subject in subjects}
        wanted = {partition: offset for partition, offset in token.offsets.items() if partition in mine}
        reached = all(self.next_offsets.get(partition, 0) >= offset for partition, offset in wanted.items())
        return "reached" if reached else "behind"


async def read_positions(connection: AsyncConnection) -> Positions:
    """The positions of all partitions now."""
    cursor = await connection.execute(_STATEMENTS["positions"], prepare=True)
    rows = await cursor.fetchall()
    if not rows:
        return Positions(None, None, {})
    log_id, partitions = rows[0][:2]
    return Positions(log_id, partitions, {row[2]: row[3] for row in rows if row[2] is not None})


class Progress:
    """Waits for tokens. However many requests wait, one query at a time asks where the log stands."""

    def __init__(self, database: Database) -> None:
        """Ask *database*."""
        self._database = database
        self._waiters = 0
        self._next_look: asyncio.Task[Positions] | None = None

    async def reach(self, token: FreshnessToken, subjects: Sequence[str]) -> Marker | None:
        """Wait until everything that the token says of these users is in.

        Returns:
            None if it is; `stale` if it was not in time; `token_unknown` if the token is of another log.

        Raises:
            DependencyUnavailable: If the positions cannot be read.
        """
        if self._waiters >= WAITERS_MAX:
            return "stale"
        self._waiters += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await self._reached(token, subjects)
        except TimeoutError:
            return "stale"
        finally:
            self._waiters -= 1

    async def _reached(self, token: FreshnessToken, subjects: Sequence[str]) -> Marker | None:
        while True:
            positions = await self._look()
            match positions.verdict(token, subjects):
                case "reached":
                    return None
                case "foreign":
                    return "token_unknown"
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self) -> Positions:
        """The positions by a query that starts after this call: one that runs already may have read too early."""
        running = self._next_look
        if running is not None and not running.done():
            await asyncio.wait((running,))
        if self._next_look is None or self._next_look.done():
            self._next_look = asyncio.create_task(self._ask())
            self._next_look.add_done_callback(_take_error)
        return await asyncio.shield(self._next_look)

    async def _ask(self) -> Positions:
        async with self._database.connection() as connection:
            return await read_positions(connection)


def _take_error(task: asyncio.Task[Positions]) -> None:
    """Its waiters have the error; if all of them left meanwhile, nobody misses it."""
    if not task.cancelled():
        task.exception()
