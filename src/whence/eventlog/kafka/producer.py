"""An idempotent producer that outlives fatal errors.

Where the brokers and an idempotent producer disagree on what has been written (a sequence number that does not follow,
say), the driver gives up for good: it refuses every record from then on. Order within our calls is all that we promise,
and whoever has no answer sends again under the same event id, so a new producer may simply go on.
"""

import asyncio
import threading

import confluent_kafka
import structlog
from confluent_kafka import KafkaError, KafkaException

from whence.eventlog.kafka.client import DriverSettings, told

RENEW_SECONDS = 2.0
"""A producer lives at least so long: errors that come back at once make no storm of producers."""


class LastingProducer:
    """Holds the producer that takes records now, and those that still owe reports. For the loop's thread alone."""

    def __init__(self, settings: DriverSettings, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._loop = loop
        self._former: list[confluent_kafka.Producer] = []
        self._renewal: asyncio.TimerHandle | None = None
        self._make()

    def _make(self) -> None:
        self.driver = confluent_kafka.Producer({**self._settings, "error_cb": self.notice})
        self._made_at = self._loop.time()
        self.broken: KafkaError | None = None

    def notice(self, error: KafkaError) -> None:
        """Look at an error of the driver's: after a fatal one the driver is given up."""
        if self.broken is None and (error.fatal() or error.code() == KafkaError._FATAL):
            self.broken = error
            self._renew_in(self._made_at + RENEW_SECONDS - self._loop.time())

    def _renew_in(self, seconds: float) -> None:
        self._renewal = self._loop.call_later(max(0.0, seconds), self._renew)

    def _renew(self) -> None:
        broken, former = self.broken, self.driver
        try:
            self._make()
        except KafkaException:
            self._renew_in(RENEW_SECONDS)
            return
        former.purge(blocking=False)  # whatever it holds is reported now: nobody knows whether the log has it
        self._former.append(former)
        structlog.get_logger("kafka").warning("producer made anew", reason=told(broken))

    def collect(self) -> bool:
        """Hand reports that have come to their callbacks; whether a former producer still owes some."""
        try:
            self.driver.poll(0)
            for former in self._former:
                former.poll(0)
        except KafkaException as error:
            self.notice(error.args[0])
        for former in [one for one in self._former if not len(one)]:
            self._former.remove(former)
            # It waits for the driver's threads.
            threading.Thread(target=former.close, name="kafka-close", daemon=True).start()
        return bool(self._former)

    def close(self) -> None:
        """Make no more producers."""
        if self._renewal is not None:
            self._renewal.cancel()
