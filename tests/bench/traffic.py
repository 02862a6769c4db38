"""Skewed traffic: few users and items make most of the events, as in a shop."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import confluent_kafka
import msgspec
import numpy as np
import numpy.typing as npt

from whence.domain.events import LoggedEvent
from whence.domain.partition import partition_of
from whence.eventlog.places import KafkaPlace

USER_SKEW, ITEM_SKEW = 0.8, 1.0
"""Exponents of Zipf's law; a stronger skew would fold more events into one row."""

TYPES = ("view", "click", "cart", "purchase", "dismiss")
TYPE_SHARES = (0.78, 0.12, 0.05, 0.04, 0.01)

REPEATED_SHARE = 0.03
"""Events sent twice: retries of clients."""

DEAD_SHARE = 0.001
"""Records that can never be applied: far below what stops a partition."""

REPEAT_DISTANCE = 2_000
"""A repeat follows its first copy within so many records."""

QUEUE_FULL_WAIT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Traffic:
    """How much traffic, of how many users and items, from which seed, and how much of it can never be applied."""

    events: int
    users: int = 100_000
    items: int = 50_000
    seed: int = 1
    dead_share: float = DEAD_SHARE

    def values(self) -> Iterator[LoggedEvent]:
        """The events as ingest logs them; dead ones have an unknown type."""
        random = np.random.default_rng(self.seed)
        users = skewed(random, self.events, self.users, USER_SKEW).tolist()
        items = skewed(random, self.events, self.items, ITEM_SKEW).tolist()
        types = random.choice(np.array(TYPES), self.events, p=TYPE_SHARES)
        types[random.random(self.events) < self.dead_share] = "wink"
        ids = random.bytes(16 * self.events)
        now = datetime.now(UTC)
        ages = (random.random(self.events) * 3_600).tolist()
        for place, (user, item, kind, age) in enumerate(zip(users, items, types.tolist(), ages, strict=True)):
            yield LoggedEvent(
                event_type=kind,
                item_id=f"item-{item}",
                event_id=str(uuid.UUID(bytes=ids[16 * place : 16 * place + 16])),
                user_id=f"customer-{user}",
                occurred_at=now - timedelta(seconds=age),
                received_at=now,
            )

    def as_sent(self) -> Iterator[LoggedEvent]:
        """The events as clients send them to ingest; none is dead."""
        for event in replace(self, dead_share=0.0).values():
            yield msgspec.structs.replace(event, received_at=None)

    def bodies(self) -> Iterator[bytes]:
        """These events, one JSON document each."""
        return map(msgspec.json.Encoder().encode, self.as_sent())

    def with_repeats(self) -> Iterator[LoggedEvent]:
        """The events, and some of them a second time a little later."""
        random = np.random.default_rng(self.seed + 1)
        again = (random.random(self.events) < REPEATED_SHARE).tolist()
        waiting: list[LoggedEvent] = []
        for event, repeat in zip(self.values(), again, strict=True):
            yield event
            if repeat:
                waiting.append(event)
            if len(waiting) > REPEAT_DISTANCE * REPEATED_SHARE:
                yield waiting.pop(0)
        yield from waiting


def skewed(random: np.random.Generator, count: int, kinds: int, skew: float) -> npt.NDArray[np.int64]:
    """*count* numbers below *kinds* by Zipf's law; which ones are frequent is the same in every call."""
    shares, by_rank = _law(kinds, skew)
    drawn: npt.NDArray[np.int64] = by_rank[np.searchsorted(shares, random.random(count))]
    return drawn


@lru_cache(maxsize=8)
def _law(kinds: int, skew: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Zipf's law, summed up by rank, and the number that has each rank: spread over the range."""
    shares = np.cumsum(np.arange(1, kinds + 1, dtype=np.float64) ** -skew)
    return shares / shares[-1], np.random.default_rng(kinds).permutation(kinds)


def fill(place: KafkaPlace, events: Iterator[LoggedEvent]) -> Sequence[int]:
    """Write events to a topic as fast as it takes them; how many lie in each partition."""
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": place.bootstrap, "enable.idempotence": True, "linger.ms": 20, "log_level": 2}
    )
    partition = lru_cache(maxsize=1_000_000)(partition_of)
    encode = msgspec.json.Encoder().encode
    written = [0] * place.partitions
    for event in events:
        key = event.subject.encode()
        number = partition(key, place.partitions)
        while True:
            try:
                producer.produce(place.topic, encode(event), key, number)
                break
            except BufferError:
                producer.poll(QUEUE_FULL_WAIT_SECONDS)
        written[number] += 1
    assert producer.flush(60) == 0, "Kafka did not take the events"
    return written
