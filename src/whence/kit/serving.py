"""Running an ASGI application in this very process: one process, one event loop, one port.

Granian's server parses and writes HTTP in threads of its own; our code runs on the asyncio loop of the main thread. On
SIGTERM or SIGINT the port closes at once, requests in flight finish, then the service closes what it holds.
"""

import asyncio
import signal
import socket
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import structlog
from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server
from starlette.types import ASGIApp

from whence.domain.errors import BrokenInvariant
from whence.kit.edge import LOOP_LAG
from whence.kit.http import Application
from whence.kit.listening import BACKLOG
from whence.kit.memory import tune_garbage_collection
from whence.kit.metrics import Metrics

GRACE_SECONDS = 6.0
"""Requests in flight have this long after SIGTERM; with the next two it stays below the 10 s of orchestrators."""

ABANDON_SECONDS = 1.0
"""What answering the abandoned ones takes."""

CLOSE_SECONDS = 2.0
"""What the service has to close its connections."""

HEAD_TIMEOUT_MS = 10_000
"""A request's head must be here in this time, and an idle connection is let go after it."""

HEAD_BYTES = 64 * 1024
"""Longest request head; longer ones are answered 431 by the server itself."""

CONNECTIONS = 8_192
"""Connections served at once; more wait in the kernel's queue."""

HTTP_THREADS = 1
"""Threads that parse HTTP: Python is the bottleneck, not they."""

LOOP_SAMPLE_SECONDS = 1.0
"""Between two measurements of the event loop's lag: costs nothing."""

_THREADS_GONE_SECONDS = 1.0


class _Server(Server):
    """Granian's server on a socket that we bound: its own would share the port with any other process."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        super().__init__(
            app,
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            runtime_threads=HTTP_THREADS,
            http=HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            backpressure=CONNECTIONS,
            http1_settings=HTTP1Settings(header_read_timeout=HEAD_TIMEOUT_MS, max_buffer_size=HEAD_BYTES),
            log_enabled=False,
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        # Granian's stubs know neither the constructor nor that this may be set; its Windows branch does the same.
        self._shd = SocketHolder(self._listener.detach(), False, BACKLOG)  # type: ignore[call-arg,assignment]


def serve(service: AbstractAsyncContextManager[Application], listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return.

    Args:
        service: Opens what the service needs and gives its application; left after the last answer.
        listener: From `bind`.

    Raises:
        WhenceError: What opening the service raises.
    """
    threads_before = _thread_count()
    try:
        asyncio.run(_serve(service, listener))
    finally:
        _wait_for_threads(threads_before)


async def _serve(service: AbstractAsyncContextManager[Application], listener: socket.socket) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    host, port = listener.getsockname()[:2]
    log = structlog.get_logger().bind(host=host, port=port)
    app = await service.__aenter__()
    try:
        server = _Server(app.asgi, listener)
        serving = asyncio.create_task(server.serve())
        watching = asyncio.create_task(_watch_loop(app.metrics))
        tune_garbage_collection()
        log.info("listening")
        await _first(serving, stop)
        watching.cancel()
        app.readiness.drain()
        server.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait((serving,), timeout=GRACE_SECONDS)
        app.asgi.abandon()
        await asyncio.wait((serving,), timeout=ABANDON_SECONDS)
    finally:
        await _close(service)
    log.info("stopped")


async def _close(service: AbstractAsyncContextManager[Application]) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await service.__aexit__(None, None, None)
    except TimeoutError:
        structlog.get_logger().warning("gave up closing", seconds=CLOSE_SECONDS)


async def _first(serving: "asyncio.Task[None]", stop: asyncio.Event) -> None:
    """Wait for the signal to stop; a server that ends by itself is a mistake of ours."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        stopping.cancel()
        serving.result()
        raise BrokenInvariant("the HTTP server ended without having been told to")


async def _watch_loop(metrics: Metrics) -> None:
    """Measure for ever how late the event loop wakes a task."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOP_SAMPLE_SECONDS
        await asyncio.sleep(LOOP_SAMPLE_SECONDS)
        metrics.observe(LOOP_LAG, loop.time() - due)


def _thread_count() -> int:
    tasks = Path("/proc/self/task")
    return sum(1 for _ in tasks.iterdir()) if tasks.is_dir() else 0


def _wait_for_threads(count: int) -> None:
    """Let the server's threads end before the interpreter does: one caught in between panics on stderr."""
    until = time.monotonic() + _THREADS_GONE_SECONDS
    while _thread_count() > count and time.monotonic() < until:
        time.sleep(0.005)
