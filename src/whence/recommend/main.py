"""Service 3, recommend: settings → PostgreSQL → application, and what runs behind the answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog

from whence.domain.errors import WhenceError
from whence.kit.clock import Clock, SystemClock
from whence.kit.http import Application
from whence.kit.listening import bind, check_exposure
from whence.kit.serving import serve
from whence.kit.settings import Settings
from whence.recommend.answer import Answers, ListSettings
from whence.recommend.app import app_metrics, build_app
from whence.recommend.database import Database
from whence.recommend.freshness import Progress
from whence.recommend.recipe import recipe_in_force
from whence.recommend.served import RETRY_SECONDS, Housekeeper, ServedLists
from whence.recommend.service import Service

LAST_WRITE_SECONDS = 1.0
"""What is left of the served lists has this long to reach PostgreSQL when the service stops."""

CANCEL_AGAIN_SECONDS = 0.2


def run(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InvalidInput: If the address is wrong, or open to the world without keys.
        DependencyUnavailable: If the port is busy.
    """
    check_exposure(host, settings.keys(), settings.insecure)
    serve(open_service(settings, SystemClock()), bind(host, port))


@asynccontextmanager
async def open_service(settings: Settings, clock: Clock) -> AsyncIterator[Application]:
    """The application with everything that it needs; PostgreSQL may come later, until then it is not ready."""
    metrics = app_metrics()
    database = Database(settings.database_url, settings.namespace)
    list_settings = ListSettings(settings.types().weights, settings.unknown_items == "show", settings.mixture())
    served = ServedLists(database, metrics)
    answers = Answers(database, Progress(database), served, list_settings, clock, metrics)
    service = Service(database, answers, served, list_settings, settings.surface_names(), clock)
    await database.open()
    try:
        behind = [
            served.write_forever(),
            Housekeeper(database, clock, metrics).run_forever(),
            _tell_weights(database, list_settings.initial_weights),
        ]
        async with _behind(behind):
            yield build_app(service, metrics, settings.keys())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WRITE_SECONDS):
                await served.write_waiting()
    finally:
        await database.close()


@asynccontextmanager
async def _behind(jobs: Sequence[Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Run jobs while the body runs; those that have not ended by then are cancelled."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        yield
    finally:
        await _end(tasks)


async def _tell_weights(database: Database, initial: Mapping[str, float]) -> None:
    """Log once, as soon as PostgreSQL tells, which weights count: who set others must not have to wonder."""
    while True:
        try:
            async with database.connection() as connection:
                recipe = await recipe_in_force(connection)
        except WhenceError:
            await asyncio.sleep(RETRY_SECONDS)
        else:
            break
    others = {name: weight for name, weight in initial.items() if recipe.weights.get(name, weight) != weight}
    logger = structlog.get_logger("recommend")
    if others:
        told = ", ".join(f"{name}={weight:g}" for name, weight in others.items())
        logger.info(f"published weights count, not {told} of WHENCE_EVENT_TYPES", recipe=recipe.version)
    else:
        logger.info("weights", recipe=recipe.version, **recipe.over(initial))


async def _end(tasks: Sequence["asyncio.Task[None]"]) -> None:
    """Cancel until they are gone: in Python 3.11 a wait that ends at the same instant swallows a cancellation."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)
