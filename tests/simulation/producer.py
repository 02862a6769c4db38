"""Events as honest and dishonest producers write them: repeats, late ones, backfills, garbage."""

import json
from datetime import timedelta

from simulation.log import MARKER_KEY, SimulatedLog
from simulation.world import World
from whence.domain.partition import partition_of
from whence.eventlog.port import NewRecord
from whence.kit.clock import from_us

USERS = tuple(f"user-{number}" for number in range(5))
ITEMS = tuple(f"item-{number}" for number in range(6))
TYPES = ("view", "view", "click", "cart", "purchase", "dismiss")


class Producer:
    """Appends records, a few at a time."""

    def __init__(self, world: World, log: SimulatedLog, *, hours_jump: bool) -> None:
        self._chance = world.chance
        self._world = world
        self._log = log
        self._hours_jump = hours_jump
        self._sent: list[NewRecord] = []

    def append(self) -> None:
        """One to eight records, after which hours may pass."""
        for _ in range(self._chance.randint(1, 8)):
            self._log.append([self._record()])
        if self._hours_jump and self._chance.random() < 0.2:
            self._log.ahead_us += int(
                timedelta(hours=self._chance.choice((1, 12, 24, 25, 60))) / timedelta(microseconds=1)
            )

    def _record(self) -> NewRecord:
        kind = self._chance.random()
        if kind < 0.03:
            return NewRecord(self._chance.randrange(self._log.partitions), MARKER_KEY, b"")
        if self._sent and kind < 0.35:
            return self._chance.choice(self._sent)
        key, event = self._event()
        value = b"{" if kind > 0.98 else json.dumps(event).encode()
        record = NewRecord(partition_of(key, self._log.partitions), key, value)
        self._sent.append(record)
        return record

    def _event(self) -> tuple[bytes, dict[str, str]]:
        chance = self._chance
        user = chance.choice(USERS)
        event = {"event_type": chance.choice(TYPES), "user_id": user, "item_id": chance.choice(ITEMS)}
        if chance.random() < 0.95:
            event["event_id"] = f"{chance.randrange(10**9)}"
        if chance.random() < 0.03:
            event["event_type"] = "unheard_of"
        if chance.random() < 0.5:
            seconds = chance.choice((-40_000, -3_600, -5, 30, 3_600))
            event["occurred_at"] = (from_us(self._log.clock_us()) + timedelta(seconds=seconds)).isoformat()
        if chance.random() < 0.15:
            event["backfill"] = "history"
        return user.encode(), event
