"""What the database must hold after a log has been applied, worked out record by record without the product's fold."""

import json
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from simulation.catalog import EVENT_TYPES
from simulation.log import HOUR_US, MARKER_KEY, SimulatedLog
from whence.domain.decay import LANDMARK_SECONDS, RATE_PER_SECOND
from whence.domain.pairs import PAIR_UNITS, Touch, first_touches
from whence.eventlog.port import Record

WINDOW_HOURS = 24
RECENT_ITEMS_MAX = 64
AHEAD_US = 60_000_000
BUCKET_WIDTHS_S = (300, 3_600, 86_400)

Key = tuple[str, str, str]
Recents = list[tuple[str, int, int, bool]]


@dataclass
class Applied:
    """An event that counts."""

    user: str
    item: str
    event_type: str
    time_us: int
    offset: int


@dataclass
class Expected:
    """The right answer.

    Attributes:
        books: By partition: applied, duplicate, dead, absent.
        letters: Places of dead letters.
        events: In the order of each user's partition.
    """

    books: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)
    letters: set[tuple[int, int]] = field(default_factory=set)
    events: list[Applied] = field(default_factory=list)

    def counts(self) -> dict[Key, int]:
        """How often who did what."""
        return dict(Counter((one.user, one.item, one.event_type) for one in self.events))

    def log_sums(self) -> dict[Key, float]:
        """ln of the decayed sums."""
        logs: defaultdict[Key, list[float]] = defaultdict(list)
        for one in self.events:
            term = RATE_PER_SECOND * (one.time_us / 1e6 - LANDMARK_SECONDS)
            logs[one.user, one.item, one.event_type].append(term)
        return {key: max(terms) + math.log(sum(math.exp(t - max(terms)) for t in terms)) for key, terms in logs.items()}

    def recents(self) -> dict[str, Recents]:
        """Each user's items, newest first, with the newest touch and whether it was bought."""
        newest: dict[tuple[str, str], tuple[int, int]] = {}
        bought: set[tuple[str, str]] = set()
        for one in self._touching():
            pair = (one.user, one.item)
            newest[pair] = max(newest.get(pair, (-1, -1)), (one.time_us, one.offset))
            if one.event_type == "purchase":
                bought.add(pair)
        found: defaultdict[str, Recents] = defaultdict(list)
        for (user, item), place in sorted(newest.items(), key=lambda entry: entry[1], reverse=True):
            found[user].append((item, *place, (user, item) in bought))
        return {user: items[:RECENT_ITEMS_MAX] for user, items in found.items()}

    def pairs(self, items: dict[str, int]) -> Counter[tuple[int, int, int]]:
        """Units by (source, epoch, destination), from each user's whole history at once."""
        touches: defaultdict[str, list[Touch]] = defaultdict(list)
        seen: set[tuple[str, str]] = set()
        for one in self._touching():
            first = (one.user, one.item) not in seen
            seen.add((one.user, one.item))
            bought = one.event_type == "purchase"
            touches[one.user].append(Touch(items[one.item], one.time_us, one.offset, bought, first))
        units: Counter[tuple[int, int, int]] = Counter()
        for history in touches.values():
            for touch in first_touches([], history):
                for near, other in enumerate(touch.others, start=1):
                    units[touch.item, touch.epoch, other] += PAIR_UNITS // near
                    units[other, touch.epoch, touch.item] += PAIR_UNITS // near
        return units

    def buckets(self, items: dict[str, int]) -> dict[tuple[int, int, int], int]:
        """Trend counts by (level, start in microseconds, item)."""
        found: Counter[tuple[int, int, int]] = Counter()
        for one in self._touching():
            for level, width_s in enumerate(BUCKET_WIDTHS_S):
                start_s = one.time_us // 1_000_000 // width_s * width_s
                found[level, start_s * 1_000_000, items[one.item]] += 1
        return dict(found)

    def _touching(self) -> list[Applied]:
        return [one for one in self.events if one.event_type != "dismiss"]


def expected(log: SimulatedLog) -> Expected:
    """Apply the whole log."""
    answer = Expected()
    for partition, records in log.records.items():
        _apply(answer, partition, records[: log.end(partition)])
    return answer


def _apply(answer: Expected, partition: int, records: list[Record]) -> None:
    seen: dict[tuple[str, str], int] = {}
    backfills: set[tuple[str, str]] = set()
    appended_us = applied = duplicate = dead = absent = 0
    for record in records:
        if record.key == MARKER_KEY:
            absent += 1
            continue
        appended_us = max(appended_us, record.appended_at_us)
        event = _event(record)
        if event is None:
            dead += 1
            answer.letters.add((partition, record.offset))
            continue
        hour = appended_us // HOUR_US
        identity = (event["user_id"], event.get("event_id", f"log:{partition}:{record.offset}"))
        known = identity in seen and hour - seen[identity] <= WINDOW_HOURS
        if known or ("backfill" in event and identity in backfills):
            duplicate += 1
            continue
        applied += 1
        seen[identity] = hour
        if "backfill" in event:
            backfills.add(identity)
        time_us = _time_us(event, record.appended_at_us)
        fields = (event["user_id"], event["item_id"], event["event_type"])
        answer.events.append(Applied(*fields, time_us, record.offset))
    answer.books[partition] = (applied, duplicate, dead, absent)


def _event(record: Record) -> dict[str, str] | None:
    try:
        event: dict[str, str] = json.loads(record.value)
    except ValueError:
        return None
    known = event["event_type"] in EVENT_TYPES and event["user_id"].encode() == record.key
    return event if known else None


def _time_us(event: dict[str, str], received_us: int) -> int:
    if "occurred_at" not in event:
        return received_us
    moment = datetime.fromisoformat(event["occurred_at"])
    return min(round(moment.timestamp() * 1e6), received_us + AHEAD_US)
