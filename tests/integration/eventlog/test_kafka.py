"""The event log on Apache Kafka: the shared suite on a real broker, and what only Kafka can do to us."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from integration.eventlog.conformance import (
    PARTITIONS,
    PATIENCE_SECONDS,
    EventLogConformance,
    append,
    fill,
    meets_damage,
    places,
    read_until,
    reading,
    record,
)
from whence.domain.errors import DependencyUnavailable, InvalidInput, LogCutOff, LogDamaged
from whence.embedded.kafka.cluster import KafkaCluster
from whence.eventlog import adapters
from whence.eventlog.kafka import scanner as scanning
from whence.eventlog.kafka.scanner import KafkaScanner
from whence.eventlog.places import KafkaPlace
from whence.eventlog.port import Appender, Consumer, Scanner


class KafkaLogUnderTest:
    """A topic of its own."""

    def __init__(self, bootstrap: str) -> None:
        name = f"log_{uuid.uuid4().hex[:12]}"
        self.place = KafkaPlace(bootstrap, f"{name}.events", name, partitions=PARTITIONS)
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        adapters.prepare(self.place)

    async def appender(self) -> Appender:
        """A new writing side."""
        return await adapters.open_appender(self.place)

    def consumer(self) -> Consumer:
        """A new reading side."""
        return adapters.open_consumer(self.place)

    def scanner(self) -> Scanner:
        """A new scanner."""
        return adapters.open_scanner(self.place)

    def trim(self, partition: int, low: int) -> None:
        """Delete the records below an offset."""
        asked = self.admin.delete_records([TopicPartition(self.place.topic, partition, low)])
        for future in asked.values():
            future.result()

    def replace(self) -> None:
        """Make the topic anew."""
        self.drop()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.place.topic in self.admin.list_topics(timeout=10).topics:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        adapters.prepare(self.place)

    def drop(self) -> None:
        """Delete the topic."""
        self.admin.delete_topics([self.place.topic])[self.place.topic].result()

    def committed(self, partition: int) -> int:
        """The offset that lag tools see."""
        from confluent_kafka import Consumer as Driver

        driver = Driver({"bootstrap.servers": self.place.bootstrap, "group.id": self.place.group})
        try:
            return int(driver.committed([TopicPartition(self.place.topic, partition)], timeout=10)[0].offset)
        finally:
            driver.close()


@pytest.fixture
def log(kafka: KafkaCluster) -> Iterator[KafkaLogUnderTest]:
    made = KafkaLogUnderTest(kafka.bootstrap)
    yield made
    made.drop()


class TestKafkaLog(EventLogConformance):
    """The suite on a real broker."""

    backlog = 40_000


def test_the_topic_keeps_everything_and_stamps_append_time(log: KafkaLogUnderTest) -> None:
    resource = ConfigResource(ResourceType.TOPIC, log.place.topic)
    config = {name: entry.value for name, entry in log.admin.describe_configs([resource])[resource].result().items()}

    assert config["retention.ms"] == config["retention.bytes"] == "-1"
    assert config["cleanup.policy"] == "delete"
    assert config["message.timestamp.type"] == "LogAppendTime"
    assert config["unclean.leader.election.enable"] == "false"


def test_prepare_is_safe_twice_and_says_what_it_did(kafka: KafkaCluster) -> None:
    place = KafkaPlace(kafka.bootstrap, f"twice_{uuid.uuid4().hex[:8]}", "twice", partitions=3)

    assert adapters.missing(place) == [f"topic {place.topic} to be made"]
    assert adapters.prepare(place) == [f"topic {place.topic} made with 3 partitions"]
    assert adapters.prepare(place) == []
    assert adapters.missing(place) == []


def test_a_topic_that_loses_events_is_refused_and_one_that_forgets_is_warned_about(kafka: KafkaCluster) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    compacting, unclean, forgetting = (f"foreign_{uuid.uuid4().hex[:8]}" for _ in range(3))
    stamped = {"message.timestamp.type": "LogAppendTime"}
    topics = [
        NewTopic(compacting, 1, 1, config={**stamped, "cleanup.policy": "compact"}),
        NewTopic(unclean, 1, 1, config={**stamped, "retention.ms": "-1", "unclean.leader.election.enable": "true"}),
        NewTopic(forgetting, 1, 1, config={**stamped, "retention.ms": "60000", "retention.bytes": "-1"}),
    ]
    for future in admin.create_topics(topics).values():
        future.result()

    with pytest.raises(InvalidInput, match=r"cleanup\.policy=compact; set it to delete"):
        adapters.prepare(KafkaPlace(kafka.bootstrap, compacting, "foreign"))
    with pytest.raises(InvalidInput, match=r"unclean\.leader\.election\.enable=true; set it to false"):
        adapters.prepare(KafkaPlace(kafka.bootstrap, unclean, "foreign"))
    assert adapters.prepare(KafkaPlace(kafka.bootstrap, forgetting, "foreign")) == [
        f"warning: topic {forgetting} has retention.ms=60000; set it to -1"
    ]


def test_more_replicas_than_brokers_are_refused_with_the_setting_to_change(kafka: KafkaCluster) -> None:
    with pytest.raises(InvalidInput, match="WHENCE_KAFKA_REPLICATION"):
        adapters.prepare(KafkaPlace(kafka.bootstrap, f"wide_{uuid.uuid4().hex[:8]}", "wide", replication=3))


def test_a_missing_topic_says_how_to_make_one(kafka: KafkaCluster) -> None:
    nowhere = KafkaPlace(kafka.bootstrap, "nowhere", "nowhere")

    with pytest.raises(LogDamaged, match="whence migrate"):
        adapters.open_scanner(nowhere)
    with pytest.raises(LogDamaged, match="whence migrate"):
        asyncio.run(adapters.open_appender(nowhere))


def test_a_cluster_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(DependencyUnavailable):
        adapters.open_consumer(KafkaPlace("127.0.0.1:1", "nowhere", "nowhere"))


def test_a_topic_made_anew_and_filled_beyond_our_position_gives_no_record(log: KafkaLogUnderTest) -> None:
    """The driver itself goes on silently in the new topic."""
    fill(log, 0, 5)
    with reading(log, {0: 5}) as consumer:
        assert consumer.poll(10, 0.5) == []
        log.replace()
        fill(log, 0, 20)
        assert "is not the one" in str(meets_damage(consumer))


def test_a_topic_that_a_broker_does_not_know_may_be_known_again(kafka: KafkaCluster) -> None:
    """One such answer is no reason to stop for good."""
    log = KafkaLogUnderTest(kafka.bootstrap)
    fill(log, 0, 1)
    with reading(log, {0: 1}) as consumer:
        log.drop()
        assert isinstance(meets_damage(consumer), LogCutOff)
        with pytest.raises(LogCutOff):
            consumer.watermarks(0)


class Meddler:
    """Stands before a consumer's driver and changes what some of its calls come to."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.portions: list[Callable[[], list[Any]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.driver, name)

    def consume(self, number: int, seconds: float) -> list[Any]:
        """What comes next in `portions`, else what the driver gives."""
        return self.portions.pop(0)() if self.portions else list(self.driver.consume(number, seconds))

    def take(self, number: int) -> list[Any]:
        """So many messages."""
        taken: list[Any] = []
        while len(taken) < number:
            taken += self.driver.consume(number - len(taken), 1.0)
        return taken

    def commit(self, **_: object) -> None:
        """Fails."""
        fail()


