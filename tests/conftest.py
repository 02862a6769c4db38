"""Fixtures for all tiers: a real PostgreSQL, and a fresh installation in it for each test that asks for one."""

import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

from program import Program
from skips import SkipCounter
from whence.embedded.kafka.cluster import KafkaCluster
from whence.embedded.kafka.jars import bring_jars, missing_programs
from whence.embedded.postgres import EmbeddedPostgres
from whence.eventlog.adapters import prepare
from whence.eventlog.places import LogPlace, PostgresPlace, parse_kafka_url
from whence.kit.database import connect
from whence.kit.migrate import migrate

PARTITIONS = 16

# Threads only hinder each other on the small systems of a fit; commands that fit set the same.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# No time limit for an example: a slow, loaded machine is no failure. `make fuzz` tries many more.
settings.register_profile("usual", deadline=None)
settings.register_profile("fuzz", deadline=None, max_examples=5_000)
settings.load_profile("fuzz" if os.environ.get("WHENCE_FUZZ") else "usual")

KAFKA_HOME = Path(__file__).resolve().parents[1] / ".kafka"
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    """End every run with a line that says what was skipped."""
    config.pluginmanager.register(SkipCounter(), "skips")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `needs_data("file", …)` where a file is absent."""
    for marker in item.iter_markers("needs_data"):
        if missing := [name for name in marker.args if not (SHARED_DATA / name).is_file()]:
            pytest.skip(f"needs {', '.join(missing)} in ../shared/data")


@dataclass(frozen=True, slots=True)
class Installation:
    """A migrated schema of its own in a real PostgreSQL, with an empty event log of `PARTITIONS`.

    Attributes:
        url: The database.
        namespace: The schema.
        log_url: Of a Kafka that has the log; the database has it if empty.
        replication: Of the topic.
        security: The client's own settings for TLS and SASL.
    """

    url: str
    namespace: str
    log_url: str = ""
    replication: int = 1
    security: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> LogPlace:
        """Where its event log lies."""
        if not self.log_url:
            return PostgresPlace(self.url, self.namespace, PARTITIONS)
        return parse_kafka_url(self.log_url, self.namespace, self.security, PARTITIONS, self.replication)

    @property
    def settings(self) -> dict[str, str]:
        """The environment of its services."""
        stores = {"WHENCE_DATABASE_URL": self.url, "WHENCE_LOG_URL": self.log_url}
        return {"WHENCE_NAMESPACE": self.namespace} | {name: url for name, url in stores.items() if url}

    def on_kafka(self, cluster: KafkaCluster, replication: int = 1) -> "Installation":
        """The same scores with an empty log in a topic of its own."""
        made = replace(self, log_url=f"kafka://{cluster.bootstrap}", replication=replication)
        prepare(made.log)
        return made

    def connect(self) -> psycopg.Connection:
        """An autocommitting connection that sees the installation's tables."""
        return connect(self.url, self.namespace, "test")


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL: the one of TEST_DATABASE_URL, else an embedded one for this run."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """The `whence` program in an empty folder of its own, with a space; whatever it starts is stopped afterwards."""
    folder = tmp_path / "a shop"
    folder.mkdir()
    program = Program(folder)
    try:
        yield program
    finally:
        program.close()


@pytest.fixture
def installation(postgres_url: str) -> Iterator[Installation]:
    """An installation that no other test sees, dropped afterwards."""
    namespace = f"test_{uuid.uuid4().hex[:12]}"
    migrate(postgres_url, namespace, ["scores"])
    made = Installation(postgres_url, namespace)
    prepare(made.log)
    yield made
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {namespace} CASCADE".encode())


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """Where Kafka's jars are: brought once into the checkout, as `make kafka` does."""
    if missing := missing_programs():
        pytest.skip(f"needs {' and '.join(missing)} for a real Kafka (`make system-deps` brings them)")
    bring_jars(KAFKA_HOME)
    return KAFKA_HOME


@pytest.fixture(scope="session")
def kafka(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """A real Kafka broker for the whole run."""
    yield from _cluster(kafka_jars, tmp_path_factory.mktemp("kafka"))


@pytest.fixture
def kafka_of_its_own(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """A broker that a test may stop and kill."""
    yield from _cluster(kafka_jars, tmp_path_factory.mktemp("kafka"))


@pytest.fixture
def three_brokers(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """A cluster whose brokers a test may stop and kill, for topics with replication 3."""
    yield from _cluster(kafka_jars, tmp_path_factory.mktemp("kafka"), 3)


def _cluster(jars: Path, home: Path, brokers: int = 1) -> Iterator[KafkaCluster]:
    cluster = KafkaCluster(home, brokers, jars_home=jars)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop(at_once=True)
