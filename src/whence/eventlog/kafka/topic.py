"""The topic: made with explicit settings, checked at start, told from a topic made anew by its id."""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec, ResourceType

from whence.domain.errors import (
    BrokenInvariant,
    DependencyUnavailable,
    FieldProblem,
    InvalidInput,
    LogDamaged,
    PartitionUnavailable,
)
from whence.eventlog.kafka.client import REQUEST_TIMEOUT_SECONDS, client_settings, kafka_errors, told, unavailable
from whence.eventlog.places import KafkaPlace
from whence.eventlog.port import Watermarks

REQUIRED_CONFIG: Mapping[str, str] = {
    # The log is the truth from which scores are rebuilt: nothing leaves it by itself.
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    # The dedupe window is measured in the broker's append time.
    "message.timestamp.type": "LogAppendTime",
}

EXACTNESS_CONFIG = frozenset({"cleanup.policy", "message.timestamp.type"})
"""Settings without which the books would not balance. Where an operator limits retention, that is a warning: reconcile
and rebuild can then speak from that time on."""

MAX_PARTITIONS = 256
"""As for every log: one position row and one lease for each."""

SETTLING_ATTEMPTS = 20
SETTLING_PAUSE_SECONDS = 0.1
"""While a topic is being made or a leader moves, a request is repeated for two seconds."""