def fail() -> list[Any]:
    """Raises a passing error of the driver's."""
    raise KafkaException(KafkaError(KafkaError._PARTITION_EOF))


@pytest.fixture
def meddled(log: KafkaLogUnderTest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Consumer, Meddler]]:
    """A consumer at the beginning of three records, with somebody before its driver."""
    fill(log, 0, 3)
    with reading(log, {0: 0}) as consumer:
        meddler = Meddler(vars(consumer)["_driver"])
        monkeypatch.setattr(consumer, "_driver", meddler)
        yield consumer, meddler


def test_what_was_taken_before_an_error_is_read_again(meddled: tuple[Consumer, Meddler]) -> None:
    consumer, meddler = meddled
    meddler.portions = [lambda: meddler.take(1), fail]
    with pytest.raises(DependencyUnavailable):
        consumer.poll(10, 1.0)
    assert [record.offset for record in read_until(consumer, 3)] == [0, 1, 2]


def test_a_record_that_comes_after_later_ones_is_not_lost(meddled: tuple[Consumer, Meddler]) -> None:
    consumer, meddler = meddled

    def disordered() -> list[Any]:
        first, second, third = meddler.take(3)
        return [first, third, second]

    meddler.portions = [disordered]
    with pytest.raises(DependencyUnavailable, match="offset 1 comes after later ones"):
        consumer.poll(10, 1.0)
    assert [record.offset for record in read_until(consumer, 3)] == [0, 1, 2]


