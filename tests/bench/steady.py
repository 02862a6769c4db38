"""Single events at a steady rate, each sent until it is accepted, whatever happens to the servers meanwhile."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from whence.domain.events import LoggedEvent
from whence.domain.tokens import parse_token

WORKERS = 64
"""Requests under way at once, at most."""

SLICE_SECONDS = 0.005
"""Events are let go in slices of this length."""

RETRY_SECONDS = 0.05
TIMEOUT_SECONDS = 10.0
"""A request that is not answered by then is sent again, to the next server."""

ACCEPTED, UNAVAILABLE = 202, 503

Key = tuple[str, str, str]
"""User, item and event type: what is counted."""


def key_of(event: LoggedEvent) -> Key:
    """What an event counts as."""
    return (event.subject, event.item_id, event.event_type)


@dataclass(frozen=True, slots=True)
class Sent:
    """An event that was accepted: when (by the monotonic clock), where it lies in the log, and what it counts as."""

    accepted_at: float
    partition: int
    offset: int
    token: str
    key: Key


class Sender:
    """Sends events to any of several ingest servers."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.sent: list[Sent] = []
        self.refused = 0
        self._ports = ports
        self._encode = msgspec.json.Encoder().encode

    async def send(self, events: Iterator[LoggedEvent], events_per_second: int, seconds: float) -> None:
        """Send at the rate for so long, then wait for what is under way."""
        queue: asyncio.Queue[LoggedEvent | None] = asyncio.Queue()
        workers = [asyncio.create_task(self._work(queue, place)) for place in range(WORKERS)]
        start, let_go = time.monotonic(), 0
        while (now := time.monotonic() - start) < seconds and not any(worker.done() for worker in workers):
            due = int(now * events_per_second)
            for _ in range(due - let_go):
                queue.put_nowait(next(events))
            let_go = due
            await asyncio.sleep(SLICE_SECONDS)
        for _ in workers:
            queue.put_nowait(None)
        await asyncio.gather(*workers)

    async def _work(self, queue: asyncio.Queue[LoggedEvent | None], place: int) -> None:
        line = Line(self._ports[place % len(self._ports)])
        while (event := await queue.get()) is not None:
            body = self._encode(event)
            while (answer := await line.ask("POST", "/v1/events", body)) is None or answer[0] == UNAVAILABLE:
                self.refused += 1
                place += 1
                line.close()
                line = Line(self._ports[place % len(self._ports)])
                await asyncio.sleep(RETRY_SECONDS)
            assert answer[0] == ACCEPTED, answer
            self._note(event, answer[1])
        line.close()

    def _note(self, event: LoggedEvent, answer: bytes) -> None:
        accepted_at, token = time.monotonic(), json.loads(answer)["token"]
        ((partition, next_offset),) = parse_token(token).offsets.items()
        self.sent.append(Sent(accepted_at, partition, next_offset - 1, token, key_of(event)))


class Line:
    """A connection to a server on this machine, made when it is first used."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes] | None:
        """Status and body of an answer; None if there is none."""
        with suppress(OSError, EOFError, TimeoutError, ValueError):
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._ask(method, target, body)
        return None

    async def _ask(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        self._streams = self._streams or await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = f"{method} {target} HTTP/1.1\r\nhost: bench\r\n"
        if body:
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        writer.write(head.encode() + b"\r\n" + body)
        status, *headers = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        length = next(int(header[15:]) for header in headers if header.startswith(b"content-length:"))
        return int(status.split(b" ")[1]), await reader.readexactly(length)

    def close(self) -> None:
        """Let go of the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
