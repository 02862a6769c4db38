"""Bounded reads of a Kafka topic for reconcile and rebuild."""

import time
from collections.abc import Iterator

import confluent_kafka
from confluent_kafka import KafkaError, Message, TopicPartition

from whence.domain.errors import DependencyUnavailable, LogDamaged
from whence.eventlog.kafka.client import kafka_errors, unavailable
from whence.eventlog.kafka.consumer import DRAIN_SECONDS, reading_settings, to_record
from whence.eventlog.kafka.topic import TopicAdmin
from whence.eventlog.places import KafkaPlace
from whence.eventlog.port import Record, Watermarks, check_partitions

CHUNK_RECORDS = 2_000
"""Records handed out at a time."""

STALL_SECONDS = 30.0
"""A scan that gets nothing for this long, though there is more, ends with an error."""

POLL_SECONDS = 0.5


class KafkaScanner:
    """`whence.eventlog.port.Scanner` on a Kafka topic."""

    def __init__(self, place: KafkaPlace) -> None:
        self._place = place
        self._admin = TopicAdmin(place, "scan")
        self._facts = self._admin.facts()
        settings = reading_settings(place, "scan") | {"enable.partition.eof": True}
        self._driver = confluent_kafka.Consumer(settings)

    @property
    def log_id(self) -> str:
        """The topic's identity, as it was when this scanner began."""
        return self._facts.log_id

    @property
    def partitions(self) -> int:
        """How many partitions the topic has."""
        return self._facts.partitions

    def watermarks(self, partition: int) -> Watermarks:
        """The offsets that the partition can give now."""
        check_partitions([partition], self.partitions)
        return self._admin.watermarks(partition)

    def scan(self, partition: int, start: int, end: int) -> Iterator[list[Record]]:
        """The records with start <= offset < end in order."""
        low, high = self.watermarks(partition)
        if start < low:
            raise LogDamaged(f"partition {partition}: the log begins at offset {low}, {start} is gone", partition)
        end = min(end, high)
        if start >= end:
            return
        with kafka_errors():
            self._driver.assign([TopicPartition(self._place.topic, partition, start)])
        try:
            yield from self._chunks(partition, end)
        finally:
            self._driver.unassign()

    def _chunks(self, partition: int, end: int) -> Iterator[list[Record]]:
        heard_at = time.monotonic()
        while True:
            records, done = [], False
            for message in self._read():
                if (error := message.error()) is not None:
                    done = done or self._at_end(error, partition)
                elif (message.offset() or 0) < end:
                    records.append(to_record(message))
                if error is None and (message.offset() or 0) >= end - 1:
                    done = True
            if records:
                yield records
                # However long the records were looked at: only Kafka's silence counts.
                heard_at = time.monotonic()
            if done:
                return
            if time.monotonic() - heard_at > STALL_SECONDS:
                raise DependencyUnavailable(
                    "kafka", f"Kafka sends nothing of partition {partition} though there is more"
                )

    def _read(self) -> list[Message]:
        """What is there, waiting for a first message only: the driver would wait until there are so many."""
        with kafka_errors():
            messages = self._driver.consume(1, POLL_SECONDS)
            return messages + self._driver.consume(CHUNK_RECORDS - 1, DRAIN_SECONDS) if messages else []

    @staticmethod
    def _at_end(error: KafkaError, partition: int) -> bool:
        if error.code() == KafkaError._PARTITION_EOF:
            return True
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise LogDamaged(
                f"partition {partition}: the log cannot give what was asked for ({error.str()})", partition
            )
        raise unavailable(error)

    def close(self) -> None:
        """Let go of connections."""
        self._driver.close()
