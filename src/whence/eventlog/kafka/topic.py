"""The topic: made with explicit settings, checked at start, told from a topic made anew by its id."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import ConfigResource, NewTopic, OffsetSpec, ResourceType

from whence.domain.errors import (
    BrokenInvariant,
    DependencyUnavailable,
    FieldProblem,
    InvalidInput,
    LogCutOff,
    PartitionUnavailable,
)
from whence.eventlog.kafka.admin import Question, RenewedAdmin
from whence.eventlog.kafka.client import REQUEST_TIMEOUT_SECONDS, client_settings, told, unavailable
from whence.eventlog.places import KafkaPlace
from whence.eventlog.port import Watermarks

REQUIRED_CONFIG: Mapping[str, str] = {
    # The log is the truth from which scores are rebuilt: nothing leaves it by itself.
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    # The dedupe window is measured in the broker's append time.
    "message.timestamp.type": "LogAppendTime",
    # Where a replica may lead that lacks acknowledged records, they vanish, and others take their offsets unnoticed.
    "unclean.leader.election.enable": "false",
}

EXACTNESS_CONFIG = frozenset({"cleanup.policy", "message.timestamp.type", "unclean.leader.election.enable"})
"""Settings without which the books would not balance. Where an operator limits retention, that is a warning: reconcile
and rebuild can then speak from that time on."""

MAX_PARTITIONS = 256
"""As for every log: one position row and one lease for each."""

IDENTITY_SECONDS = (1.5, 1.5, 1.5, 3.0)
"""How long the attempts to ask for the topic's identity may take before the cluster counts as silent. A broker that is
dead or frozen costs a service one or two of them, until a new client happens upon one that lives. All are above one
second: a new client now and then sees only then that its connection is there."""

OFFSETS_SECONDS = 2.0
"""How long a service waits for a partition's offsets: its other partitions wait with it."""

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

    def __init__(self, place: KafkaPlace, application: str, offsets_seconds: float = REQUEST_TIMEOUT_SECONDS) -> None:
        self._place = place
        self._offsets_seconds = offsets_seconds
        self._client = RenewedAdmin(client_settings(place, f"{application}-admin"))

    def facts(self) -> TopicFacts:
        """The topic's identity now.

        Raises:
            LogCutOff: If there is no such topic, as far as the broker knows that was asked.
            DependencyUnavailable: If the cluster does not answer.
        """
        topic = self._place.topic
        wanted = TopicCollection([topic])
        try:
            found = self._client.ask(
                lambda client, seconds: client.describe_topics(wanted, request_timeout=seconds)[topic],
                IDENTITY_SECONDS,
            )
        except KafkaException as error:
            raise self._missing_or_unavailable(error) from error
        return TopicFacts(log_id_of(str(found.topic_id)), len(found.partitions))

    def _missing_or_unavailable(self, error: KafkaException) -> LogCutOff | DependencyUnavailable:
        if error.args[0].code() in _MISSING:
            return LogCutOff(f"Kafka has no topic {self._place.topic}: create it with `whence migrate`")
        return unavailable(error.args[0], self._client.trouble())

    def exists(self) -> bool:
        """Whether there is such a topic."""
        try:
            self.facts()
        except LogCutOff:
            return False
        return True

    def watermarks(self, partition: int) -> Watermarks:
        """The offsets that the partition can give now, asked from its leader.

        Raises:
            LogCutOff: If there is no such topic, as far as the broker knows that was asked.
            PartitionUnavailable: If it has none, or that does not answer.
        """
        place = TopicPartition(self._place.topic, partition)
        try:
            return Watermarks(self._offset(place, OffsetSpec.earliest()), self._offset(place, OffsetSpec.latest()))
        except DependencyUnavailable as error:
            raise PartitionUnavailable("kafka", f"partition {partition}: {error}") from error

    def _offset(self, place: TopicPartition, wanted: OffsetSpec) -> int:
        found = self._settled(
            lambda client, seconds: client.list_offsets({place: wanted}, request_timeout=seconds)[place],
            self._offsets_seconds,
        )
        if found.offset < 0:  # seen while a leader changes or is frozen: no error, and no offset
            self._client.renew()
            raise unavailable("its leader names no offset", self._client.trouble())
        return int(found.offset)

    def create(self, partitions: int, replication: int) -> bool:
        """Make the topic with our settings; False where it exists.

        Raises:
            InvalidInput: If the cluster refuses the number of partitions or replicas.
            DependencyUnavailable: If the cluster does not answer.
        """
        config = {**REQUIRED_CONFIG, "min.insync.replicas": str(max(1, replication - 1))}
        topic = NewTopic(self._place.topic, num_partitions=partitions, replication_factor=replication, config=config)
        try:
            self._client.ask(
                lambda client, seconds: client.create_topics([topic], request_timeout=seconds)[topic.topic],
                [3 * REQUEST_TIMEOUT_SECONDS],
            )
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
        detail = told(cause, self._client.trouble())
        raise DependencyUnavailable("kafka", f"Kafka does not make the topic: {detail}") from error

    def config_problems(self) -> list[FieldProblem]:
        """What is not as we need it in the topic's settings; the ones that would break exactness come first."""
        resource = ConfigResource(ResourceType.TOPIC, self._place.topic)
        entries = self._settled(
            lambda client, seconds: client.describe_configs([resource], request_timeout=seconds)[resource],
            REQUEST_TIMEOUT_SECONDS,
        )
        found = {name: entry.value for name, entry in entries.items()}
        return [
            FieldProblem(name, f"topic {self._place.topic} has {name}={found.get(name)}; set it to {wanted}")
            for name, wanted in REQUIRED_CONFIG.items()
            if found.get(name) != wanted
        ]

    def _settled(self, question: Question, seconds: float) -> Any:
        """The answer to a question, asked again while a new topic or a partition's leader is being settled.

        The driver keeps asking with the leader that it remembers, and refreshes that by itself only every few minutes.
        """
        for attempt in range(SETTLING_ATTEMPTS):
            try:
                if attempt:
                    time.sleep(SETTLING_PAUSE_SECONDS)
                    self._client.refresh(seconds)
                return self._client.ask(question, [seconds])
            except KafkaException as error:
                if attempt + 1 == SETTLING_ATTEMPTS or error.args[0].code() not in _SETTLING:
                    if error.args[0].code() == KafkaError._NOENT:
                        self.facts()  # of a topic that is missing the driver says no more than that
                    raise self._missing_or_unavailable(error) from error
        raise BrokenInvariant("the loop returns or raises")


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
