"""The connections of `recommend`: few, bounded, and back by themselves after PostgreSQL was away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from psycopg import AsyncConnection
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool

from whence.kit.database import conninfo, database_errors

POOL_MIN = 1
POOL_MAX = 8
"""Reads at once: each keeps a server core busy, so more would only queue there."""

WAITING_MAX = 256
"""Requests that may wait for a connection; the next one is told at once to come back."""

WAIT_SECONDS = 2.0
"""Longest wait for a connection; a page that waits longer has lost its visitor."""

RECONNECT_SECONDS = 1.0
"""The pool's delays between attempts double up to this, so that reads resume soon after the server does."""

READ_TIMEOUT_MS = 5_000
"""No read takes this long unless something is broken; its connection is needed."""

SESSION = (
    # The read statement is large: planning costs half of what running it does, and compiling more.
    "SET plan_cache_mode = force_generic_plan",
    "SET jit = off",
    "SET max_parallel_workers_per_gather = 0",
    # A plan made while the tables were empty must still do when they are full.
    "SET enable_seqscan = off",
)


class Database:
    """A pool of autocommitting connections."""

    def __init__(self, url: str, namespace: str) -> None:
        """Name the server and the installation; `open` starts to connect."""
        self._pool = AsyncConnectionPool(
            conninfo(url, namespace, "recommend", READ_TIMEOUT_MS),
            min_size=POOL_MIN,
            max_size=POOL_MAX,
            max_waiting=WAITING_MAX,
            timeout=WAIT_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            kwargs={"autocommit": True},
            configure=_configure,
            check=AsyncConnectionPool.check_connection,
            open=False,
        )

    async def open(self) -> None:
        """Start to connect; does not wait for the server, which may come later."""
        await self._pool.open()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._pool.close(timeout=WAIT_SECONDS)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection for the body.

        Raises:
            DependencyUnavailable: If there is none in time, or the server fails in the body.
        """
        with database_errors():
            async with self._pool.connection() as connection:
                yield connection

    async def check(self) -> None:
        """Raise DependencyUnavailable if the server does not answer now."""
        async with self.connection() as connection:
            await connection.execute("SELECT 1")

    def usage(self) -> dict[str, int]:
        """How many connections are busy and idle, and how many requests wait for one."""
        stats = self._pool.get_stats()
        size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
        return {"busy": size - idle, "idle": idle, "waiting": stats.get("requests_waiting", 0)}


async def _configure(connection: AsyncConnection) -> None:
    set_json_loads(msgspec.json.decode, connection)
    for statement in SESSION:
        await connection.execute(statement.encode())
