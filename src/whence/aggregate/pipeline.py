"""The records of one batch become decisions: decode, drop duplicates, fold. Pure; `write.py` carries them out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

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


def process(records: Sequence[Record], position: Position, known: Known, guard: PoisonGuard, rules: Rules) -> Batch:
    """Decide about records of one partition that share an append hour (see `cut_by_hour`)."""
    verdicts = [decode(record, rules) for record in records]
    excess = guard.first_excess(isinstance(verdict, DeadLetter) for verdict in verdicts)
    if excess is not None:
        verdicts = verdicts[: excess + 1]
    records = records[: len(verdicts)]
    events = [verdict for verdict in verdicts if isinstance(verdict, Event)]
    dead = [verdict for verdict in verdicts if isinstance(verdict, DeadLetter)]
    last_appended_us = max(position.last_appended_us, *(record.appended_at_us for record in records))

    hashes = np.fromiter((event.hash for event in events), np.int64, len(events))
    backfill = np.fromiter((event.backfill for event in events), np.bool_, len(events))
    fresh = _first_of_each(hashes, ~known.repeats(hashes, backfill, last_appended_us // HOUR_US))

    users, items, touches = _columns([event for event, is_fresh in zip(events, fresh, strict=True) if is_fresh])
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
        observed=_observed(events, fresh),
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


def _columns(events: Sequence[Event]) -> tuple[list[str], list[str], Touches]:
    """The users and items that were touched, each once, and the events as columns that refer to them."""
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    rows = [
        (
            users.setdefault(event.user, len(users)),
            items.setdefault(event.item, len(items)),
            event.type_code,
            event.time_us,
            event.offset,
        )
        for event in events
    ]
    columns = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    return list(users), list(items), Touches(*columns)


def _counts(offsets: int, records: int, dead: int, applied: int) -> Counts:
    return Counts(applied=applied, duplicate=records - dead - applied, dead=dead, absent=offsets - records)


def _observed(events: Sequence[Event], fresh: npt.NDArray[np.bool_]) -> Observed:
    return Observed(
        type_code=np.fromiter((event.type_code for event in events), np.int64, len(events)),
        accepted_us=np.fromiter(
            (-1 if event.backfill else event.accepted_us for event in events), np.int64, len(events)
        ),
        applied=fresh,
    )