def test_a_record_that_comes_twice_is_given_once(meddled: tuple[Consumer, Meddler]) -> None:
    consumer, meddler = meddled
    meddler.portions = [lambda: 2 * meddler.take(3)]
    assert [record.offset for record in consumer.poll(10, 1.0)] == [0, 1, 2]


def test_to_advertise_may_fail(meddled: tuple[Consumer, Meddler]) -> None:
    consumer, _ = meddled
    consumer.advertise({0: 1})


def test_what_was_advertised_is_what_lag_tools_see(log: KafkaLogUnderTest) -> None:
    fill(log, 1, 4)
    with reading(log, {1: 0}) as consumer:
        read_until(consumer, 4)
        consumer.advertise({1: 3})
        deadline = time.monotonic() + PATIENCE_SECONDS
        while log.committed(1) != 3:
            assert time.monotonic() < deadline
            consumer.poll(1, 0.1)


def test_positions_survive_a_broker_that_restarts(kafka_of_its_own: KafkaCluster) -> None:
    log = KafkaLogUnderTest(kafka_of_its_own.bootstrap)
    fill(log, 0, 3)
    with reading(log, {0: 0}) as consumer:
        first = read_until(consumer, 1, max_records=1)
        assert consumer.watermarks(0) == (0, 3)
        kafka_of_its_own.stop(at_once=True)
        with pytest.raises(DependencyUnavailable):
            asyncio.run(_check(log))
        kafka_of_its_own.start()
        rest: list[tuple[int, int, bytes]] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(rest) < 3:
            assert time.monotonic() < deadline
            rest += _poll_through_outage(log, consumer, rest)
        assert consumer.watermarks(0) == (0, 4)  # though the leader's epoch is another one now
    assert places(first) + rest == [(0, 0, b"0"), (0, 1, b"1"), (0, 2, b"2"), (0, 3, b"after")]


async def _check(log: KafkaLogUnderTest) -> None:
    appender = await log.appender()
    await appender.check()


def _poll_through_outage(
    log: KafkaLogUnderTest, consumer: Consumer, seen: list[tuple[int, int, bytes]]
) -> list[tuple[int, int, bytes]]:
    """One poll; once what was there before has come, a record is appended after the outage."""
    try:
        found = places(consumer.poll(10, 1.0))
        if len(seen) + len(found) == 2:
            append(log, [record(0, "after")])
    except DependencyUnavailable:
        return []
    return found


def test_a_slow_taker_is_no_silence_of_kafka(log: KafkaLogUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "STALL_SECONDS", 0.2)
    fill(log, 2, 5_000)
    read = KafkaScanner._read
    pauses: list[Any] = []
    monkeypatch.setattr(KafkaScanner, "_read", lambda self: pauses.pop() if pauses else read(self))
    with closing(log.scanner()) as scanner:
        taken = 0
        for records in scanner.scan(2, 0, 5_000):
            taken += len(records)
            pauses.append([])
            time.sleep(0.3)
        assert taken == 5_000
        monkeypatch.setattr(KafkaScanner, "_read", lambda _: [])
        with pytest.raises(DependencyUnavailable, match="sends nothing"):
            list(scanner.scan(2, 0, 5_000))
