"""The edge of an HTTP service: what happens to every request before and after its route, as plain ASGI.

It gives the request its id, measures it under the route's template, asks for the API key, hands routing the undecoded
path, and bounds how large and how slow a body may be. (Packages for this cost 60-155 µs a request; this about 10.)
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whence.kit.body_limits import Body, Buffered, EdgeLimits
from whence.kit.health import HEALTH_PATHS
from whence.kit.metrics import LATENCY_BUCKETS_SECONDS, Label, Metric, Metrics
from whence.kit.problems import INTERNAL, Problem, problem_response

OPEN_PATHS = frozenset(HEALTH_PATHS)
"""Paths that never ask for a key: probes and scrapers have none."""

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
UNAUTHENTICATED = Problem("unauthenticated", 401, "Send an API key of this service as `Authorization: Bearer <key>`.")
ABANDONED = Problem("overloaded", 503, "The service is stopping and gave this request up; send it again.")
LOOP_LAG = Metric(
    "whence_event_loop_lag_seconds",
    "histogram",
    "How much later than asked for a sleeping task woke up: the event loop had too much to do.",
    (),
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    "from a timer's own error to what no client waits for",
)
EDGE_METRICS = (REQUEST_DURATION, ACTIVE_REQUESTS, REJECTED, LOOP_LAG)
"""What every HTTP service counts."""


def route_values(templates: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The values of the route labels for an application's route templates."""
    values = (*sorted(set(templates)), UNMATCHED)
    return {_ROUTE: values, "route": values}


class Edge:
    """The outermost ASGI application of a service."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        keys: Sequence[str],
        limits: EdgeLimits,
        direct: Mapping[tuple[str, str], ASGIApp] | None = None,
    ) -> None:
        """Wrap an application.

        Args:
            app: What answers.
            metrics: Where requests are counted.
            keys: The API keys; none leaves everything open.
            limits: Of bodies.
            direct: What answers instead for these pairs of method and path, exactly as they are written.
        """
        self._app = app
        self._direct = direct or {}
        self._metrics = metrics
        self._keys = [_digest(key.encode()) for key in keys]
        self._limits = limits
        self._buffered = Buffered(limits.buffered_bytes)
        self._running: set[asyncio.Task[object]] = set()

    def abandon(self) -> None:
        """Give up the requests that are still running, each with a 503; for the end of a stop that took too long."""
        for task in self._running:
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        scope["request_id"] = request_id = _request_id(scope)
        answer = _Answer(send, request_id)
        task = asyncio.current_task()
        self._metrics.add(ACTIVE_REQUESTS, 1)
        if task:
            self._running.add(task)
        try:
            await self._answer(scope, receive, answer)
        except asyncio.CancelledError:
            if not answer.status:
                await problem_response(ABANDONED, scope)(scope, receive, answer.send)
        finally:
            if task:
                self._running.discard(task)
            self._metrics.add(ACTIVE_REQUESTS, -1)
            self._note(scope, answer.status, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        path = scope["path"]
        if self._keys and path not in OPEN_PATHS and not self._has_key(scope):
            await problem_response(UNAUTHENTICATED, scope)(scope, receive, answer.send)
            return
        # Routes match the path as it was sent, so that an id may contain an encoded slash; see `parameters.PathId`.
        scope["path"] = scope["raw_path"].decode("latin-1")
        body = Body(receive, self._limits.of(path), self._limits.body_timeout_seconds, self._buffered)
        try:
            app = self._direct.get((scope["method"], scope["path"]), self._app)
            await app(scope, body.receive, answer.send)
        except Exception:  # noqa: BLE001  # logged here with its request's id, whatever it is
            structlog.get_logger().exception("request failed", request_id=scope["request_id"], path=path)
            if not answer.status:
                await problem_response(INTERNAL, scope)(scope, receive, answer.send)
        finally:
            body.release()

    def _has_key(self, scope: Scope) -> bool:
        """Compares with every key in constant time, whichever matches."""
        scheme, _, key = next((value for name, value in scope["headers"] if name == b"authorization"), b"").partition(
            b" "
        )
        given = _digest(key.strip())
        matches = [hmac.compare_digest(given, known) for known in self._keys]
        return scheme.lower() == b"bearer" and any(matches)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNMATCHED)
        self._metrics.observe(REQUEST_DURATION, seconds, scope["method"], route, str(status))
        if reason := _REJECTIONS.get(status):
            self._metrics.inc(REJECTED, route, reason)


class _Answer:
    """The sending side of one request: adds the id to whatever is answered and remembers the status."""

    __slots__ = ("_request_id", "_send", "status")

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id.encode()
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self._request_id)]
        await self._send(message)


def _request_id(scope: Scope) -> str:
    """The client's own id if it is harmless, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _CLIENT_REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return secrets.token_hex(8)


def _digest(key: bytes) -> bytes:
    """Keys are compared as digests, so that their lengths do not show."""
    return hashlib.sha256(key).digest()
