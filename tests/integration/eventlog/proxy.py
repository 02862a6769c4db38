"""A relay in front of PostgreSQL that can swallow answers, as a broken network does."""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

PATIENCE_SECONDS = 60.0


class AnswerCuttingProxy:
    """Relays connections on a free local port; after `cut_answers`, what the server says next breaks the connection.

    Attributes:
        cuts_left: How many answers `cut_commits_of` has still to swallow.
    """

    def __init__(self, url: str) -> None:
        self._server_parameters = conninfo_to_dict(url)
        self._cut = False
        self._statement = b""
        self.cuts_left = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._relay, "127.0.0.1", 0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The database's URL by way of this proxy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        user, password, database = (
            quote(str(self._server_parameters.get(name) or ""), safe="") for name in ("user", "password", "dbname")
        )
        login = f"{user}:{password}" if password else user
        return f"postgresql://{login}@127.0.0.1:{port}/{database}?sslmode=disable"

    def cut_answers(self) -> None:
        """Break the connection instead of passing on the server's next answer; the request has reached it."""
        self._cut = True

    def cut_commits_of(self, statement: bytes, times: int) -> None:
        """Break the connection instead of passing on the answer to the next commits of transactions with a statement.

        A connection that has prepared the statement no longer shows it.
        """
        self._statement, self.cuts_left = statement, times

    def mend(self) -> None:
        """Pass on everything again."""
        self._cut = False

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What a client and we settle before anything is relayed: nothing."""

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._greet(reader, writer)
        except ConnectionError:
            writer.close()
            return
        server_reader, server_writer = await self._connect()
        unanswered = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_requests(reader, server_writer, unanswered))
                tasks.create_task(self._pass_answers(server_reader, writer, unanswered))
        except* (ConnectionError, EOFError):
            pass
        finally:
            writer.close()
            server_writer.close()

    async def _pass_requests(
        self, client: asyncio.StreamReader, server: asyncio.StreamWriter, unanswered: asyncio.Event
    ) -> None:
        concerned = False
        while data := await client.read(65_536):
            concerned = concerned or (self.cuts_left > 0 and self._statement in data)
            if b"COMMIT" in data:
                if concerned:
                    self.cuts_left -= 1
                    unanswered.set()
                concerned = False
            server.write(data)
            await server.drain()
        raise EOFError

    async def _pass_answers(
        self, server: asyncio.StreamReader, client: asyncio.StreamWriter, unanswered: asyncio.Event
    ) -> None:
        while data := await server.read(65_536):
            if self._cut or unanswered.is_set():
                break
            client.write(data)
            await client.drain()
        raise EOFError

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = str(self._server_parameters.get("host", "localhost"))
        port = int(self._server_parameters.get("port") or 5432)
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)
