"""The embedded stores of a state folder: started in order, watched, stopped in the opposite order."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol
from urllib.parse import urlsplit

from whence.domain.errors import FieldProblem, InvalidInput
from whence.embedded.kafka.server import EmbeddedKafka
from whence.embedded.postgres import DATABASE, EmbeddedPostgres
from whence.embedded.processes import birth
from whence.embedded.state import Part, StateFolder
from whence.kit.clock import utc_text
from whence.kit.settings import Settings

EmbeddedLog = Literal["postgresql", "kafka"]
"""Which store keeps the event log where no setting names one."""

KAFKA_DATABASE = "whence_kafka"
"""The database of the scores that come from the embedded Kafka: scores belong to one log, so the embedded PostgreSQL
keeps those of its own log apart."""

_OTHER_BROKERS = (
    "kafka_security_protocol",
    "kafka_sasl_mechanism",
    "kafka_sasl_username",
    "kafka_sasl_password",
    "kafka_ssl_ca_file",
    "kafka_replication",
)
"""Settings that speak of brokers that are not ours."""


class Server(Protocol):
    """An embedded server."""

    @property
    def pid(self) -> int | None:
        """Its process while it runs."""

    def start(self) -> str:
        """Start it unless it runs; where clients find it, the same every time."""

    def stop(self) -> None:
        """Stop it and wait."""


@dataclass(slots=True)
class _Store:
    name: str
    server: Server
    part: Part | None = None

    def start(self) -> str:
        """Start the server and note what runs; its URL."""
        url = self.server.start()
        pid = self.server.pid or 0
        since = utc_text(datetime.now(UTC), "seconds")
        self.part = Part(self.name, pid, birth(pid) or 0, urlsplit(url).port, url, since)
        return url


class Stores:
    """Those stores that no setting replaces."""

    def __init__(self, state: StateFolder, log: EmbeddedLog) -> None:
        self._state = state
        self._log = log
        self._stores: list[_Store] = []

    @property
    def parts(self) -> list[Part]:
        """What runs."""
        return [store.part for store in self._stores if store.part is not None]

    def start(self, settings: Settings, started: Callable[[Part], None]) -> Settings:
        """Start the stores and tell of each; the settings with their URLs.

        Raises:
            InvalidInput: If the state folder cannot be used, or a setting names another kind of log than was asked for.
            DependencyUnavailable: If one does not come up.
        """
        embed_kafka = self._log == "kafka" and not settings.log_url.startswith("kafka://")
        if embed_kafka and settings.log_url:
            problem = "WHENCE_LOG_URL names a log in PostgreSQL; unset it to have an embedded Kafka"
            raise InvalidInput([FieldProblem("--log", problem)])
        broker = EmbeddedKafka(self._state.kafka)
        if embed_kafka:
            broker.bring()  # first of all: it may be impossible, or take a while
        if not settings.database_url:
            database = KAFKA_DATABASE if embed_kafka else DATABASE
            server = EmbeddedPostgres(self._state.postgres, self._state.log("postgresql"), database)
            settings = settings.model_copy(update={"database_url": self._start("postgresql", server, started)})
        if embed_kafka:
            url = self._start("kafka", broker, started)
            settings = on_embedded_kafka(settings, f"{url}/{settings.namespace}.events")
        return settings

    def tend(self, report: Callable[[str], None]) -> bool:
        """Start again what has ended; whether something had."""
        ended = [store for store in self._stores if store.server.pid is None]
        for store in ended:
            report(f"{store.name} has ended; starting it again")
            store.start()
        return bool(ended)

    def stop(self) -> None:
        """Stop the stores, the last one first."""
        for store in reversed(self._stores):
            store.server.stop()

    def _start(self, name: str, server: Server, started: Callable[[Part], None]) -> str:
        store = _Store(name, server)
        self._stores.append(store)
        url = store.start()
        if store.part is not None:
            started(store.part)
        return url


def on_embedded_kafka(settings: Settings, log_url: str) -> Settings:
    """The settings for a log in the embedded broker: a single one, spoken to plainly, whatever they say of others."""
    plain = {name: Settings.model_fields[name].default for name in _OTHER_BROKERS}
    return settings.model_copy(update={"log_url": log_url, **plain})


def stop_stores(state: StateFolder) -> None:
    """Stop whatever stores run from a state folder, whoever started them."""
    EmbeddedKafka(state.kafka).stop()
    EmbeddedPostgres(state.postgres).stop()


def remove_stores(state: StateFolder) -> None:
    """Stop the stores of a state folder and delete their data."""
    EmbeddedKafka(state.kafka).remove()
    EmbeddedPostgres(state.postgres).remove()
