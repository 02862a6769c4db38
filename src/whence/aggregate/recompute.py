"""What the scores of one partition should be, worked out from the log alone, in plain Python.

This is the reference that `whence reconcile` compares the tables with: it shares the decoding of records and the
domain's arithmetic with the consumer, but none of its windows, folds and SQL.
"""

import math
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from whence.aggregate.batch import DeadLetter
from whence.aggregate.decode import Event, Rules, decode
from whence.aggregate.pipeline import HOUR_US
from whence.aggregate.recent import RECENT_ITEMS_MAX
from whence.domain.decay import log_add, log_contribution
from whence.domain.events import DEDUPE_WINDOW_HOURS, DISMISS
from whence.eventlog.port import Record


@dataclass(slots=True)
class Signal:
    """What should be held of (user, item, event type)."""

    count: int = 0
    log_sum: float = -math.inf
    last_us: int = 0


@dataclass(slots=True)
class Expected:
    """What the records say.

    Attributes:
        signals: By user, then by (item, event type code).
        touches: By user, then by item: the newest (event time in microseconds, offset).
        dead: Records with a verdict.
        applied, duplicate: The other records.
        records: All records that were looked at, also those of users that were left out.
        wrongly_alive: Records that should have a verdict and have none.
        last_appended_us: The running maximum of append times.
    """

    signals: dict[str, dict[tuple[str, int], Signal]] = field(default_factory=dict)
    touches: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    applied: int = 0
    duplicate: int = 0
    dead: int = 0
    records: int = 0
    last_appended_us: int = 0
    last_event_us: int | None = None
    wrongly_alive: list[DeadLetter] = field(default_factory=list)

    def recents(self, user: str) -> list[tuple[str, int, int]]:
        """The user's newest items as (item, event time in microseconds, offset), newest first."""
        newest = [(item, time_us, offset) for item, (time_us, offset) in self.touches.get(user, {}).items()]
        return sorted(newest, key=lambda entry: entry[1:], reverse=True)[:RECENT_ITEMS_MAX]


class Recomputation:
    """Takes a partition's records in order and works out what they amount to."""

    def __init__(self, rules: Rules, verdicts: Collection[int]) -> None:
        """Begin before the first record.

        Args:
            rules: What events are checked against; with every event type that was ever declared.
            verdicts: Offsets of dead letters. A verdict stays for good, whatever the rules say by now.
        """
        self.expected = Expected()
        self._rules = rules
        self._verdicts = verdicts
        self._dismiss = rules.type_codes.get(DISMISS)
        self._applied_in: dict[int, int] = {}
        self._backfilled: set[int] = set()

    def take(self, records: Iterable[Record], keys: "Keys") -> None:
        """Go on with the next records; those with a key that is not wanted only move the time on."""
        expected = self.expected
        for record in records:
            expected.records += 1
            expected.last_appended_us = max(expected.last_appended_us, record.appended_at_us)
            if record.offset in self._verdicts:
                expected.dead += 1
            elif record.key in keys:
                self._decide(decode(record, self._rules))

    def _decide(self, found: Event | DeadLetter) -> None:
        if isinstance(found, DeadLetter):
            self.expected.wrongly_alive.append(found)
        elif self._repeats(found):
            self.expected.duplicate += 1
        else:
            self._apply(found)

    def _repeats(self, event: Event) -> bool:
        """The rule of `aggregate.dedupe`, and the note of the event if it is none."""
        hour = self.expected.last_appended_us // HOUR_US
        applied_in = self._applied_in.get(event.hash)
        if applied_in is not None and hour - applied_in <= DEDUPE_WINDOW_HOURS:
            return True
        if event.backfill and event.hash in self._backfilled:
            return True
        self._applied_in[event.hash] = hour
        if event.backfill:
            self._backfilled.add(event.hash)
        return False

    def _apply(self, event: Event) -> None:
        expected = self.expected
        expected.applied += 1
        expected.last_event_us = max(expected.last_event_us or 0, event.time_us)
        signal = expected.signals.setdefault(event.user, {}).setdefault((event.item, event.type_code), Signal())
        signal.count += 1
        signal.log_sum = log_add(signal.log_sum, log_contribution(event.time_us / 1e6))
        signal.last_us = max(signal.last_us, event.time_us)
        if event.type_code != self._dismiss:
            touched = expected.touches.setdefault(event.user, {})
            touched[event.item] = max(touched.get(event.item, (-1, -1)), (event.time_us, event.offset))


class Keys:
    """Which keys are wanted: some, or one of several equal shares of all."""

    def __init__(self, only: Collection[bytes] | None = None, share: int = 0, shares: int = 1) -> None:
        self._only = only
        self._share = share
        self._shares = shares

    def __contains__(self, key: bytes) -> bool:
        if self._only is not None:
            return key in self._only
        return self._shares == 1 or zlib.crc32(key) % self._shares == self._share
