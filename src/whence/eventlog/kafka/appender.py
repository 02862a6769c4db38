"""The writing side on Kafka: an idempotent producer, acks=all, whose delivery reports the event loop collects itself.

While records are under way the loop looks for reports every millisecond and resolves all that have gathered. A thread
that waits for them would fight over the interpreter's lock with the loop for every record: twice the CPU.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Message

from whence.domain.errors import DependencyUnavailable, OutcomeUnknown, PartlyAppended
from whence.eventlog.kafka.client import DriverSettings, client_settings, unavailable
from whence.eventlog.kafka.producer import LastingProducer
from whence.eventlog.kafka.topic import TopicAdmin, TopicFacts
from whence.eventlog.places import KafkaPlace
from whence.eventlog.port import NewRecord, check_call

DELIVERY_TIMEOUT_MS = 4_000
"""After this the outcome counts as unknown: below the time an HTTP client waits for its answer."""

LINGER_MS = 5
"""Records of one partition that come within this time share a request. So does Kafka's own producer since 4.0: the
brokers have less to do, and batches cost us a tenth less than with 1 ms."""

QUEUE_RECORDS = 20_000
QUEUE_KILOBYTES = 64 * 1024
"""What may wait for the brokers; a full queue is answered with "later", never kept in memory without bound."""

COLLECT_SECONDS = 0.001
"""Between two looks for delivery reports while records are under way; a broker takes about as long."""

REFRESH_SECONDS = 2.0
"""How often the topic's identity is asked again, so that tokens name the log that is really written."""

HEARD_SECONDS = 12.0
"""A cluster that has neither confirmed a record nor named the topic for so long does not answer. To find that one of
its brokers is frozen, and another, takes a few seconds in which the others take records all the same."""

CLOSE_SECONDS = 6.0
"""How long a close waits for what is under way: the delivery timeout and some air."""


@dataclass(slots=True)
class _Call:
    """One `append` under way."""

    done: asyncio.Future[None]
    offsets: list[int | None]
    missing: int
    error: KafkaError | None = None
    unsaid: str = "it knows the record, but no longer its offset"
    """What is wrong where no error is reported; so a broker answers to a record that it has had a while ago."""


