"""An administrator's client that gives up what it remembers of the cluster once nobody answers.

The driver sends each question to one broker: the one that it remembers as the controller or as a partition's leader.
When that broker dies or freezes, it goes on asking there, and looks for another only every few minutes. A client that
is made anew asks whoever answers first, which takes some hundredths of a second.
Nor may a question wait for long: while one waits for a broker that refuses connections, the driver tries to connect
without any pause, whatever its settings say.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from whence.eventlog.kafka.client import DriverSettings

Question = Callable[[AdminClient, float], "Future[Any]"]
"""Asks a client, which waits so many seconds."""

RENEW_SECONDS = 0.5
"""A client is kept at least so long: an error that comes at once makes no storm of connections."""

_UNANSWERED = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError.REQUEST_TIMED_OUT,
    }
)


class RenewedAdmin:
    """Asks the cluster. Thread-safe."""

    def __init__(self, settings: DriverSettings) -> None:
        # Of an unreachable cluster requests say only that they got no answer; this says why.
        self._troubles: deque[KafkaError] = deque(maxlen=1)
        callbacks: dict[str, Any] = {"error_cb": self._note}
        self._settings = settings | callbacks
        self._lock = threading.Lock()
        self._client = AdminClient(self._settings)
        self._made_at = time.monotonic()

    def ask(self, question: Question, timeouts_seconds: Sequence[float]) -> Any:
        """The answer to a question; where none comes in the first of the times, a new client asks with the next one.

        Raises:
            KafkaException: What the last attempt came to.
        """
        for seconds in timeouts_seconds[:-1]:
            try:
                return self._ask(question, seconds)
            except KafkaException as error:
                if error.args[0].code() not in _UNANSWERED:
                    raise
        return self._ask(question, timeouts_seconds[-1])

    def _ask(self, question: Question, seconds: float) -> Any:
        try:
            return question(self._client, seconds).result()
        except KafkaException as error:
            if error.args[0].code() in _UNANSWERED:
                self.renew()
            raise

    def refresh(self, timeout_seconds: float) -> None:
        """Let the client learn anew who leads which partition.

        Raises:
            KafkaException: If nobody tells.
        """
        try:
            # All topics: to ask for one by name would make it, where brokers do that.
            self._client.list_topics(timeout=timeout_seconds)
        except KafkaException:
            self.renew()
            raise

    def renew(self) -> None:
        """Forget the present client, unless it is new."""
        with self._lock:
            self._client.poll(0)  # what troubled it is told all the same
            if time.monotonic() - self._made_at > RENEW_SECONDS:
                self._client = AdminClient(self._settings)
                self._made_at = time.monotonic()

    def trouble(self) -> str:
        """What the driver met last on its way to the brokers, told once; "" if nothing."""
        self._client.poll(0)
        return self._troubles.pop().str() if self._troubles else ""

    def _note(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._troubles.append(error)
