"""The records of one batch become decisions: decode, drop duplicates, fold. Pure; `write.py` carries them out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from whence.aggregate.batch import Batch, Counts, DeadLetter, Interest, Ints, Observed
from whence.aggregate.decode import Event, Rules, decode
from whence.aggregate.dedupe import Known
from whence.aggregate.fold import Touches, fold_signals, fold_trend
from whence.aggregate.poison import PoisonGuard
from whence.domain.events import DISMISS, PURCHASE
from whence.eventlog.port import Record

HOUR_US = 3_600_000_000
"""Microseconds of an append hour."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a partition stands before a batch.

    Attributes:
        partition: Of the log.
        next_offset: Everything below has been applied.
        last_appended_us: The running maximum of append times so far, microseconds since the epoch.
    """

    partition: int
    next_offset: int
    last_appended_us: int


Judge = Callable[[Record, Rules], Event | DeadLetter]
"""The event that a record carries, or its verdict."""


def process(
    records: Sequence[Record],
    position: Position,
    known: Known,
    guard: PoisonGuard,
    rules: Rules,
    judge: Judge = decode,
) -> Batch:
    """Decide about records of one partition that share an append hour (see `cut_by_hour`)."""
    verdicts = [judge(record, rules) for record in records]
    is_dead = np.fromiter((type(verdict) is DeadLetter for verdict in verdicts), np.bool_, len(verdicts))
    excess = guard.first_excess(is_dead)
    if excess is not None:
        verdicts, records = verdicts[: excess + 1], records[: excess + 1]
    events = [verdict for verdict in verdicts if isinstance(verdict, Event)]
    dead = [verdict for verdict in verdicts if isinstance(verdict, DeadLetter)] if is_dead.any() else []
    last_appended_us = max(position.last_appended_us, *(record.appended_at_us for record in records))

    columns = _columns(events)
    hashes, backfill = columns.hash, columns.backfill
    fresh = _first_of_each(hashes, ~known.repeats(hashes, backfill, last_appended_us // HOUR_US))

    users, items, touches = _touches(columns, fresh)
    interest = touches.pick(touches.type_code != rules.type_codes.get(DISMISS, -1))
    end_offset = records[-1].offset + 1
    return Batch(
        partition=position.partition,
        first_offset=position.next_offset,
        end_offset=end_offset,
        append_hour=last_appended_us // HOUR_US,
        last_appended_us=last_appended_us,
        last_event_us=int(touches.time_us.max()) if users else None,
        users=users,
        items=items,
        signals=fold_signals(touches),
        interest=Interest(*interest[:2], *interest[3:], interest.type_code == rules.type_codes.get(PURCHASE, -1)),
        trend=fold_trend(interest),
        live_hashes=np.sort(hashes[fresh & ~backfill]),
        backfill_hashes=np.sort(hashes[fresh & backfill]),
        dead=dead,
        counts=_counts(end_offset - position.next_offset, len(records), len(dead), int(fresh.sum())),
        observed=_observed(columns, fresh),
        poisoned="" if excess is None else guard.verdict(),
    )


def cut_by_hour(records: Sequence[Record], last_appended_us: int) -> Iterator[Sequence[Record]]:
    """Runs of *records* whose running maximum of append times lies in one hour."""
    times = np.fromiter((record.appended_at_us for record in records), np.int64, len(records))
    hours = np.maximum.accumulate(np.maximum(times, last_appended_us)) // HOUR_US
    edges = [0, *(np.flatnonzero(np.diff(hours)) + 1).tolist(), len(records)]
    return (records[start:end] for start, end in pairwise(edges))


def _first_of_each(hashes: Ints, candidates: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Of the candidates the first with each hash: a repeat within the batch is a duplicate like any other."""
    places = np.flatnonzero(candidates)
    first = np.zeros(hashes.size, dtype=np.bool_)
    first[places[np.unique(hashes[places], return_index=True)[1]]] = True
    return first


class _Columns(NamedTuple):
    """Events in columns of equal length, as in `decode.Event`."""

    offset: Ints
    user: Sequence[str]
    item: Sequence[str]
    type_code: Ints
    time_us: Ints
    accepted_us: Ints
    hash: Ints
    backfill: npt.NDArray[np.bool_]


def _columns(events: Sequence[Event]) -> _Columns:
    offset, user, item, *numbers, backfill = zip(*events, strict=True) if events else [()] * len(Event._fields)
    type_code, time_us, accepted_us, hashes = (np.array(column, np.int64) for column in numbers)
    return _Columns(
        np.array(offset, np.int64), user, item, type_code, time_us, accepted_us, hashes, np.array(backfill, np.bool_)
    )


def _touches(columns: _Columns, fresh: npt.NDArray[np.bool_]) -> tuple[list[str], list[str], Touches]:
    """The users and items of the fresh events, each once, and these events as columns that refer to them."""
    is_fresh = fresh.tolist()
    users, user = _places(list(compress(columns.user, is_fresh)))
    items, item = _places(list(compress(columns.item, is_fresh)))
    numbers = (columns.type_code, columns.time_us, columns.offset)
    return users, items, Touches(user, item, *(column[fresh] for column in numbers))


def _places(names: Sequence[str]) -> tuple[list[str], Ints]:
    """Each name once, and for every given one its place among these."""
    once = list(dict.fromkeys(names))
    place = dict(zip(once, range(len(once)), strict=True))
    return once, np.fromiter(map(place.__getitem__, names), np.int64, len(names))


def _counts(offsets: int, records: int, dead: int, applied: int) -> Counts:
    return Counts(applied=applied, duplicate=records - dead - applied, dead=dead, absent=offsets - records)


def _observed(columns: _Columns, fresh: npt.NDArray[np.bool_]) -> Observed:
    accepted_us = np.where(columns.backfill, -1, columns.accepted_us)
    return Observed(columns.type_code, accepted_us, fresh)
