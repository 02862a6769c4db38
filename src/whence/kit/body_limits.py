"""How large and how slow the body of a request may be, and how much of all bodies fits into memory."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from whence.kit.deadlines import Deadlines

BODY_TIMEOUT_SECONDS = 10.0
"""From the first byte asked for to the last: a slow line brings 64 KiB in that time, a stuck client is let go."""

DEFAULT_BODY_BYTES = 64 * 1024
"""Body of a request whose route sets no limit of its own."""

BUFFERED_BODIES_BYTES = 64 * 1024 * 1024
"""All bodies in memory at once: bounds the process, whatever the clients do together."""


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """What a request may weigh and how long it may take to arrive; `body_bytes_by_path` overrides the default."""

    body_bytes: int = DEFAULT_BODY_BYTES
    body_bytes_by_path: Mapping[str, int] = field(default_factory=dict)
    body_timeout_seconds: float = BODY_TIMEOUT_SECONDS
    buffered_bytes: int = BUFFERED_BODIES_BYTES

    def of(self, path: str) -> int:
        """The limit of a body sent to this path, in bytes."""
        return self.body_bytes_by_path.get(path, self.body_bytes)


class Buffered:
    """How many bytes of bodies are in memory, over all requests."""

    __slots__ = ("_bytes", "_max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self._bytes = 0
        self._max_bytes = max_bytes

    def take(self, size_bytes: int) -> None:
        """Note bytes that came in.

        Raises:
            HTTPException: 503 if that is more than fits.
        """
        if self._bytes + size_bytes > self._max_bytes:
            raise HTTPException(503, "Too many large requests at once; send this one again in a moment.")
        self._bytes += size_bytes

    def give(self, size_bytes: int) -> None:
        """Note bytes that are gone."""
        self._bytes -= size_bytes


class Body:
    """The receiving side of one request: ends a body that is too large, too slow, or one too many."""

    __slots__ = (
        "_buffered",
        "_complete",
        "_deadline",
        "_deadlines",
        "_max_bytes",
        "_receive",
        "_seconds",
        "_size_bytes",
    )

    def __init__(
        self, receive: Receive, max_bytes: int, timeout_seconds: float, buffered: Buffered, deadlines: Deadlines
    ) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._seconds = timeout_seconds
        self._buffered = buffered
        self._deadlines = deadlines
        self._deadline = 0.0
        self._size_bytes = 0
        self._complete = False

    async def receive(self) -> Message:
        """The next part.

        Raises:
            HTTPException: 413, 408 or 503 when a limit is passed.
        """
        if self._complete:
            return await self._receive()
        try:
            message = await self._deadlines.wait(self._receive(), self._due())
        except TimeoutError:
            raise self._too_slow() from None
        self._take_in(message)
        return message

    async def whole(self, length: int) -> bytes | None:
        """A body of a known length; None if the client has gone. Raises as `receive` does.

        That it is complete is seen from its length: to be told so costs a turn of the event loop and of the server.
        """
        data = b""
        waiting = self._deadlines.begin(self._due())
        try:
            while len(data) < length:
                message = await self._receive()
                if message["type"] != "http.request":
                    return None
                data += self._take_in(message)
        except asyncio.CancelledError:
            if self._deadlines.passed(waiting):
                raise self._too_slow() from None
            raise
        finally:
            self._deadlines.end(waiting)
        return data

    def _take_in(self, message: Message) -> bytes:
        data: bytes = message.get("body", b"")
        size_bytes = len(data)
        if self._size_bytes + size_bytes > self._max_bytes:
            raise HTTPException(413, f"The body is larger than {self._max_bytes} bytes; send less at once.")
        self._buffered.take(size_bytes)
        self._size_bytes += size_bytes
        self._complete = not message.get("more_body", False)
        return data

    def _due(self) -> float:
        self._deadline = self._deadline or time.monotonic() + self._seconds
        return self._deadline

    def _too_slow(self) -> HTTPException:
        problem = f"The body did not arrive within {self._seconds:g} seconds."
        return HTTPException(408, problem, {"connection": "close"})

    def release(self) -> None:
        """Note that the body is out of memory."""
        self._buffered.give(self._size_bytes)
