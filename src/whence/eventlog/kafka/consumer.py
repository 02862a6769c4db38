"""The reading side of `aggregate` on Kafka.

Positions are the caller's: no group membership, no stored offsets, no automatic reset. The driver goes on silently in
a topic that was made anew under the same name, so after every read, before the records are handed out, the topic's id
is asked again: a topic id never comes back, so records read before a matching answer are of the topic we know.

The question is asked for every portion, and without an answer nothing is handed out. Records themselves do not tell
the topics apart: the new one may reach our offset within the time between two looks, leader epochs begin at zero in
both, and a record that was applied cannot be taken back. One broker that lives is enough for an answer.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import cast

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from whence.domain.errors import DependencyUnavailable, LogCutOff, LogDamaged, WhenceError
from whence.eventlog.kafka.client import DriverSettings, client_settings, kafka_errors, unavailable
from whence.eventlog.kafka.topic import OFFSETS_SECONDS, TopicAdmin, TopicFacts
from whence.eventlog.places import KafkaPlace
from whence.eventlog.port import Record, Watermarks, check_partitions

QUEUE_KILOBYTES = 32 * 1024
"""What the driver fetches ahead, over all partitions."""

FETCH_KILOBYTES = 256
"""What one partition sends at a time, so that none waits for another's backlog for long."""

FETCH_WAIT_MS = 50
"""How long a broker may wait for something to send; a new record ends the wait at once."""

IDLE_CHECK_SECONDS = 5.0
"""Where nothing comes, the cluster is asked this often whether it is there and the topic is the same."""

DRAIN_SECONDS = 0.002
DRAIN_RECORDS = 2_000
"""After a first record, what the driver holds is taken over in portions of so many, each within so much time; one that
is not full was the last."""

_GONE = frozenset(
    {
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._LOG_TRUNCATION,
    }
)
_PASSING = frozenset({KafkaError._PARTITION_EOF})


def reading_settings(place: KafkaPlace, application: str) -> DriverSettings:
    """The driver settings of a reader that keeps its own positions."""
    return client_settings(place, application) | {
        "group.id": place.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": FETCH_WAIT_MS,
        "max.partition.fetch.bytes": FETCH_KILOBYTES * 1024,
        "queued.max.messages.kbytes": QUEUE_KILOBYTES,
        "fetch.error.backoff.ms": 100,
    }


def to_record(message: Message) -> Record:
    """A record of the port from one of the driver's messages."""
    return Record(
        cast(int, message.partition()),
        cast(int, message.offset()),
        message.timestamp()[1] * 1_000,
        message.key() or b"",
        message.value() or b"",
    )


class KafkaConsumer:
    """`whence.eventlog.port.Consumer` on a Kafka topic."""

    def __init__(self, place: KafkaPlace) -> None:
        self._place = place
        self._admin = TopicAdmin(place, "aggregate", OFFSETS_SECONDS)
        self._facts: TopicFacts = self._admin.facts()
        self._driver = confluent_kafka.Consumer(reading_settings(place, "aggregate"))
        self._positions: dict[int, int] = {}
        self._checked_at = time.monotonic()

    @property
    def log_id(self) -> str:
        """The topic's identity, as it was when this reader began."""
        return self._facts.log_id

    @property
    def partitions(self) -> int:
        """How many partitions the topic has."""
        return self._facts.partitions

    def assign(self, positions: Mapping[int, int]) -> None:
        """Read exactly these partitions from these next offsets on."""
        check_partitions(positions, self.partitions)
        self._positions = dict(positions)
        with kafka_errors():
            self._driver.assign([TopicPartition(self._place.topic, p, offset) for p, offset in positions.items()])

    def poll(self, max_records: int, wait_seconds: float) -> list[Record]:
        """Up to *max_records* records; see the port."""
        try:
            records = self._accept(self._read(max_records, wait_seconds))
            if records or time.monotonic() - self._checked_at > IDLE_CHECK_SECONDS:
                self._check_topic()
        except WhenceError:
            # What was read is read again: nothing of it has been handed out.
            self.assign(self._positions)
            raise
        for record in records:
            self._positions[record.partition] = record.offset + 1
        return records

    def _read(self, max_records: int, wait_seconds: float) -> list[Message]:
        try:
            messages = self._driver.consume(1, wait_seconds)
            wanted = found = len(messages)
            while found == wanted and 0 < len(messages) < max_records:
                wanted = min(DRAIN_RECORDS, max_records - len(messages))
                portion = self._driver.consume(wanted, DRAIN_SECONDS)
                found = len(portion)
                messages += portion
        except KafkaException as error:
            # Whatever was taken before it is read again, since the driver has moved past it.
            self._judge(error.args[0], None)
            raise unavailable(error.args[0]) from error
        return messages

    def _accept(self, messages: Sequence[Message]) -> list[Record]:
        """The records among *messages* that come next; the driver may repeat some around a new assignment."""
        records = []
        expected = dict(self._positions)
        skipped: list[tuple[int, range]] = []
        for message in messages:
            if (error := message.error()) is not None:
                self._judge(error, message.partition())
                continue
            record = to_record(message)
            partition, offset = record[:2]
            due = expected.get(partition, offset + 1)
            if offset >= due:
                records.append(record)
                expected[partition] = offset + 1
                if offset > due:  # offsets without a record, or so it seems
                    skipped.append((partition, range(due, offset)))
            elif any(partition == other and offset in gap for other, gap in skipped):
                raise DependencyUnavailable("kafka", f"partition {partition}: offset {offset} comes after later ones")
        return records

    def _judge(self, error: KafkaError, partition: int | None) -> None:
        """Raise what an error of the driver means; the cluster itself is asked before a log is called damaged."""
        if error.code() in _PASSING:
            return
        if error.code() in _GONE:
            self._check_topic()
            if partition in self._positions:
                self._check_position(partition, error)
        raise unavailable(error)

    def _check_position(self, partition: int, error: KafkaError) -> None:
        low, high = self.watermarks(partition)
        position = self._positions[partition]
        if not low <= position <= high:
            family = LogDamaged if position < low else LogCutOff
            message = f"partition {partition}: the log holds offsets {low} to {high}, we are at {position}"
            raise family(f"{message} ({error.str()})", partition)

    def _check_topic(self) -> None:
        facts = self._admin.facts()
        self._checked_at = time.monotonic()
        if facts != self._facts:
            raise LogDamaged(
                f"topic {self._place.topic} is not the one that was read before (log {self._facts.log_id} with "
                f"{self._facts.partitions} partitions, now {facts.log_id} with {facts.partitions})"
            )

    def watermarks(self, partition: int) -> Watermarks:
        """The offsets that the partition can give now."""
        check_partitions([partition], self.partitions)
        return self._admin.watermarks(partition)

    def advertise(self, next_offsets: Mapping[int, int]) -> None:
        """Commit offsets to the consumer group for lag tools and autoscalers; best effort, nothing reads them here."""
        offsets = [TopicPartition(self._place.topic, p, offset) for p, offset in next_offsets.items()]
        with contextlib.suppress(KafkaException):
            self._driver.commit(offsets=offsets, asynchronous=True)

    def close(self) -> None:
        """Let go of connections."""
        self._driver.close()
