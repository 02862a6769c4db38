"""A relay in front of PostgreSQL that can swallow answers, as a broken network does."""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

PATIENCE_SECONDS = 60.0


class AnswerCuttingProxy:
    """Relays connections on a free local port; after `cut_answers`, what the server says next breaks the connection."""

    def __init__(self, url: str) -> None:
        self._server_parameters = conninfo_to_dict(url)
        self._url = url
        self._cut = False
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
        return make_conninfo(self._url, host="127.0.0.1", port=port, sslmode="disable")

    def cut_answers(self) -> None:
        """Break the connection instead of passing on the server's next answer; the request has reached it."""
        self._cut = True

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

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await self._connect()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(reader, server_writer, answers=False))
                tasks.create_task(self._pass_on(server_reader, writer, answers=True))
        except* (ConnectionError, EOFError):
            pass
        finally:
            writer.close()
            server_writer.close()

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> None:
        while data := await source.read(65_536):
            if answers and self._cut:
                break
            sink.write(data)
            await sink.drain()
        raise EOFError

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = str(self._server_parameters.get("host", "localhost"))
        port = int(self._server_parameters.get("port") or 5432)
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)
