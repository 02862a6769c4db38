"""The short cut of a small, frequent request: plain ASGI from the server to one function.

FastAPI and Starlette spend more time on such a request than all that it is about. The short cut takes only what is
exactly as usual; everything else goes the long way, as if nothing had been tried: the same answers, only slower.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cached_property
from http import HTTPStatus
from time import perf_counter

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from whence.kit.body_limits import DEFAULT_BODY_BYTES, Body
from whence.kit.metrics import Distribution
from whence.kit.parameters import JSON
from whence.kit.requests import Requests, new_request_id, usable_request_id

Take = Callable[[bytes, Scope], Awaitable[bytes | Response] | None]
"""Takes the body of a POST and gives that of a 202, or another answer altogether. None, before it has done anything,
sends the request the long way."""

LongWay = Callable[[Scope, Receive, Send, float], Awaitable[None]]
"""Answers any request; the number is when it came, by `perf_counter`."""

_JSON = JSON.encode()
_ACCEPTED = HTTPStatus.ACCEPTED.value
_LENGTH_DIGITS = len(str(DEFAULT_BODY_BYTES))


class ShortCut:
    """Answers POSTs of JSON to one path."""

    def __init__(
        self,
        path: str,
        take: Take,
        requests: Requests,
        body_of: Callable[[str, Receive], Body],
        long_way: LongWay,
    ) -> None:
        """Put a function in front of a route.

        Args:
            path: Of the route; counted under it.
            take: What answers.
            requests: The service's.
            body_of: Bounds the body of a request to a path.
            long_way: What answers everything that is not as usual.
        """
        self._path = path
        self._take = take
        self._requests = requests
        self._body_of = body_of
        self._long_way = long_way

    @cached_property
    def _accepted_seconds(self) -> Distribution:
        """Bound at the first 202: a path that never gives one has no such series."""
        return self._requests.durations("POST", self._path, _ACCEPTED)

    def answer(self, scope: Scope, receive: Receive, send: Send, started: float) -> Awaitable[None]:
        """Answer one request; *started* is when it came, by `perf_counter`."""
        length = _usual_length(scope)
        if length < 0:
            return self._long_way(scope, receive, send, started)
        return self._answer(length, scope, receive, send, started)

    async def _answer(self, length: int, scope: Scope, receive: Receive, send: Send, started: float) -> None:
        unread: Receive | None = None
        sent = False
        task, body = self._requests.begin(), self._body_of(self._path, receive)
        try:
            raw = await body.whole(length)
            taken = None if raw is None else self._take(raw, scope)
            if taken is None:
                unread = _given_again(raw)
            else:
                answer = await taken
                sent = True
                await self._send(answer, scope, receive, send, started)
        except (Exception, asyncio.CancelledError) as error:
            if sent:
                raise
            unread = _raising(error)
        finally:
            body.release()
            self._requests.end(task)
        if unread is not None:
            await self._long_way(scope, unread, send, started)

    async def _send(self, answer: bytes | Response, scope: Scope, receive: Receive, send: Send, started: float) -> None:
        """Send an answer and count it."""
        request_id = (b"x-request-id", scope["request_id"].encode())
        if isinstance(answer, Response):
            answer.raw_headers.append(request_id)
            await answer(scope, receive, send)
            self._requests.note("POST", self._path, answer.status_code, perf_counter() - started)
            return
        headers = [(b"content-length", b"%d" % len(answer)), (b"content-type", _JSON), request_id]
        await send({"type": "http.response.start", "status": _ACCEPTED, "headers": headers})
        await send({"type": "http.response.body", "body": answer})
        self._accepted_seconds.observe(perf_counter() - started)


def _usual_length(scope: Scope) -> int:
    """The length that the head gives for a JSON body, and the request its id; -1 if anything is unusual."""
    if scope["method"] != "POST" or scope["query_string"]:
        return -1
    length, kind, request_id = b"", b"", ""
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind += value
        elif name == b"content-length":
            length += value
        elif name == b"x-request-id":
            request_id = request_id or usable_request_id(value)
    if kind != _JSON or not length.isdigit() or len(length) > _LENGTH_DIGITS:
        return -1
    scope["request_id"] = request_id or new_request_id()
    return int(length)


def _given_again(body: bytes | None) -> Receive:
    """What gives the whole body at once; or that the client has gone, where there is none, and after it."""
    waiting: list[Message] = [] if body is None else [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    return receive


def _raising(error: BaseException) -> Receive:
    """What raises as soon as the long way reads the body: there every error has its answer."""

    async def receive() -> Message:
        raise error

    return receive
