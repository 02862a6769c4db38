"""Service 1, ingest: settings → log → application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from whence.eventlog.adapters import open_appender
from whence.eventlog.places import log_place
from whence.ingest.app import build_app
from whence.kit.clock import SystemClock
from whence.kit.http import Application
from whence.kit.listening import bind
from whence.kit.serving import serve
from whence.kit.settings import Settings


def run(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InvalidInput: If the address cannot be listened on.
        DependencyUnavailable: If the port is busy or the log cannot be reached.
    """
    serve(_service(settings), bind(host, port))


@asynccontextmanager
async def _service(settings: Settings) -> AsyncIterator[Application]:
    appender = await open_appender(log_place(settings))
    try:
        yield build_app(appender, settings.types(), SystemClock(), settings.keys())
    finally:
        await appender.close()
