"""The real `recommend` on a real PostgreSQL, in this process, with a clock that the test sets."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

from conftest import Installation
from fakes.asgi import Answer, exchange
from integration.recommend.states import NOW
from whence.kit.http import Application
from whence.kit.settings import Settings
from whence.recommend.main import open_service

T = TypeVar("T")

PATIENCE_SECONDS = 60.0

Query = Sequence[tuple[str, str]] | Mapping[str, str | int]


@dataclass
class SetClock:
    """A clock that stands where it was set."""

    moment: datetime = NOW

    def now(self) -> datetime:
        """The moment."""
        return self.moment


class Recommend:
    """A running service."""

    def __init__(self, loop: asyncio.AbstractEventLoop, app: Application, clock: SetClock) -> None:
        self.clock = clock
        self.app = app
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the service's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    def send(self, method: str, target: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request; a body that is not bytes is sent as JSON."""
        return self.run(self.exchange(method, target, body, headers))

    async def exchange(
        self, method: str, target: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on the running loop."""
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json"} if body is not None else {}
        return await exchange(self.app.asgi, method, target, [raw], sent | dict(headers or {}), stall=False)

    def get(self, target: str) -> Any:
        """The document of a GET that must succeed."""
        answer = self.send("GET", target)
        assert answer.status == 200, answer.body
        return answer.json()

    def ask(self, user: str, query: str = "") -> Any:
        """A user's list."""
        return self.get(f"/v1/users/{quote(user, safe='')}/recommendations?{query}")

    def ids(self, user: str, query: str = "") -> list[str]:
        """The items of a user's list, best first."""
        return [item["item_id"] for item in self.ask(user, query)["items"]]

    def wait_until(self, happened: Callable[[], bool]) -> None:
        """Let the service work until something has happened."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not happened():
            assert time.monotonic() < until
            time.sleep(0.01)


@contextmanager
def running(installation: Installation, **settings: object) -> Iterator[Recommend]:
    """The service over an installation."""
    clock = SetClock()
    values = {"database_url": installation.url, "namespace": installation.namespace, **settings}
    context = open_service(Settings.model_validate(values), clock)
    with loop_in_thread() as loop:
        app = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(PATIENCE_SECONDS)
        try:
            yield Recommend(loop, app, clock)
        finally:
            asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(PATIENCE_SECONDS)


@contextmanager
def loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs all the time, so that the service goes on while the test waits."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="recommend")
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
