"""A load generator in a process of its own: many connections, each sends its next request once the last is answered.

`python -m bench.load PORT` reads a plan as JSON from stdin and writes what came of it as JSON to stdout. Requests are
made before the clock starts; answers are only told apart by their status line.
"""

import asyncio
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice

from bench.processes import start_module
from bench.traffic import Traffic

CONNECTIONS = 64
TIMEOUT_SECONDS = 120.0
"""A benchmark that waits longer has failed; a loaded machine does not take this long."""

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent.

    Attributes:
        port: On the loopback interface.
        requests: How many.
        batch: Events of each; 1 goes to the route of single events.
        seed: Of the traffic.
    """

    port: int
    requests: int
    batch: int = 1
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back: how many answers of each status, and in how many seconds."""

    statuses: Mapping[str, int]
    seconds: float


def send(plan: Plan) -> Outcome:
    """Carry a plan out in another process and wait for it."""
    process = start_module("bench.load")
    answer, _ = process.communicate(json.dumps(asdict(plan)), timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, "the load generator failed"
    return Outcome(**json.loads(answer))


def _requests(plan: Plan) -> deque[bytes]:
    """The requests of a plan, whole."""
    events = Traffic(plan.requests * plan.batch, seed=plan.seed).bodies()
    if plan.batch == 1:
        return deque(_request("/v1/events", body) for body in events)
    batches = iter(lambda: list(islice(events, plan.batch)), [])
    return deque(_request("/v1/events/batch", b'{"events":[' + b",".join(batch) + b"]}") for batch in batches)


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + _HEAD_END + body


class _Connection(asyncio.Protocol):
    """Sends a request, waits for its answer, and goes on while there are more."""

    def __init__(self, waiting: deque[bytes], statuses: Counter[str]) -> None:
        self._waiting = waiting
        self._statuses = statuses
        self._answer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(_HEAD_END)
        if end and len(body) >= int(head.partition(_LENGTH)[2].partition(b"\r")[0]):
            self._statuses[head[9:12].decode()] += 1
            self._answer = b""
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))

    def _next(self) -> None:
        if self._waiting:
            self._transport.write(self._waiting.popleft())
        elif not self.done.done():
            self.done.set_result(None)
            self._transport.close()


async def _carry_out(plan: Plan) -> Outcome:
    waiting, statuses = _requests(plan), Counter[str]()
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    opened = [
        await loop.create_connection(lambda: _Connection(waiting, statuses), "127.0.0.1", plan.port)
        for _ in range(min(CONNECTIONS, plan.requests))
    ]
    await asyncio.gather(*(connection.done for _, connection in opened))
    return Outcome(dict(statuses), time.perf_counter() - start)


if __name__ == "__main__":
    outcome = asyncio.run(_carry_out(Plan(**json.load(sys.stdin))))
    json.dump(asdict(outcome), sys.stdout)
