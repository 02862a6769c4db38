"""Three services, each alone, from the environment: PostgreSQL behind TLS, Kafka behind TLS and a password."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.support import Oracle, Worker
from chaos.tls import Authority, TlsPostgres, broker_settings
from chaos.traffic import flowing
from conftest import Installation
from integration.service import Reply
from program import Program, until
from whence.embedded.kafka.cluster import KafkaCluster

USER, PASSWORD = "whence", "not a secret"

NEW_EVENT = {"event_type": "purchase", "user_id": "somebody new", "item_id": "what they bought", "event_id": "new"}


class Rotation:
    """Requests go to the members in turn, as a load balancer sends them."""

    def __init__(self, members: list[Worker]) -> None:
        self._members = members
        self._turns = itertools.count()
        self._lock = threading.Lock()

    def ask(self, method: str, path: str, document: object = None) -> Reply:
        """One request."""
        with self._lock:
            member = self._members[next(self._turns) % len(self._members)]
        return member.ask(method, path, document)

    def replace(self, old: Worker, new: Worker) -> None:
        """Send no more to a member; send to another one from now on."""
        with self._lock:
            self._members[self._members.index(old)] = new


class SpreadOut:
    """An installation on stores that only those reach who trust the authority and know the password."""

    def __init__(self, installation: Installation, settings: dict[str, str], program: Program) -> None:
        self.installation = installation
        self.settings = settings
        self._program = program

    def migrate(self, **settings: str) -> tuple[int, str]:
        """`whence migrate`: its exit code and complaints."""
        done = self._program.run("migrate", **(self.installation.settings | self.settings | settings))
        return done.returncode, done.stderr

    def start(self, service: str) -> Worker:
        """A replica of a service, ready."""
        worker = Worker(self._program, self.installation, service, self.settings)
        worker.start()
        assert until(lambda: worker.is_ready() or not worker.is_running())
        assert worker.is_running(), worker.process.communicate()[1]
        return worker


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def guarded_kafka(
    authority: Authority, kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaCluster]:
    """A broker whose only door is TLS and a password."""
    extra = broker_settings(authority, USER, PASSWORD)
    cluster = KafkaCluster(tmp_path_factory.mktemp("kafka"), extra=extra, jars_home=kafka_jars)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop(at_once=True)


@pytest.fixture
def spread_out(
    installation: Installation, authority: Authority, guarded_kafka: KafkaCluster, program: Program
) -> Iterator[SpreadOut]:
    security = {
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "PLAIN",
        "sasl.username": USER,
        "sasl.password": PASSWORD,
        "ssl.ca.location": str(authority.certificate),
    }
    password = program.folder / "kafka password"
    password.write_text(f"{PASSWORD}\n")
    made = replace(installation, log_url=f"kafka://{guarded_kafka.bootstrap}", security=security)
    with TlsPostgres(installation.url, authority) as postgres:
        settings = {
            "WHENCE_DATABASE_URL": postgres.url_for(authority),
            "WHENCE_KAFKA_SECURITY_PROTOCOL": "sasl_ssl",
            "WHENCE_KAFKA_SASL_MECHANISM": "PLAIN",
            "WHENCE_KAFKA_SASL_USERNAME": USER,
            "WHENCE_KAFKA_SASL_PASSWORD_FILE": str(password),
            "WHENCE_KAFKA_SSL_CA_FILE": str(authority.certificate),
        }
        yield SpreadOut(made, settings, program)
        program.close()


def test_a_rolling_restart_of_every_replica_under_traffic_loses_and_doubles_nothing(spread_out: SpreadOut) -> None:
    assert spread_out.migrate() == (0, "")
    replicas = {service: [spread_out.start(service) for _ in range(2)] for service in ("ingest", "recommend")}
    aggregators = [spread_out.start("aggregate") for _ in range(2)]
    ingest, recommend = Rotation(replicas["ingest"]), Rotation(replicas["recommend"])
    with closing(Oracle(spread_out.installation)) as oracle:
        with flowing(ingest, oracle) as traffic:
            traffic.flow()
            for service, rotation in (("ingest", ingest), ("recommend", recommend)):
                for old in list(replicas[service]):
                    rotation.replace(old, spread_out.start(service))
                    old.stop()
                    traffic.flow(100)
            for old in aggregators:
                spread_out.start("aggregate")
                old.stop()
                traffic.flow(100)
        oracle.note(NEW_EVENT)
        answer_is_as_fresh_as_asked(ingest, recommend)
        oracle.wait_until_drained()
        oracle.check()


def test_who_trusts_another_authority_or_does_not_know_the_password_is_told(
    spread_out: SpreadOut, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "theirs")
    database = spread_out.settings["WHENCE_DATABASE_URL"]
    code, said = spread_out.migrate(
        WHENCE_DATABASE_URL=database.rpartition("sslrootcert=")[0] + f"sslrootcert={stranger.certificate}"
    )
    assert (code, "certificate verify failed" in said) == (3, True)
    code, said = spread_out.migrate(WHENCE_KAFKA_SSL_CA_FILE=str(stranger.certificate))
    assert (code, "certificate verify failed" in said) == (3, True)
    (tmp_path / "wrong").write_text("a guess")
    code, said = spread_out.migrate(WHENCE_KAFKA_SASL_PASSWORD_FILE=str(tmp_path / "wrong"))
    assert (code, "Authentication failed" in said) == (3, True)


def answer_is_as_fresh_as_asked(ingest: Rotation, recommend: Rotation) -> None:
    """What was just accepted anywhere is in the answer of any replica that is shown the token."""
    token = ingest.ask("POST", "/v1/events", NEW_EVENT).json()["token"]
    found: list[dict[str, object]] = []

    def fresh() -> bool:
        reply = recommend.ask("GET", f"/v1/users/somebody%20new/recommendations?after={token}")
        found[:] = reply.json()["items"]
        return reply.json()["degraded"] is None

    assert until(fresh)
    assert NEW_EVENT["item_id"] in [item["item_id"] for item in found]
