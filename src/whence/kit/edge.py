"""The edge of an HTTP service: what happens to every request before and after its route, as plain ASGI.

It gives the request its id, measures it under the route's template, asks for the API key, hands routing the undecoded
path, and bounds how large and how slow a body may be. (Packages for this cost 60-155 µs a request; this about 10.)
"""

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whence.kit.body_limits import Body, Buffered, EdgeLimits
from whence.kit.deadlines import Deadlines
from whence.kit.keys import ApiKeys
from whence.kit.metrics import Metric, Metrics
from whence.kit.problems import INTERNAL, Problem, problem_response
from whence.kit.requests import REQUEST_METRICS, UNMATCHED, Requests, new_request_id, usable_request_id
from whence.kit.short_cut import ShortCut, Take

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
EDGE_METRICS = (*REQUEST_METRICS, LOOP_LAG)
"""What every HTTP service counts."""


class Edge:
    """The outermost ASGI application of a service."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        keys: Sequence[str],
        limits: EdgeLimits,
        direct: Mapping[tuple[str, str], ASGIApp] | None = None,
        short_cuts: Mapping[str, Take] | None = None,
    ) -> None:
        """Wrap an application.

        Args:
            app: What answers.
            metrics: Where requests are counted.
            keys: The API keys; none leaves everything open.
            limits: Of bodies.
            direct: What answers instead for these pairs of method and path, exactly as they are written.
            short_cuts: What takes the usual POSTs to these paths, exactly as they are written, before all that.
        """
        self._app = app
        self._direct = direct or {}
        self._keys = ApiKeys(keys)
        self._limits = limits
        self._requests = Requests(metrics)
        self._buffered = Buffered(limits.buffered_bytes)
        self._deadlines = Deadlines()
        self._short_cuts = {
            path.encode(): ShortCut(path, take, self._requests, self._body, self._long_way)
            for path, take in (short_cuts or {}).items()
        }

    def abandon(self) -> None:
        """Give up the requests that are still running, each with a 503; for the end of a stop that took too long."""
        self._requests.abandon()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        started = time.perf_counter()
        short_cut = self._short_cuts.get(scope["raw_path"])
        if short_cut is None or not self._keys.admit(scope):
            return self._long_way(scope, receive, send, started)
        return short_cut.answer(scope, receive, send, started)

    async def _long_way(self, scope: Scope, receive: Receive, send: Send, started: float) -> None:
        scope["request_id"] = request_id = _request_id(scope)
        answer = _Answer(send, request_id)
        task = self._requests.begin()
        try:
            await self._answer(scope, receive, answer)
        except asyncio.CancelledError:
            if not answer.status:
                await problem_response(ABANDONED, scope)(scope, receive, answer.send)
        finally:
            self._requests.end(task)
            route = getattr(scope.get("route"), "path", UNMATCHED)
            self._requests.note(scope["method"], route, answer.status, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        path = scope["path"]
        if not self._keys.admit(scope):
            await problem_response(UNAUTHENTICATED, scope)(scope, receive, answer.send)
            return
        # Routes match the path as it was sent, so that an id may contain an encoded slash; see `parameters.PathId`.
        scope["path"] = scope["raw_path"].decode("latin-1")
        body = self._body(path, receive)
        try:
            app = self._direct.get((scope["method"], scope["path"]), self._app)
            await app(scope, body.receive, answer.send)
        except Exception:  # noqa: BLE001  # logged here with its request's id, whatever it is
            structlog.get_logger().exception("request failed", request_id=scope["request_id"], path=path)
            if not answer.status:
                await problem_response(INTERNAL, scope)(scope, receive, answer.send)
        finally:
            body.release()

    def _body(self, path: str, receive: Receive) -> Body:
        limits = self._limits
        return Body(receive, limits.of(path), limits.body_timeout_seconds, self._buffered, self._deadlines)


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
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return usable_request_id(value)
    return new_request_id()
