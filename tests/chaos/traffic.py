"""A client of ingest that never gives up: the events that it was told are accepted are the truth."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from chaos.support import Oracle
from integration.aggregate.support import Fields
from integration.service import Reply
from program import PATIENCE_SECONDS, until

BATCH_EVENTS = 20
REPEATS = 3
PAUSE_SECONDS = 0.05
"""Some hundred events a second: traffic, not load."""


class Ingest(Protocol):
    """Where the client sends: one service, or several that take turns."""

    def ask(self, method: str, path: str, document: object = None) -> Reply:
        """One request."""


class Traffic:
    """Sends events in a thread, each until it is acknowledged, some again afterwards.

    Attributes:
        acknowledged: How many events ingest has accepted.
        refused: How many requests it could not take, or did not answer.
    """

    def __init__(self, ingest: Ingest, oracle: Oracle) -> None:
        self._ingest = ingest
        self._oracle = oracle
        self._waiting: list[Fields] = []
        self._stopping = threading.Event()
        self._giving_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic")
        self.acknowledged = 0
        self.refused = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def flow(self, events: int = 300) -> None:
        """Wait until so many more events have been accepted."""
        wanted = self.acknowledged + events
        assert until(lambda: self.acknowledged >= wanted), f"{self.acknowledged} accepted, {self.refused} refused"

    def dry_up(self) -> None:
        """Wait until a request is not taken."""
        before = self.refused
        assert until(lambda: self.refused > before)

    def stop(self) -> None:
        """Send no new events; wait until those that were sent have been accepted."""
        self._stopping.set()
        self._thread.join(PATIENCE_SECONDS)
        self._giving_up.set()
        self._thread.join()
        assert not self._waiting, f"{len(self._waiting)} events were never accepted"

    def _run(self) -> None:
        while (self._waiting or not self._stopping.is_set()) and not self._giving_up.is_set():
            if not self._waiting:
                self._waiting = self._oracle.fresh(BATCH_EVENTS)
            self._send()
            self._stopping.wait(PAUSE_SECONDS)

    def _send(self) -> None:
        """One batch; what was not accepted waits for the next."""
        batch = [*self._waiting, *self._oracle.old(REPEATS)]
        try:
            reply = self._ingest.ask("POST", "/v1/events/batch", {"events": [_as_sent(fields) for fields in batch]})
        except (OSError, http.client.HTTPException):
            self.refused += 1
            return
        results = reply.json()["results"] if reply.status == 200 else []
        taken = {result["index"] for result in results if result["status"] == 202}
        self.refused += len(taken) < len(batch)
        accepted = len(self._waiting)
        self._waiting = [fields for index, fields in enumerate(self._waiting) if index not in taken]
        self.acknowledged += accepted - len(self._waiting)


def _as_sent(fields: Fields) -> Fields:
    """The event as a client has it: ingest stamps when it received it."""
    return {name: value for name, value in fields.items() if name != "received_at"}


@contextmanager
def flowing(ingest: Ingest, oracle: Oracle) -> Iterator[Traffic]:
    """Traffic during the block; all of it is accepted at the end."""
    traffic = Traffic(ingest, oracle)
    traffic.start()
    try:
        yield traffic
    finally:
        traffic.stop()
