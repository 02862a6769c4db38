"""Real services on a real Kafka that is killed, frozen and robbed: every accepted event counts exactly once."""

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from confluent_kafka import OFFSET_END, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from chaos.support import BROKEN, SEED, Oracle, Worker, expire_leases, of_partition
from chaos.traffic import Traffic, flowing
from conftest import PARTITIONS, Installation
from integration.eventlog.proxy import AnswerCuttingProxy
from integration.service import serving
from program import PATIENCE_SECONDS, Program, until
from whence.domain.partition import partition_of
from whence.embedded.kafka.broker import signal_node
from whence.embedded.kafka.cluster import KafkaCluster
from whence.eventlog.adapters import prepare
from whence.eventlog.places import KafkaPlace
from whence.eventlog.port import NewRecord

FAILPOINTS = (
    "aggregate.before_begin",
    "aggregate.after_position",
    "aggregate.after_signals",
    "aggregate.after_segment",
    "aggregate.before_commit",
    "aggregate.after_commit",
)

LOST_COMMITS = 5

STORM_ROUNDS = 12


@pytest.fixture
def on_kafka(installation: Installation, kafka: KafkaCluster) -> Installation:
    """An installation whose log is a topic in the broker that all tests share."""
    return installation.on_kafka(kafka)


@pytest.fixture
def oracle(on_kafka: Installation) -> Iterator[Oracle]:
    with closing(Oracle(on_kafka)) as one:
        yield one


@pytest.fixture
def under_traffic(
    installation: Installation, program: Program
) -> Iterator[Callable[[KafkaCluster, int], tuple[Oracle, Traffic]]]:
    """Starts ingest, aggregate and a client on a cluster."""
    with ExitStack() as stack:

        def start(cluster: KafkaCluster, replication: int) -> tuple[Oracle, Traffic]:
            made = installation.on_kafka(cluster, replication)
            oracle = stack.enter_context(closing(Oracle(made)))
            ingest = stack.enter_context(serving("ingest", program.folder, **made.settings))
            worker = Worker(program, made)
            worker.start()
            stack.callback(lambda: print(f"halted: {worker.halted()}"))  # noqa: T201  # shown when the test fails
            return oracle, stack.enter_context(flowing(ingest, oracle))

        yield start


def test_kills_at_six_steps_of_the_transaction(oracle: Oracle, on_kafka: Installation, program: Program) -> None:
    for number, failpoint in enumerate(FAILPOINTS, start=1):
        oracle.append(200)
        worker = Worker(program, on_kafka)
        worker.start(f"{failpoint}:{1 + number % 3}")
        assert oracle.append_until(worker.is_killed)
        expire_leases(oracle.shop)
    worker.start()
    oracle.wait_until_drained()
    oracle.check()


def test_commits_whose_answers_are_lost_count_once(oracle: Oracle, on_kafka: Installation, program: Program) -> None:
    with AnswerCuttingProxy(on_kafka.url) as proxy:
        worker = Worker(program, on_kafka, settings={"WHENCE_DATABASE_URL": proxy.url})
        proxy.cut_commits_of(b"UPDATE partition_position", LOST_COMMITS)
        worker.start()
        assert oracle.append_until(lambda: not proxy.cuts_left)
        oracle.append(100)
        oracle.wait_until_drained()
        oracle.check()
        worker.stop()


def test_members_that_come_and_go_under_repeats_and_poison(
    oracle: Oracle, on_kafka: Installation, program: Program
) -> None:
    chance = random.Random(SEED)
    workers = [Worker(program, on_kafka) for _ in range(3)]
    for _ in range(STORM_ROUNDS):
        worker = chance.choice(workers)
        if not worker.is_running():
            worker.start()
        else:
            chance.choice((worker.kill, worker.stop))()
        oracle.append(chance.randrange(50, 300), repeats=chance.uniform(0, 0.5))
    for worker in workers:
        if worker.is_running():
            worker.kill()
    expire_leases(oracle.shop)
    workers[0].start()
    oracle.wait_until_drained()
    oracle.check()
    assert oracle.shop.books()[1] > 0  # duplicates


def test_a_partition_of_nothing_but_poison_halts_and_the_others_go_on(
    oracle: Oracle, on_kafka: Installation, program: Program
) -> None:
    poisoned = partition_of(b"u1", PARTITIONS)
    oracle.shop.append_records([NewRecord(poisoned, b"u1", BROKEN)] * 300)
    oracle.append(300)
    worker = Worker(program, on_kafka)
    worker.start()
    assert until(lambda: set(oracle.behind()) == {poisoned} == worker.halted())
    assert of_partition(oracle.shop.counts(), poisoned) == {}
    while oracle.behind():  # each restart is somebody who has looked at the letters
        worker.stop()
        worker.start()
        assert until(lambda: not oracle.behind() or worker.halted())
    oracle.wait_until_drained()
    oracle.check()


