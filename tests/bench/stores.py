"""What the benchmarks run on: a real PostgreSQL and a real Kafka, made for one run and deleted after it."""

import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql

from bench.processes import cpu_seconds, tree
from bench.report import say
from whence.embedded.kafka.cluster import KafkaCluster
from whence.embedded.kafka.jars import bring_jars
from whence.embedded.postgres import EmbeddedPostgres
from whence.eventlog.adapters import prepare
from whence.eventlog.places import KafkaPlace
from whence.kit.database import connect
from whence.kit.migrate import migrate

KAFKA_HOME = Path(__file__).resolve().parents[2] / ".kafka"
"""Where `make kafka` keeps Kafka's jars."""


@dataclass(frozen=True, slots=True)
class Installation:
    """An empty installation: scores in the PostgreSQL, its event log a topic of its own in the Kafka."""

    database_url: str
    namespace: str
    log: KafkaPlace

    def connect(self) -> psycopg.Connection:
        """An autocommitting connection that sees the installation's tables."""
        return connect(self.database_url, self.namespace, "bench")

    def settings(self) -> dict[str, str]:
        """The environment that makes a service part of it."""
        return {
            "WHENCE_DATABASE_URL": self.database_url,
            "WHENCE_NAMESPACE": self.namespace,
            "WHENCE_LOG_URL": f"kafka://{self.log.bootstrap}/{self.log.topic}",
        }


class Cpu(NamedTuple):
    """CPU seconds by who used them."""

    client: float
    database: float

    def __sub__(self, before: "Cpu") -> "Cpu":
        """What was used since."""
        return Cpu(self.client - before.client, self.database - before.database)

    def __add__(self, more: object) -> "Cpu":
        """Both together."""
        assert isinstance(more, Cpu)
        return Cpu(self.client + more.client, self.database + more.database)


@dataclass(frozen=True, slots=True)
class Stores:
    """A running PostgreSQL and Kafka."""

    database_url: str
    database_pid: int
    kafka: str

    def install(self, partitions: int = 16) -> Installation:
        """A new installation."""
        namespace = f"bench_{uuid.uuid4().hex[:8]}"
        migrate(self.database_url, namespace, ["scores"])
        place = KafkaPlace(self.kafka, f"{namespace}.events", namespace, partitions=partitions)
        prepare(place)
        return Installation(self.database_url, namespace, place)

    def cpu_seconds(self) -> "Cpu":
        """CPU used so far by this process and by PostgreSQL, all its processes together."""
        return Cpu(time.process_time(), cpu_seconds(tree(self.database_pid)))


BUFFERS = "1GB"
"""Of a PostgreSQL that has a machine to itself; the embedded one shares a laptop."""


def _with_room(server: EmbeddedPostgres) -> str:
    """Start a server with buffers for large tables; its URL."""
    with psycopg.connect(server.start(), autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER SYSTEM SET shared_buffers = {}").format(BUFFERS))
    server.stop()
    return server.start()


@contextmanager
def own_postgres() -> Iterator[str]:
    """An embedded PostgreSQL as users have it, running; its URL."""
    with tempfile.TemporaryDirectory(prefix="whence-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            yield server.start()
        finally:
            server.remove()


@contextmanager
def stores() -> Iterator[Stores]:
    """Both stores, running."""
    say("starting PostgreSQL and Kafka")
    bring_jars(KAFKA_HOME)
    with tempfile.TemporaryDirectory(prefix="whence-bench-") as folder:
        cluster = KafkaCluster(Path(folder) / "kafka", jars_home=KAFKA_HOME)
        server = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            url = _with_room(server)
            assert server.pid is not None
            yield Stores(url, server.pid, cluster.start())
        finally:
            cluster.stop(at_once=True)
            server.remove()
