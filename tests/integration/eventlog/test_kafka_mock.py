"""What brokers do that no real one does on demand, on librdkafka's mock cluster."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from integration.eventlog.conformance import PATIENCE_SECONDS, record
from integration.eventlog.mock_brokers import MockBrokers
from program import until
from whence.domain.errors import DependencyUnavailable, OutcomeUnknown, PartitionUnavailable
from whence.eventlog.kafka import admin as asking
from whence.eventlog.kafka import appender as appending
from whence.eventlog.kafka import producer as producing
from whence.eventlog.kafka.admin import RenewedAdmin
from whence.eventlog.kafka.appender import KafkaAppender
from whence.eventlog.kafka.topic import OFFSETS_SECONDS, TopicAdmin, TopicFacts
from whence.eventlog.places import KafkaPlace

FACTS = TopicFacts("00000000", 4)
MOCKED = KafkaPlace("mock:1", "t", "g", {"test.mock.num.brokers": "1"})


class SilentAdmin(TopicAdmin):
    """Nobody answers its questions, as where the broker that it would ask is frozen."""

    def facts(self) -> TopicFacts:
        """Fails."""
        raise DependencyUnavailable("kafka", "no answer")


@asynccontextmanager
async def mocked_appender() -> AsyncIterator[tuple[KafkaAppender, MockBrokers]]:
    """An appender with a mock broker inside."""
    appender = KafkaAppender(MOCKED, SilentAdmin(MOCKED, "test"), FACTS)
    try:
        yield appender, MockBrokers(appender._producer.driver)
    finally:
        await appender.close()


def test_after_a_fatal_error_a_new_producer_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producing, "RENEW_SECONDS", 1.0)

    async def run() -> None:
        troubles: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
        async with mocked_appender() as (appender, brokers):
            assert await appender.append([record(0, "before")]) == [0]
            brokers.answer_a_produce_request_with(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)
            calls = [appender.append([record(0, number)]) for number in range(2)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown] * 2
            with pytest.raises(DependencyUnavailable, match="a new producer is being made"):
                await appender.check()
            await _until_ready(appender)
            assert await appender.append([record(0, "after")]) == [0]  # its mock broker is new, too
            assert troubles == []

    asyncio.run(run())


async def _until_ready(appender: KafkaAppender) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            return await appender.check()
        except DependencyUnavailable:
            await asyncio.sleep(0.05)
    raise AssertionError("the appender does not become ready")


def test_a_repeated_record_whose_place_is_forgotten_has_an_unknown_outcome() -> None:
    async def run() -> None:
        async with mocked_appender() as (appender, brokers):
            await appender.append([record(0, "before")])
            brokers.answer_a_produce_request_with(KafkaError.DUPLICATE_SEQUENCE_NUMBER)
            with pytest.raises(OutcomeUnknown, match="no longer its offset"):
                await appender.append([record(0, "again")])

    asyncio.run(run())


def test_a_record_that_the_driver_never_reports_has_an_unknown_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with mocked_appender() as (appender, _):
            with monkeypatch.context() as silent:
                silent.setattr(appending, "APPEND_TIMEOUT_SECONDS", 0.1)
                silent.setattr(producing.LastingProducer, "collect", lambda _: False)
                for number in range(2):
                    with pytest.raises(OutcomeUnknown, match="the driver has not reported"):
                        await appender.append([record(0, number)])
            assert await appender.append([record(0, "after")]) == [2]

    asyncio.run(run())


def test_a_look_for_reports_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        troubles: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context["exception"]))
        async with mocked_appender() as (appender, _):
            collect, failures = producing.LastingProducer.collect, [RuntimeError("can't start new thread")]

            def fail_once(producer: producing.LastingProducer) -> bool:
                if failures:
                    raise failures.pop()
                return collect(producer)

            monkeypatch.setattr(producing.LastingProducer, "collect", fail_once)
            assert await appender.append([record(0, "record")]) == [0]
            assert [str(trouble) for trouble in troubles] == ["can't start new thread"]

    asyncio.run(run())


def test_an_appender_is_ready_while_records_are_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the broker that is asked for the topic's identity does not answer."""
    monkeypatch.setattr(appending, "HEARD_SECONDS", 0.3)

    async def run() -> None:
        async with mocked_appender() as (appender, _):
            await appender.append([record(0, "first")])
            await appender.check()
            await asyncio.sleep(0.4)
            with pytest.raises(DependencyUnavailable, match="has not answered"):
                await appender.check()
            await appender.append([record(0, "second")])
            await appender.check()

    asyncio.run(run())


def test_offsets_are_asked_from_the_new_leader_when_the_old_one_is_frozen() -> None:
    with closing(Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "mock:1"})) as host:
        brokers = MockBrokers(host)
        host.produce("t", b"value", partition=0)
        host.flush(PATIENCE_SECONDS)
        cluster = host.list_topics("t", timeout=PATIENCE_SECONDS)
        addresses = ",".join(f"{broker.host}:{broker.port}" for broker in cluster.brokers.values())
        leader = cluster.topics["t"].partitions[0].leader
        admin = TopicAdmin(KafkaPlace(addresses, "t", "g"), "test", OFFSETS_SECONDS)
        assert admin.watermarks(0) == (0, 1)
        brokers.freeze(leader)
        brokers.move_leader("t", 0, leader % 3 + 1)
        with pytest.raises(PartitionUnavailable):
            admin.watermarks(0)
        assert until(lambda: _answers(admin))


def _answers(admin: TopicAdmin) -> bool:
    """Whether it finds who leads now: the driver by itself would look for that after five minutes."""
    try:
        return admin.watermarks(0) == (0, 1)
    except PartitionUnavailable:
        return False


def test_where_no_answer_comes_a_new_client_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "RENEW_SECONDS", 0.0)
    asked: list[AdminClient] = []

    def question(client: AdminClient, _: float) -> "Future[int]":
        answer: Future[int] = Future()
        if not asked:
            answer.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
        else:
            answer.set_result(7)
        asked.append(client)
        return answer

    assert RenewedAdmin({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}).ask(question, (1.0, 1.0)) == 7
    assert asked[0] is not asked[1]
