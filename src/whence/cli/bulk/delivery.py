"""Sending many entries: a few lanes at once, each in order, each patient with a service that is away for a while."""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Protocol, Self

from whence.cli.bulk.entries import BadRow, Entry
from whence.domain.errors import DependencyUnavailable, FieldProblem
from whence.domain.tokens import FreshnessToken, parse_token

BATCH_ENTRIES = 1_000
"""Entries of one request: the API's limit."""

BATCH_BYTES = 384 * 1024
"""Bytes of one request: room for 1,000 usual events, and too few for the commas and bytes at which services refuse."""

QUEUED_BATCHES = 2
"""Batches that wait in a lane: enough to keep it busy, and bounds the memory of a fast reader."""

PATIENCE_SECONDS = 120.0
"""How long a lane repeats a batch of which nothing is taken: a restart of everything fits."""

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0

_LOOK_SECONDS = 0.1
"""How soon a waiting side sees that the other one has stopped."""

MAX_KEPT_BAD_ROWS = 1_000
"""Bad rows that are kept for the report; more are only counted."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a batch.

    Attributes:
        again: Indices of entries that were not taken but may be later.
        refused: Problems of entries that can never be taken, by index.
        token: Freshness token of what was taken, if anything was.
    """

    again: Sequence[int] = ()
    refused: Mapping[int, tuple[FieldProblem, ...]] = field(default_factory=dict)
    token: str | None = None


class Sender(Protocol):
    """Sends batches; each lane has its own."""

    def send(self, bodies: Sequence[bytes]) -> Reply:
        """Send one batch.

        Raises:
            DependencyUnavailable: Nothing is known to be taken; the same may be sent again.
        """

    def close(self) -> None:
        """Let go of the connection."""


@dataclass(slots=True)
class Tally:
    """What has become of the rows so far; shared by the lanes."""

    accepted: int = 0
    rejected: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    _log_id: str = ""
    _next_offsets: dict[int, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reject(self, bad: BadRow) -> None:
        """Count a row that cannot be taken."""
        with self._lock:
            self.rejected += 1
            if len(self.bad_rows) < MAX_KEPT_BAD_ROWS:
                self.bad_rows.append(bad)

    def accept(self, entries: int, token: str | None) -> None:
        """Count entries that were taken, and remember how far the log reaches with them."""
        with self._lock:
            self.accepted += entries
            if token is not None:
                reached = parse_token(token)
                self._log_id = reached.log_id
                for partition, offset in reached.offsets.items():
                    self._next_offsets[partition] = max(offset, self._next_offsets.get(partition, 0))

    def token(self) -> str | None:
        """The freshness token of everything that was taken."""
        return str(FreshnessToken(self._log_id, self._next_offsets)) if self._next_offsets else None


class Delivery:
    """Takes entries one by one and sends them in lanes; entries of one key stay in one lane, in order."""

    def __init__(
        self,
        lanes: int,
        sender: Callable[[], Sender],
        tally: Tally,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._lanes = [_Lane(sender, tally, patience_seconds) for _ in range(lanes)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop the lanes: after what they hold, or at once if the block failed."""
        for lane in self._lanes:
            lane.abandon() if kind else lane.finish()
        for lane in self._lanes:
            lane.join()
        if kind is None:
            for lane in self._lanes:
                lane.raise_error()

    def put(self, entry: Entry) -> None:
        """Hand an entry over; waits while its lane is full.

        Raises:
            DependencyUnavailable: If its lane has given up.
        """
        self._lanes[entry.lane_key % len(self._lanes)].put(entry)


class _Lane:
    """One thread that sends batches one after the other."""

    def __init__(self, sender: Callable[[], Sender], tally: Tally, patience_seconds: float) -> None:
        self._make_sender = sender
        self._tally = tally
        self._patience_seconds = patience_seconds
        self._gathered: list[Entry] = []
        self._gathered_bytes = 0
        self._batches: queue.Queue[list[Entry] | None] = queue.Queue(QUEUED_BATCHES)
        self._stopped = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="import lane", daemon=True)
        self._thread.start()

    def put(self, entry: Entry) -> None:
        if self._gathered_bytes + len(entry.body) > BATCH_BYTES:
            self._pass_on(self._gathered)
        self._gathered.append(entry)
        self._gathered_bytes += len(entry.body)
        if len(self._gathered) == BATCH_ENTRIES:
            self._pass_on(self._gathered)

    def finish(self) -> None:
        """Send what has been gathered, then end; errors wait for `raise_error`."""
        if self._gathered:
            self._offer(self._gathered)
        self._offer(None)

    def abandon(self) -> None:
        self._stopped.set()

    def join(self) -> None:
        self._thread.join()

    def raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _pass_on(self, batch: list[Entry]) -> None:
        self._gathered, self._gathered_bytes = [], 0
        self._offer(batch)
        self.raise_error()

    def _offer(self, batch: list[Entry] | None) -> None:
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self._batches.put(batch, timeout=_LOOK_SECONDS)
                break

    def _run(self) -> None:
        try:
            with closing(self._make_sender()) as sender:
                while (batch := self._next()) is not None:
                    self._deliver(sender, batch)
        except Exception as error:  # noqa: BLE001  # whatever it is, the reader must hear of it
            self._error = error
        finally:
            self._stopped.set()

    def _next(self) -> list[Entry] | None:
        """The next batch; None at the end, or once the lane is abandoned."""
        while not self._stopped.is_set():
            with suppress(queue.Empty):
                return self._batches.get(timeout=_LOOK_SECONDS)
        return None

    def _deliver(self, sender: Sender, batch: list[Entry]) -> None:
        """Send a batch until everything in it has been taken or refused."""
        patience = _Patience(self._patience_seconds)
        while batch and not self._stopped.is_set():
            try:
                reply = sender.send([entry.body for entry in batch])
                error = DependencyUnavailable("log", "the event log takes nothing")
            except DependencyUnavailable as unavailable:
                reply, error = Reply(again=range(len(batch))), unavailable
            self._count(batch, reply)
            rest = [batch[index] for index in reply.again]
            if len(rest) < len(batch):
                patience = _Patience(self._patience_seconds)
            if rest:
                self._stopped.wait(patience.pause_seconds(error))
            batch = rest

    def _count(self, batch: Sequence[Entry], reply: Reply) -> None:
        self._tally.accept(len(batch) - len(reply.again) - len(reply.refused), reply.token)
        for index, problems in reply.refused.items():
            self._tally.reject(BadRow(batch[index].row, problems))


class _Patience:
    """Pauses that grow, until the patience is over."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._pause_seconds = FIRST_PAUSE_SECONDS

    def pause_seconds(self, error: DependencyUnavailable) -> float:
        """How long to wait now; raises *error* when the patience is over."""
        if time.monotonic() > self._deadline:
            raise error
        pause, self._pause_seconds = self._pause_seconds, min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
        return pause
