"""The limit on dead letters: a partition that yields almost nothing else stops, instead of draining away."""

from collections import deque
from collections.abc import Iterable

DEAD_IN_A_ROW_MAX = 200
"""Dead records one after the other: no honest producer sends so many, a bad deploy does."""

RECENT_RECORDS = 2_000
"""Records over which the share of dead ones is judged."""

DEAD_OF_RECENT_MAX = RECENT_RECORDS // 2
"""More dead ones than this among the recent records stop the partition."""


class PoisonGuard:
    """Counts the dead records of one partition since the process took it over."""

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=RECENT_RECORDS)
        self._dead_of_recent = 0
        self._in_a_row = 0

    def first_excess(self, dead: Iterable[bool]) -> int | None:
        """Count records on; the place of the one that passes a limit, None if none does."""
        for place, is_dead in enumerate(dead):
            self._count(is_dead)
            if self._in_a_row >= DEAD_IN_A_ROW_MAX or self._dead_of_recent > DEAD_OF_RECENT_MAX:
                return place
        return None

    def _count(self, is_dead: bool) -> None:
        if len(self._recent) == RECENT_RECORDS:
            self._dead_of_recent -= self._recent[0]
        self._recent.append(is_dead)
        self._dead_of_recent += is_dead
        self._in_a_row = self._in_a_row + 1 if is_dead else 0

    def verdict(self) -> str:
        """Why the partition stops, for the alarm."""
        return (
            f"{self._in_a_row} dead letters in a row, {self._dead_of_recent} of the last {len(self._recent)} records. "
            "Look at `whence dead-letters list`, stop the producer that writes them, then restart aggregate: it goes "
            "on where it stopped and counts anew"
        )
