"""Where an installation's event log lies: read from the settings, without importing any client."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from whence.domain.errors import FieldProblem, InvalidInput
from whence.kit.settings import Settings

_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_BROKER = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """Tables in a PostgreSQL.

    Attributes:
        url: Of the server and its database.
        namespace: The schema.
        partitions: How many the log gets when it is made.
    """

    url: str
    namespace: str
    partitions: int = 16


@dataclass(frozen=True, slots=True)
class KafkaPlace:
    """A topic in a Kafka cluster.

    Attributes:
        bootstrap: `host:port[,host:port…]`.
        topic: Its name.
        group: The consumer group under which positions are advertised to lag tools.
        security: The client's own settings for TLS and SASL.
        partitions, replication: What the topic gets when it is made.
    """

    bootstrap: str
    topic: str
    group: str
    security: Mapping[str, str] = field(default_factory=dict)
    partitions: int = 16
    replication: int = 1


LogPlace = PostgresPlace | KafkaPlace


def log_place(settings: Settings) -> LogPlace:
    """The log of these settings; the scores' database holds it unless a setting says otherwise.

    Raises:
        InvalidInput: If the log's URL is of no known form.
    """
    url = settings.log_url or settings.database_url
    if not url.startswith("kafka://"):
        return PostgresPlace(url, settings.namespace, settings.log_partitions)
    return parse_kafka_url(
        url,
        settings.namespace,
        security=kafka_security(settings),
        partitions=settings.kafka_partitions,
        replication=settings.kafka_replication,
    )


def parse_kafka_url(
    url: str, namespace: str, security: Mapping[str, str] | None = None, partitions: int = 16, replication: int = 1
) -> KafkaPlace:
    """The place that `kafka://host:port[,host:port…][/topic]` names; the topic is `<namespace>.events` if not named.

    Raises:
        InvalidInput: If the URL is not of that form.
    """
    brokers, _, topic = url.removeprefix("kafka://").partition("/")
    topic = topic or f"{namespace}.events"
    if not all(_BROKER.fullmatch(broker) for broker in brokers.split(",")):
        raise InvalidInput([FieldProblem("WHENCE_LOG_URL", "must be kafka://host:port[,host:port…]/topic")])
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise InvalidInput([FieldProblem("WHENCE_LOG_URL", f"{topic!r} is no topic name: letters, digits, . _ -", 249)])
    return KafkaPlace(brokers, topic, namespace, security or {}, partitions, replication)


def kafka_security(settings: Settings) -> dict[str, str]:
    """The client's settings for TLS and SASL: Kafka's own words, only those that were given."""
    given = {
        "security.protocol": settings.kafka_security_protocol,
        "sasl.mechanism": settings.kafka_sasl_mechanism,
        "sasl.username": settings.kafka_sasl_username,
        "sasl.password": settings.kafka_sasl_password.get_secret_value(),
        "ssl.ca.location": settings.kafka_ssl_ca_file,
    }
    return {name: value for name, value in given.items() if value}
