"""How the client connects, and the seam that turns its errors into our families."""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from whence.domain.errors import DependencyUnavailable
from whence.eventlog.places import KafkaPlace

REQUEST_TIMEOUT_SECONDS = 5.0
"""An administrator's request that takes longer counts as unanswered."""

DriverSettings = dict[str, str | int | float | bool]


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


def unavailable(error: object, cause: str = "") -> DependencyUnavailable:
    """The error of our family for one of the driver's, with what has probably caused it."""
    return DependencyUnavailable("kafka", f"Kafka does not serve us: {told(error, cause)}")


def told(error: object, cause: str = "") -> str:
    """What an error of the driver says."""
    detail = error.str() or error.name() if isinstance(error, KafkaError) else str(error)
    return f"{detail} ({cause})" if cause else detail