class KafkaAppender:
    """`whence.eventlog.port.Appender` on a Kafka topic. Open it inside the loop that will use it."""

    def __init__(self, place: KafkaPlace, admin: TopicAdmin, facts: TopicFacts) -> None:
        self._place = place
        self._admin = admin
        self._facts = facts
        self._loop = asyncio.get_running_loop()
        self._under_way = 0
        self._collecting = False
        self._closing = threading.Event()
        self._heard_at = time.monotonic()
        self._producer = LastingProducer(_writing_settings(place), self._loop)
        self._refresher = threading.Thread(target=self._refresh, name="kafka-topic", daemon=True)
        self._refresher.start()

    @classmethod
    async def open(cls, place: KafkaPlace) -> "KafkaAppender":
        """An appender for a topic that exists.

        Raises:
            DependencyUnavailable: If the cluster does not answer.
            LogDamaged: If there is no such topic.
        """
        admin = TopicAdmin(place, "ingest")
        return cls(place, admin, await asyncio.to_thread(admin.facts))

    @property
    def log_id(self) -> str:
        """The identity of the topic that is written."""
        return self._facts.log_id

    @property
    def partitions(self) -> int:
        """How many partitions the topic has."""
        return self._facts.partitions

    async def append(self, records: Sequence[NewRecord]) -> list[int]:
        """Append records; see the port."""
        self._refuse_misuse(records)
        call = _Call(self._loop.create_future(), [None] * len(records), len(records))
        if self._hand_over(call, records):
            self._collect_soon()
            await call.done
        return self._outcome(call)

    def _refuse_misuse(self, records: Sequence[NewRecord]) -> None:
        if self._closing.is_set():
            raise DependencyUnavailable("kafka", "this service is stopping: send again later")
        if self._producer.broken is not None:
            raise unavailable(self._producer.broken, "a new producer is being made: send again later")
        check_call(records, self.partitions)

    def _hand_over(self, call: _Call, records: Sequence[NewRecord]) -> int:
        """Give records to the driver until it refuses one; how many it has taken.

        Raises:
            DependencyUnavailable: If it refuses the first, so that nothing can be in the log.
        """
        produce, topic = self._producer.driver.produce, self._place.topic
        handed_over = 0
        try:
            for record in records:
                produce(topic, record.value, record.key, record.partition, self._report(call, handed_over))
                handed_over += 1
        except (BufferError, KafkaException) as error:
            if isinstance(error, KafkaException):
                self._producer.notice(error.args[0])
                call.error = error.args[0]
            if not handed_over:
                raise _refusal(error) from error
        finally:
            self._under_way += handed_over
        call.missing = handed_over
        if handed_over < len(records):
            call.unsaid = "the queue of records that wait is full"
        return handed_over

    def _report(self, call: _Call, index: int) -> Callable[[KafkaError | None, Message], None]:
        """What takes the delivery report of one record."""

        def report(error: KafkaError | None, message: Message) -> None:
            self._under_way -= 1
            call.missing -= 1
            if error is None:
                call.offsets[index] = message.offset()
                self._heard_at = time.monotonic()
            else:
                call.error = error
                self._producer.notice(error)
            if call.missing == 0 and not call.done.done():
                call.done.set_result(None)

        return report

    def _collect_soon(self) -> None:
        if not self._collecting:
            self._collecting = True
            self._loop.call_later(COLLECT_SECONDS, self._collect)

    def _collect(self) -> None:
        """Let the driver give every report that has come to its call."""
        self._collecting = False
        if self._producer.collect() or self._under_way:
            self._collect_soon()

    @staticmethod
    def _outcome(call: _Call) -> list[int]:
        offsets = [offset for offset in call.offsets if offset is not None]
        if len(offsets) == len(call.offsets):
            return offsets
        detail = call.error.str() if call.error else call.unsaid
        if offsets:
            raise PartlyAppended(
                "kafka", f"Kafka took {len(offsets)} of {len(call.offsets)} records: {detail}", call.offsets
            )
        raise OutcomeUnknown("kafka", f"Kafka did not confirm in time: {detail}")

    async def check(self) -> None:
        """Raise DependencyUnavailable if the cluster has been silent, or takes nothing from us now."""
        self._refuse_misuse(())
        silent_seconds = time.monotonic() - self._heard_at
        if silent_seconds > HEARD_SECONDS:
            raise unavailable(f"it has not answered for {silent_seconds:.0f} s")

    async def close(self) -> None:
        """Wait, bounded, for what is under way, then stop."""
        self._closing.set()
        self._producer.close()
        deadline = self._loop.time() + CLOSE_SECONDS
        while self._under_way and self._loop.time() < deadline:
            await asyncio.sleep(COLLECT_SECONDS)

    def _refresh(self) -> None:
        while not self._closing.wait(REFRESH_SECONDS):
            try:
                self._facts = self._admin.facts()
                self._heard_at = time.monotonic()
            except Exception:  # noqa: BLE001, S112  # an unreachable cluster is told by `append` and `check`
                continue


def _writing_settings(place: KafkaPlace) -> DriverSettings:
    return client_settings(place, "ingest") | {
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": LINGER_MS,
        "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
        "request.timeout.ms": DELIVERY_TIMEOUT_MS - 1_000,
        "queue.buffering.max.messages": QUEUE_RECORDS,
        "queue.buffering.max.kbytes": QUEUE_KILOBYTES,
    }


def _refusal(error: BufferError | KafkaException) -> DependencyUnavailable:
    if isinstance(error, KafkaException):
        return unavailable(error.args[0])
    return DependencyUnavailable("kafka", f"{QUEUE_RECORDS} records wait for Kafka already: send again later")
