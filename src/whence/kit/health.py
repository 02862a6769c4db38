"""Health: alive, ready, and the metrics. One code behind the ASGI routes and the small admin server."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import msgspec
import structlog

from whence.domain.errors import WhenceError
from whence.kit.metrics import Metrics

Check = Callable[[], Awaitable[None]]
"""Asks one thing that the service needs; raises an error of ours if it is not there."""

READINESS_CACHE_SECONDS = 1.0
"""A probe's answer is re-used this long, so that probes cost the dependencies nothing."""

CHECK_TIMEOUT_SECONDS = 2.0
"""A dependency that answers a check later than this counts as away; probes usually give up after 1 to 5 s."""

HEALTH_PATHS = ("/livez", "/readyz", "/metrics")

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """An answer of `/livez`, `/readyz` or `/metrics`."""

    status: int
    body: bytes
    media_type: str = JSON


ALIVE = HealthAnswer(200, b'{"status":"alive"}')
"""Liveness asks nothing but that the process answers: a restart would not bring a database back."""


STUCK = HealthAnswer(503, b'{"status":"stuck"}')
"""The process answers, but the loop that it exists for no longer turns: only a restart helps."""


class Readiness:
    """Whether the service should get requests now: its checks pass and it is not on its way out."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._draining = False
        self._known: tuple[float, HealthAnswer] | None = None
        self._thread_lock = threading.Lock()
        self._running: asyncio.Task[HealthAnswer] | None = None

    def drain(self) -> None:
        """From now on the service is not ready."""
        self._draining = True

    async def report(self) -> HealthAnswer:
        """What `/readyz` answers, not older than `READINESS_CACHE_SECONDS`; probes at the same time share one check."""
        if answer := self._remembered():
            return answer
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._ask())
        return await asyncio.shield(self._running)

    def report_in_thread(self) -> HealthAnswer:
        """The same for a service without an event loop."""
        with self._thread_lock:
            return self._remembered() or asyncio.run(self._ask())

    def _remembered(self) -> HealthAnswer | None:
        if self._draining:
            return _not_ready({"draining": "the service is stopping"})
        if self._known and time.monotonic() - self._known[0] < READINESS_CACHE_SECONDS:
            return self._known[1]
        return None

    async def _ask(self) -> HealthAnswer:
        found = dict(zip(self._checks, await asyncio.gather(*map(_verdict, self._checks.values())), strict=True))
        bad = {name: verdict for name, verdict in found.items() if verdict != "ok"}
        answer = _not_ready(found) if bad else HealthAnswer(200, _body("ready", found))
        self._known = (time.monotonic(), answer)
        return answer


async def _verdict(check: Check) -> str:
    """`ok`, or that it is not; details go to the log only, for probes need no key."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await check()
    except (WhenceError, TimeoutError) as error:
        structlog.get_logger().warning("not ready", reason=str(error) or "no answer in time")
        return "unavailable"
    return "ok"


def _not_ready(checks: Mapping[str, str]) -> HealthAnswer:
    return HealthAnswer(503, _body("not ready", checks))


def _body(status: str, checks: Mapping[str, str]) -> bytes:
    return msgspec.json.encode({"status": status, "checks": checks})


def scrape(metrics: Metrics, accept: str) -> HealthAnswer:
    """What `/metrics` answers; call it off the event loop."""
    body, media_type = metrics.render(accept)
    return HealthAnswer(200, body, media_type)