_SETTLING = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError._NOENT,  # the driver's word for a partition without a leader
)
_MISSING = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What identifies a topic: a topic made anew under the same name has another log id."""

    log_id: str
    partitions: int


class TopicAdmin:
    """Questions to the cluster about our topic. Thread-safe."""

    def __init__(self, place: KafkaPlace, application: str) -> None:
        self._place = place
        # Of an unreachable cluster requests say only that they got no answer; this says why.
        self._troubles: deque[KafkaError] = deque(maxlen=1)
        callbacks: dict[str, Any] = {"error_cb": self._note}
        self._client = AdminClient(client_settings(place, f"{application}-admin") | callbacks)

    def facts(self, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS) -> TopicFacts:
        """The topic's identity now.

        Raises:
            LogDamaged: If there is no such topic.
            DependencyUnavailable: If the cluster does not answer.
        """
        topic = self._place.topic
        asked = self._client.describe_topics(TopicCollection([topic]), request_timeout=timeout_seconds)
        try:
            found = asked[topic].result()
        except KafkaException as error:
            if error.args[0].code() in _MISSING:
                raise LogDamaged(f"Kafka has no topic {topic}: create it with `whence migrate`") from error
            raise unavailable(error.args[0], self._trouble()) from error
        return TopicFacts(log_id_of(str(found.topic_id)), len(found.partitions))

    def exists(self) -> bool:
        """Whether there is such a topic."""
        try:
            self.facts()
        except LogDamaged:
            return False
        return True

    def watermarks(self, partition: int) -> Watermarks:
        """The offsets that the partition can give now, asked from its leader.

        Raises:
            PartitionUnavailable: If it has none, or that does not answer.
        """
        place = TopicPartition(self._place.topic, partition)
        try:
            return Watermarks(self._offset(place, OffsetSpec.earliest()), self._offset(place, OffsetSpec.latest()))
        except DependencyUnavailable as error:
            raise PartitionUnavailable("kafka", f"partition {partition}: {error}") from error

    def _offset(self, place: TopicPartition, wanted: OffsetSpec) -> int:
        found = self._settled(
            lambda: self._client.list_offsets({place: wanted}, request_timeout=REQUEST_TIMEOUT_SECONDS)[place]
        )
        if found.offset < 0:  # seen while a leader changes: no error, and no offset
            raise unavailable("its leader names no offset", self._trouble())
        return int(found.offset)

    def create(self, partitions: int, replication: int) -> bool:
        """Make the topic with our settings; False where it exists.

        Raises:
            InvalidInput: If the cluster refuses the number of partitions or replicas.
            DependencyUnavailable: If the cluster does not answer.
        """
        config = {**REQUIRED_CONFIG, "min.insync.replicas": str(max(1, replication - 1))}
        topic = NewTopic(self._place.topic, num_partitions=partitions, replication_factor=replication, config=config)
        asked = self._client.create_topics([topic], request_timeout=3 * REQUEST_TIMEOUT_SECONDS)
        try:
            asked[self._place.topic].result()
        except KafkaException as error:
            return self._not_created(error)
        return True

    def _not_created(self, error: KafkaException) -> bool:
        cause = error.args[0]
        if cause.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        if cause.code() in (KafkaError.INVALID_REPLICATION_FACTOR, KafkaError.INVALID_PARTITIONS):
            raise InvalidInput(
                [FieldProblem("WHENCE_KAFKA_REPLICATION", f"the cluster refuses: {cause.str()}")]
            ) from error
        detail = told(cause, self._trouble())
        raise DependencyUnavailable("kafka", f"Kafka does not make the topic: {detail}") from error

    def config_problems(self) -> list[FieldProblem]:
        """What is not as we need it in the topic's settings; the ones that would break exactness come first."""
        resource = ConfigResource(ResourceType.TOPIC, self._place.topic)
        entries = self._settled(
            lambda: self._client.describe_configs([resource], request_timeout=REQUEST_TIMEOUT_SECONDS)[resource]
        )
        found = {name: entry.value for name, entry in entries.items()}
        return [
            FieldProblem(name, f"topic {self._place.topic} has {name}={found.get(name)}; set it to {wanted}")
            for name, wanted in REQUIRED_CONFIG.items()
            if found.get(name) != wanted
        ]

    def _settled(self, ask: Callable[[], "Future[Any]"]) -> Any:
        """The answer to a request, asked again while a new topic or a partition's leader is being settled.

        The driver keeps asking with the leader that it remembers, and refreshes that by itself only every few minutes.
        Asking for all topics refreshes it at once; to ask for one by name would make it, where brokers do that.
        """
        for attempt in range(SETTLING_ATTEMPTS):
            try:
                return ask().result()
            except KafkaException as error:
                cause = error.args[0]
                if attempt + 1 == SETTLING_ATTEMPTS or cause.code() not in _SETTLING:
                    raise unavailable(cause, self._trouble()) from error
            time.sleep(SETTLING_PAUSE_SECONDS)
            with kafka_errors():
                self._client.list_topics(timeout=REQUEST_TIMEOUT_SECONDS)
        raise BrokenInvariant("the loop returns or raises")

    def _trouble(self) -> str:
        """What the driver met last on its way to the brokers, told once; "" if nothing."""
        self._client.poll(0)
        return self._troubles.pop().str() if self._troubles else ""

    def _note(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._troubles.append(error)


def prepare_topic(place: KafkaPlace) -> list[str]:
    """Make the topic if there is none and check its settings; what was done or should be, one line each.

    Raises:
        DependencyUnavailable: If the cluster does not answer.
        InvalidInput: If the cluster refuses it, or a setting of a topic that others made would break exactness.
    """
    admin = TopicAdmin(place, "migrate")
    # Asked first: whoever may use a topic that others made need not be allowed to make one.
    made = not admin.exists() and admin.create(place.partitions, place.replication)
    problems = admin.config_problems()
    if fatal := [problem for problem in problems if problem.field in EXACTNESS_CONFIG]:
        raise InvalidInput(fatal)
    done = [f"topic {place.topic} made with {place.partitions} partitions"] if made else []
    return done + [f"warning: {problem.problem}" for problem in problems]


def missing_topic(place: KafkaPlace) -> list[str]:
    """What `prepare_topic` would do now."""
    return [] if TopicAdmin(place, "migrate").exists() else [f"topic {place.topic} to be made"]


def log_id_of(topic_id: str) -> str:
    """Eight hex digits for a topic id."""
    return hashlib.blake2b(topic_id.encode(), digest_size=4).hexdigest()
