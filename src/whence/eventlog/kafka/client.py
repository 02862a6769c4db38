"""Where the topic is, how the client connects, and the seam that turns its errors into our families."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException

from whence.domain.errors import DependencyUnavailable, FieldProblem, InvalidInput

REQUEST_TIMEOUT_SECONDS = 5.0
"""An administrator's request that takes longer counts as unanswered."""

_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_BROKER = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")

DriverSettings = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class KafkaPlace:
    """A topic in a Kafka cluster.

    Attributes:
        bootstrap: `host:port[,host:port…]`.
        topic: Its name.
        security: The driver's own settings for TLS and SASL.
    """

    bootstrap: str
    topic: str
    security: Mapping[str, str]


def parse_kafka_url(url: str, namespace: str, security: Mapping[str, str]) -> KafkaPlace:
    """The place that `kafka://host:port[,host:port…][/topic]` names; the topic is `<namespace>.events` if not named.

    Raises:
        InvalidInput: If the URL is not of that form.
    """
    brokers, _, topic = url.removeprefix("kafka://").partition("/")
    topic = topic or f"{namespace}.events"
    if not url.startswith("kafka://") or not all(_BROKER.fullmatch(broker) for broker in brokers.split(",")):
        raise InvalidInput([FieldProblem("WHENCE_LOG_URL", "must be kafka://host:port[,host:port…]/topic")])
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise InvalidInput([FieldProblem("WHENCE_LOG_URL", f"{topic!r} is no topic name: letters, digits, . _ -", 249)])
    return KafkaPlace(brokers, topic, dict(security))


def client_settings(place: KafkaPlace, application: str) -> DriverSettings:
    """The driver settings that every client of ours shares."""
    return {
        "bootstrap.servers": place.bootstrap,
        "client.id": f"whence-{application}",
        "socket.keepalive.enable": True,
        "socket.timeout.ms": 10_000,
        "reconnect.backoff.ms": 50,
        # A broker that was away is tried again at least this often.
        "reconnect.backoff.max.ms": 1_000,
        # Connection troubles are told by us, once; the driver would write each attempt to stderr.
        "log_level": 2,
        **place.security,
    }


@contextmanager
def kafka_errors() -> Iterator[None]:
    """Turn the driver's errors into `DependencyUnavailable`."""
    try:
        yield
    except KafkaException as error:
        raise unavailable(error.args[0] if error.args else error) from error


def unavailable(error: object) -> DependencyUnavailable:
    """The error of our family for one of the driver's."""
    detail = error.str() or error.name() if isinstance(error, KafkaError) else str(error)
    return DependencyUnavailable("kafka", f"Kafka does not serve us: {detail}")
