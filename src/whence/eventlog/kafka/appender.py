"""The writing side on Kafka: an idempotent producer, acks=all, whose delivery reports the event loop collects itself.

While records are under way the loop looks for reports every few milliseconds and resolves all that have gathered. A
thread that waits for them would fight over the interpreter's lock with the loop for every record: twice the CPU. Where
many wait, it looks less often: answers that leave together bring the next requests together, and each record costs a
quarter less than if every few of them woke the loop, the server and the driver again.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from confluent_kafka import KafkaError, KafkaException, Message

from whence.domain.errors import DependencyUnavailable, OutcomeUnknown, PartlyAppended
from whence.eventlog.kafka.client import DriverSettings, client_settings, unavailable
from whence.eventlog.kafka.producer import LastingProducer
from whence.eventlog.kafka.topic import TopicAdmin, TopicFacts
from whence.eventlog.places import KafkaPlace
from whence.eventlog.port import APPEND_TIMEOUT_SECONDS, NewRecord, check_call

DELIVERY_TIMEOUT_MS = 4_000
"""After this the outcome counts as unknown: below the time an HTTP client waits for its answer."""

LINGER_MS = 3
"""Records of one partition that come within this time share a request; those of a batch, or of requests whose answers
left together, do so anyway."""

QUEUE_RECORDS = 20_000
QUEUE_KILOBYTES = 64 * 1024
"""What may wait for the brokers; a full queue is answered with "later", never kept in memory without bound."""

COLLECT_SECONDS = 0.001
"""Between two looks for delivery reports while few records are under way; a broker takes about as long."""

COLLECT_MANY_SECONDS = 0.005
"""The same while many are."""

MANY_RECORDS = 16
"""From here on it pays to let reports gather; fewer clients than these notice their own time more than our CPU."""

REFRESH_SECONDS = 2.0
"""How often the topic's identity is asked again, so that tokens name the log that is really written."""

FORGOTTEN = "it knows the record, but no longer its offset"
"""What a broker means that confirms a record, which it has had a while ago, without its place."""

HEARD_SECONDS = 12.0
"""A cluster that has neither confirmed a record nor named the topic for so long does not answer. To find that one of
its brokers is frozen, and another, takes a few seconds in which the others take records all the same."""

CLOSE_SECONDS = 6.0
"""How long a close waits for what is under way: the delivery timeout and some air."""


class _Call:
    """One `append` under way.

    Attributes:
        done: Set when all is known, or the time is up.
        unsaid: What is wrong where no error is reported.
    """

    __slots__ = ("done", "due", "error", "missing", "offsets", "unsaid")

    def __init__(self, done: "asyncio.Future[None]", records: int) -> None:
        self.done = done
        self.due = time.monotonic() + APPEND_TIMEOUT_SECONDS
        self.offsets: list[int | None] = [None] * records
        self.missing = records
        self.error: KafkaError | None = None
        self.unsaid = FORGOTTEN


class KafkaAppender:
    """`whence.eventlog.port.Appender` on a Kafka topic. Open it inside the loop that will use it."""

    def __init__(self, place: KafkaPlace, admin: TopicAdmin, facts: TopicFacts) -> None:
        self._place = place
        self._admin = admin
        self._facts = facts
        self._loop = asyncio.get_running_loop()
        self._under_way = 0
        self._calls: deque[_Call] = deque()
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
        call = _Call(self._loop.create_future(), len(records))
        if self._hand_over(call, records):
            self._calls.append(call)
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
            seconds = COLLECT_SECONDS if self._under_way < MANY_RECORDS else COLLECT_MANY_SECONDS
            self._loop.call_later(seconds, self._collect)

    def _collect(self) -> None:
        """Let the driver give every report that has come to its call."""
        self._collecting = False
        owed_by_former = True
        try:
            owed_by_former = self._producer.collect()
        finally:
            self._give_up_overdue()
            if owed_by_former or self._under_way:
                self._collect_soon()

    def _give_up_overdue(self) -> None:
        """End the calls whose time is up; the driver should have reported long ago. They lie in order of time."""
        now = time.monotonic()
        while self._calls and (self._calls[0].done.done() or self._calls[0].due < now):
            call = self._calls.popleft()
            if not call.done.done():
                call.unsaid = "the driver has not reported"
                call.done.set_result(None)

    @staticmethod
    def _outcome(call: _Call) -> list[int]:
        if None not in call.offsets:
            return cast("list[int]", call.offsets)
        detail = call.error.str() if call.error else call.unsaid
        taken = len(call.offsets) - call.offsets.count(None)
        if taken:
            raise PartlyAppended("kafka", f"Kafka took {taken} of {len(call.offsets)} records: {detail}", call.offsets)
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
