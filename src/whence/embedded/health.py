"""Whether the parts that run from a state folder do their work."""

from whence.domain.errors import DependencyUnavailable
from whence.embedded.processes import birth, listens
from whence.embedded.state import Part, StateFolder
from whence.kit.database import connect
from whence.kit.probe import PROBE_SECONDS, probe


def healthy_parts(state: StateFolder) -> list[tuple[Part, bool]]:
    """The parts of a running `whence up` and whether each answers now; none if nothing runs."""
    if state.holder() is None:
        return []
    return [(part, _is_healthy(part)) for part in state.parts()]


def _is_healthy(part: Part) -> bool:
    if birth(part.pid) != part.born:
        return False
    if part.port is not None and not listens(part.pid, part.port):
        return False
    if part.url.startswith("http"):
        return probe(f"{part.url}/readyz")
    if part.url.startswith("kafka://"):
        return _broker_answers(part.url.removeprefix("kafka://"))
    try:
        with connect(part.url, "public", "status") as connection:
            return connection.execute("SELECT 1").fetchone() is not None
    except DependencyUnavailable:
        return False


def _broker_answers(bootstrap: str) -> bool:
    """Whether the broker answers a request: its port would take connections from a process that hangs, too."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        return bool(
            AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=PROBE_SECONDS).brokers
        )
    except KafkaException:
        return False