def test_unread_records_that_are_deleted_halt_their_partition_and_the_others_go_on(
    oracle: Oracle, on_kafka: Installation, program: Program, kafka: KafkaCluster
) -> None:
    robbed = partition_of(b"u1", PARTITIONS)
    worker = Worker(program, on_kafka)
    worker.start()
    oracle.append(300)
    oracle.wait_until_drained()
    worker.stop()
    counted = oracle.counts_of(robbed)
    oracle.append(300)
    assert oracle.behind()[robbed] > 1
    delete_unread(kafka, on_kafka, robbed)
    worker.start()
    assert until(lambda: set(oracle.behind()) == {robbed} == worker.halted())
    others = oracle.counts() - oracle.counts_of(robbed)
    assert oracle.shop.counts() == others + counted


def make_anew(cluster: KafkaCluster, installation: Installation) -> None:
    """Delete the topic and make it once more under the same name."""
    admin, topic = AdminClient({"bootstrap.servers": cluster.bootstrap}), topic_of(installation)
    admin.delete_topics([topic])[topic].result(PATIENCE_SECONDS)
    assert until(lambda: topic not in admin.list_topics(timeout=10).topics)
    prepare(installation.log)


def add_a_partition(cluster: KafkaCluster, installation: Installation) -> None:
    """Let the topic have one partition more."""
    admin, topic = AdminClient({"bootstrap.servers": cluster.bootstrap}), topic_of(installation)
    admin.create_partitions([NewPartitions(topic, PARTITIONS + 1)])[topic].result(PATIENCE_SECONDS)


@pytest.mark.parametrize("change", [make_anew, add_a_partition])
def test_a_topic_that_is_no_longer_the_one_we_know_halts_every_partition(
    change: Callable[[KafkaCluster, Installation], None],
    oracle: Oracle,
    on_kafka: Installation,
    program: Program,
    kafka: KafkaCluster,
) -> None:
    worker = Worker(program, on_kafka)
    worker.start()
    oracle.append(200)
    oracle.wait_until_drained()
    counted = oracle.counts()
    change(kafka, on_kafka)
    oracle.append(400)
    assert until(lambda: worker.halted() == set(range(PARTITIONS)))
    worker.stop()
    worker.start()
    assert worker.process.wait(PATIENCE_SECONDS) == 1
    assert "another log" in worker.process.communicate()[1]
    assert oracle.shop.counts() == counted


def test_a_broker_that_is_killed_and_freezes_loses_nothing(
    kafka_of_its_own: KafkaCluster, under_traffic: Callable[[KafkaCluster, int], tuple[Oracle, Traffic]]
) -> None:
    oracle, traffic = under_traffic(kafka_of_its_own, 1)
    (node,) = kafka_of_its_own.nodes
    traffic.flow()
    kafka_of_its_own.stop(at_once=True)
    traffic.dry_up()
    kafka_of_its_own.start()
    traffic.flow()
    signal_node(node, signal.SIGSTOP)
    traffic.dry_up()
    signal_node(node, signal.SIGCONT)
    traffic.flow()
    traffic.stop()
    oracle.wait_until_drained()
    oracle.check()


def test_each_of_three_brokers_may_be_killed_or_freeze_while_events_are_accepted(
    three_brokers: KafkaCluster, under_traffic: Callable[[KafkaCluster, int], tuple[Oracle, Traffic]]
) -> None:
    oracle, traffic = under_traffic(three_brokers, 3)
    traffic.flow()
    for node in three_brokers.nodes:
        signal_node(node, signal.SIGKILL)
        traffic.flow()
        wait_until_applied(oracle, 200)
        three_brokers.start_node(node)
        wait_for_replicas(three_brokers, oracle.shop.installation)
    frozen = random.Random(SEED).choice(three_brokers.nodes)
    signal_node(frozen, signal.SIGSTOP)
    traffic.flow()
    wait_until_applied(oracle, 200)
    signal_node(frozen, signal.SIGCONT)
    traffic.stop()
    wait_for_replicas(three_brokers, oracle.shop.installation)
    oracle.wait_until_drained()
    oracle.check()


def wait_until_applied(oracle: Oracle, more: int) -> None:
    """Wait until aggregate has applied so many more records, of any partition."""

    def applied() -> int:
        number: int = oracle.shop.value("SELECT sum(next_offset)::int FROM partition_position")
        return number

    wanted = applied() + more
    assert until(lambda: applied() >= wanted)


def topic_of(installation: Installation) -> str:
    """The topic that is an installation's log."""
    assert isinstance(installation.log, KafkaPlace)
    return installation.log.topic


def delete_unread(cluster: KafkaCluster, installation: Installation, partition: int) -> None:
    """Delete all records of a partition, as a retention that is too short does."""
    end = TopicPartition(topic_of(installation), partition, OFFSET_END)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.delete_records([end])[end].result(PATIENCE_SECONDS)


def wait_for_replicas(cluster: KafkaCluster, installation: Installation) -> None:
    """Wait until every partition has all of its replicas in sync."""
    admin, topic = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0}), topic_of(installation)

    def in_sync() -> bool:
        try:
            found = admin.describe_topics(TopicCollection([topic]), request_timeout=5)[topic].result(PATIENCE_SECONDS)
        except KafkaException:
            return False
        return all(len(partition.isr) == len(cluster.nodes) for partition in found.partitions)

    assert until(in_sync)
