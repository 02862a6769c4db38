"""The limit on dead letters: a partition that yields almost nothing else stops, instead of draining away."""

import numpy as np

from whence.aggregate.batch import Ints
from whence.aggregate.dedupe import Mask

DEAD_IN_A_ROW_MAX = 200
"""Dead records one after the other: no honest producer sends so many, a bad deploy does."""

RECENT_RECORDS = 2_000
"""Records over which the share of dead ones is judged."""

DEAD_OF_RECENT_MAX = RECENT_RECORDS // 2
"""More dead ones than this among the recent records stop the partition."""


class PoisonGuard:
    """Counts the dead records of one partition since the process took it over."""

    def __init__(self) -> None:
        self._recent = np.zeros(0, dtype=np.bool_)
        self._in_a_row = 0

    def first_excess(self, dead: Mask) -> int | None:
        """Count records on; the place of the one that passes a limit, None if none does."""
        in_a_row = self._runs(dead)
        known = np.concatenate([self._recent, dead])
        of_recent = _sums_of_last(RECENT_RECORDS, known)[self._recent.size :]
        excess = np.flatnonzero((in_a_row >= DEAD_IN_A_ROW_MAX) | (of_recent > DEAD_OF_RECENT_MAX))
        counted = int(excess[0]) + 1 if excess.size else dead.size
        if counted:
            self._in_a_row = int(in_a_row[counted - 1])
            self._recent = known[: self._recent.size + counted][-RECENT_RECORDS:]
        return counted - 1 if excess.size else None

    def _runs(self, dead: Mask) -> Ints:
        """How many dead records end at each place without a good one between them."""
        places = np.arange(1, dead.size + 1)
        last_good = np.maximum.accumulate(np.where(dead, -self._in_a_row, places))
        runs: Ints = places - last_good
        return runs

    def verdict(self) -> str:
        """Why the partition stops, for the alarm."""
        return (
            f"{self._in_a_row} dead letters in a row, {self._recent.sum()} of the last {self._recent.size} records. "
            "Look at `whence dead-letters list`, stop the producer that writes them, then restart aggregate: it goes "
            "on where it stopped and counts anew"
        )


def _sums_of_last(width: int, values: Mask) -> Ints:
    """For each place the sum of the values up to it, at most *width* of them."""
    sums: Ints = np.cumsum(values, dtype=np.int64)
    sums[width:] -= sums[:-width].copy()
    return sums
