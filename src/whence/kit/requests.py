"""The requests of an HTTP service: which are under way, what is counted of each, and how each is named."""

import asyncio
import re
import secrets
from collections.abc import Sequence
from http import HTTPStatus
from itertools import count

from whence.kit.metrics import LATENCY_BUCKETS_SECONDS, Distribution, Label, Metric, Metrics
from whence.kit.tasks import CurrentTask

UNMATCHED = "unmatched"
"""The route label of requests that no route answers."""

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_STATUSES = tuple(str(status.value) for status in HTTPStatus)
_CLIENT_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_REJECTIONS = {
    400: "invalid",
    401: "unauthenticated",
    408: "timeout",
    413: "too_large",
    415: "invalid",
    422: "invalid",
    503: "unavailable",
}
_ROUTE = "http_route"

REQUEST_DURATION = Metric(
    "http_server_request_duration_seconds",
    "histogram",
    "From a request's head to the end of its answer.",
    (
        Label("http_request_method", _METHODS, other="_OTHER"),
        Label(_ROUTE),
        Label("http_response_status_code", _STATUSES),
    ),
    LATENCY_BUCKETS_SECONDS,
    "the objectives for both APIs lie on edges",
)
ACTIVE_REQUESTS = Metric("http_server_active_requests", "gauge", "Requests that are being answered now.")
REJECTED = Metric(
    "http_server_request_rejected_total",
    "counter",
    "Requests refused, by reason.",
    (Label("route"), Label("reason", tuple(sorted(set(_REJECTIONS.values()))))),
)
REQUEST_METRICS = (REQUEST_DURATION, ACTIVE_REQUESTS, REJECTED)
"""What is counted of requests."""


def route_values(templates: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The values of the route labels for an application's route templates."""
    values = (*sorted(set(templates)), UNMATCHED)
    return {_ROUTE: values, "route": values}


class Requests:
    """Those of one service."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._running: set[asyncio.Task[object] | None] = set()
        self._current_task = CurrentTask()
        metrics.before_scrape(lambda: metrics.set(ACTIVE_REQUESTS, len(self._running)))

    def begin(self) -> asyncio.Task[object] | None:
        """Note that the current task answers a request; what `end` wants."""
        task = self._current_task()
        self._running.add(task)
        return task

    def end(self, task: asyncio.Task[object] | None) -> None:
        """Note that it has."""
        self._running.discard(task)

    def abandon(self) -> None:
        """Cancel the tasks that are still at it."""
        for task in self._running:
            if task is not None:
                task.cancel()

    def durations(self, method: str, route: str, status: int) -> Distribution:
        """Where `note` puts the durations of answers with this status; for statuses that are no rejections."""
        return self._metrics.distribution(REQUEST_DURATION, method, route, str(status))

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self.durations(method, route, status).observe(seconds)
        if reason := _REJECTIONS.get(status):
            self._metrics.inc(REJECTED, route, reason)


def usable_request_id(given: bytes) -> str:
    """The id that a client has given its request, if it is harmless, else a new one."""
    return str(given, "ascii") if _CLIENT_REQUEST_ID.fullmatch(given) else new_request_id()


def new_request_id() -> str:
    """An id that no other request has: counted on from a random number."""
    return f"{next(_numbers) & 0xFFFF_FFFF_FFFF_FFFF:016x}"


_numbers = count(secrets.randbits(64))
