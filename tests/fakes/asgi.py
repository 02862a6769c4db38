"""Calls an ASGI application in this process: one request in, one answer out, no socket."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    raw_headers: Sequence[tuple[str, str]]
    body: bytes

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by lower-case name."""
        return dict(self.raw_headers)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def call(
    app: ASGIApp,
    method: str,
    target: str,
    body: bytes | Sequence[bytes] = b"",
    headers: Mapping[str, str] | None = None,
    stall: bool = False,
) -> Answer:
    """Send one request.

    Args:
        app: The application.
        method: The HTTP method.
        target: Path and query, percent-encoded as on the wire.
        body: The body, sent with its length, or its parts as a chunked one.
        headers: Request headers.
        stall: Whether the body never ends: after its parts nothing more comes.
    """
    return asyncio.run(exchange(app, method, target, [body] if isinstance(body, bytes) else body, headers or {}, stall))


async def exchange(
    app: ASGIApp, method: str, target: str, parts: Sequence[bytes], headers: Mapping[str, str], stall: bool
) -> Answer:
    """Send one request from a running loop; arguments as in `call`."""
    path, _, query = target.partition("?")
    if len(parts) == 1 and parts[0] and not stall:
        headers = {"content-length": str(len(parts[0]))} | dict(headers)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    waiting = list(parts)
    sent: list[Message] = []

    async def receive() -> Message:
        if waiting:
            part = waiting.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(waiting) or stall}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(dict(message))

    await app(scope, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    answered = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    raw_headers = [(name.decode().lower(), value.decode()) for name, value in start["headers"]]
    return Answer(start["status"], raw_headers, answered)
