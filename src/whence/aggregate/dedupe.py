"""The dedupe window of one partition: which events have been applied lately.

The rule is deterministic: a record is a duplicate if the applied copy's append hour (UTC) is at most 24 before its
own. Append time is the running maximum of the partition, and a duplicate does not renew. Backfill records are checked
against every backfill event ever applied as well.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from whence.aggregate.batch import Ints
from whence.domain.events import DEDUPE_WINDOW_HOURS

RUNS_MAX = 4
"""Sorted runs that a lookup searches; more make lookups dearer, fewer make additions dearer."""

RUN_RATIO = 8
"""A run that is not this many times larger than the next is merged with it, so that an id is moved a few times only."""

IDS_MAX = 20_000_000
"""Ids that a process should hold, all partitions together (180 MB). More raise an alarm; a window is never shortened:
that would count repeats twice."""

Hours = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class _Run(NamedTuple):
    """Hashes ascending, and the append hour of each modulo 256: 9 bytes an id."""

    hashes: Ints
    hours: Hours


class Known(Protocol):
    """What the pipeline asks of a partition's memory."""

    def repeats(self, hashes: Ints, backfill: Mask, hour: int) -> Mask:
        """Which of these events (some of them backfill events) have been applied, seen from an append hour."""


class Window:
    """The ids that were applied in the last 24 append hours, live and backfill alike."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._hour = 0

    def __len__(self) -> int:
        return sum(run.hashes.size for run in self._runs)

    def contains(self, hashes: Ints, hour: int) -> Mask:
        """Which of *hashes* were applied at most 24 hours before *hour*."""
        found = np.zeros(hashes.size, dtype=np.bool_)
        if hour - self._hour > DEDUPE_WINDOW_HOURS:
            return found
        for run in self._runs:
            place = np.minimum(np.searchsorted(run.hashes, hashes), run.hashes.size - 1)
            fresh = _ages(run.hours[place], hour) <= DEDUPE_WINDOW_HOURS
            found |= (run.hashes[place] == hashes) & fresh
        return found

    def add(self, hashes: Ints, hour: int) -> None:
        """Remember *hashes* (ascending, none of them known) as applied in *hour*, which never runs backwards."""
        if hour != self._hour:
            self._expire(hour)
        if hashes.size:
            self._runs.append(_Run(hashes, np.full(hashes.size, hour & 0xFF, dtype=np.uint8)))
            self._merge()

    def load(self, segments: Iterable[tuple[int, Ints]], hour: int) -> None:
        """Start anew from stored (append hour, hashes), seen from *hour*."""
        kept = [(at, hashes) for at, hashes in segments if 0 <= hour - at <= DEDUPE_WINDOW_HOURS and hashes.size]
        self._runs, self._hour = [], hour
        if kept:
            hashes = np.concatenate([hashes for _, hashes in kept])
            hours = np.repeat(np.array([at & 0xFF for at, _ in kept], np.uint8), [hashes.size for _, hashes in kept])
            order = np.argsort(hashes, kind="stable")
            self._runs.append(_Run(hashes[order], hours[order]))

    def _expire(self, hour: int) -> None:
        """Drop what is too old for *hour*; an age never reaches 256, where the stored hours would begin again."""
        gone = hour - self._hour > DEDUPE_WINDOW_HOURS
        fresh = [] if gone else [(run, _ages(run.hours, hour) <= DEDUPE_WINDOW_HOURS) for run in self._runs]
        self._runs = [_Run(run.hashes[keep], run.hours[keep]) for run, keep in fresh if keep.any()]
        self._hour = hour

    def _merge(self) -> None:
        while len(self._runs) > 1 and (
            len(self._runs) > RUNS_MAX or self._runs[-1].hashes.size * RUN_RATIO >= self._runs[-2].hashes.size
        ):
            small, large = self._runs.pop(), self._runs.pop()
            places = np.searchsorted(large.hashes, small.hashes)
            self._runs.append(
                _Run(np.insert(large.hashes, places, small.hashes), np.insert(large.hours, places, small.hours))
            )


class BackfillIndex:
    """Every backfill event that a partition ever applied; held only while backfill records arrive."""

    def __init__(self, hashes: Ints) -> None:
        self._hashes = np.sort(hashes)

    def __len__(self) -> int:
        return int(self._hashes.size)

    def contains(self, hashes: Ints) -> Mask:
        """Which of *hashes* were applied as backfill."""
        if not self._hashes.size:
            return np.zeros(hashes.size, dtype=np.bool_)
        place = np.minimum(np.searchsorted(self._hashes, hashes), self._hashes.size - 1)
        found: Mask = self._hashes[place] == hashes
        return found

    def add(self, hashes: Ints) -> None:
        """Remember *hashes*, ascending."""
        self._hashes = np.insert(self._hashes, np.searchsorted(self._hashes, hashes), hashes)


def _ages(hours: Hours, hour: int) -> Hours:
    """Hours since, of hours stored modulo 256."""
    ages: Hours = np.uint8(hour & 0xFF) - hours
    return ages
