"""The compactor's work on pairs: deltas are added to the counts, and the touched sources' neighbour lists made anew.

Runs inside the fold's transaction, so a delta counts once. Counts are kept as one row for each (source, epoch) with
arrays of destinations: a row for each pair would cost six times the log volume.
"""

from collections.abc import Iterator
from datetime import datetime

import numpy as np
import psycopg

from whence.aggregate.batch import Ints
from whence.aggregate.fold import run_starts
from whence.aggregate.neighbours import EPOCHS_KEPT, NeighbourLists, PairCounts, merged, ranked, summed
from whence.aggregate.touches import unpack_pairs
from whence.domain.pairs import EPOCH_SECONDS
from whence.kit.pgarrays import BigintArray, BooleanArray, DoubleArray, IntArray
from whence.kit.sqlfiles import load_statements

SOURCES_AT_ONCE = 2_000
"""Sources whose counts are in memory at a time."""

PART_BYTES_MAX = 1024 * 1024
"""What these may be together in `sizes_of`, or a single source that is more alone: 3 to 8 bytes a pair as stored, 200
bytes in memory. On a dense catalogue a source has thousands of pairs."""

_SQL = load_statements(__file__)


def first_epoch_kept(as_of: datetime) -> int:
    """The oldest epoch that still counts."""
    return int(as_of.timestamp()) // EPOCH_SECONDS - EPOCHS_KEPT + 1


def fold_pairs(connection: psycopg.Connection, rows: np.ndarray, as_of: datetime) -> int:
    """Add pair rows of segments to the counts and renew the lists of every source that they touch.

    Args:
        connection: With packed arrays registered both ways, inside the fold's transaction.
        rows: As `touches.pair_rows` makes them, of any number of segments.
        as_of: Decides which epochs still count.

    Returns:
        How many sources were renewed.
    """
    added = summed(unpack_pairs(rows), first_epoch_kept(as_of))
    sources = np.unique(added.source)
    for part in parts_of(sources, _sizes(connection, sources, as_of)):
        low, high = np.searchsorted(added.source, [part[0], part[-1] + 1])
        changed = added.pick(slice(int(low), int(high)))
        counts = merged(_held(connection, part, as_of), changed)
        _put_counts(connection, counts, changed)
        put_neighbours(connection, ranked(counts))
    return int(sources.size)


def parts_of(sources: Ints, sizes: Ints) -> Iterator[Ints]:
    """The sources in runs that are in memory at a time: bounded in number, and in size but for the last one of each."""
    costs = sizes + PART_BYTES_MAX // SOURCES_AT_ONCE
    part = (np.cumsum(costs) - costs) // PART_BYTES_MAX
    return iter(np.split(sources, np.flatnonzero(np.diff(part)) + 1) if sources.size else [])


def _sizes(connection: psycopg.Connection, sources: Ints, as_of: datetime) -> Ints:
    parameters = {"sources": BigintArray(sources), "first_epoch": first_epoch_kept(as_of)}
    known: dict[int, int] = dict(connection.execute(_SQL["sizes_of"], parameters, binary=True).fetchall())
    return np.fromiter((known.get(source, 0) for source in sources.tolist()), np.int64, sources.size)


def _held(connection: psycopg.Connection, sources: Ints, as_of: datetime) -> PairCounts:
    """The counts of some sources in all epochs that count."""
    parameters = {"sources": BigintArray(sources), "first_epoch": first_epoch_kept(as_of)}
    rows = connection.execute(_SQL["counts_of"], parameters, binary=True).fetchall()
    if not rows:
        return PairCounts(*([np.zeros(0, np.int64)] * 5))
    source, epoch, destinations, units, bought_units = zip(*rows, strict=True)
    sizes = [len(column) for column in destinations]
    return PairCounts(
        np.repeat(np.array(source, np.int64), sizes),
        np.repeat(np.array(epoch, np.int64), sizes),
        *(np.concatenate(column) for column in (destinations, units, bought_units)),
    )


def _put_counts(connection: psycopg.Connection, counts: PairCounts, changed: PairCounts) -> None:
    """Write the rows of the (source, epoch) pairs that changed."""
    starts = run_starts(counts.source, counts.epoch)
    ends = np.append(starts[1:], counts.source.size)
    keys = _row_keys(counts.source[starts], counts.epoch[starts])
    touched = np.isin(keys, _row_keys(changed.source, changed.epoch))
    connection.execute(
        _SQL["put_counts"],
        {
            "sources": BigintArray(counts.source[starts][touched]),
            "epochs": IntArray(counts.epoch[starts][touched]),
            "starts": IntArray(starts[touched] + 1),
            "ends": IntArray(ends[touched]),
            "destinations": BigintArray(counts.destination),
            "units": BigintArray(counts.units),
            "bought_units": BigintArray(counts.bought_units),
        },
    )


def put_neighbours(connection: psycopg.Connection, lists: NeighbourLists) -> None:
    """Write the neighbour lists of some sources."""
    starts = run_starts(lists.source)
    connection.execute(
        _SQL["put_neighbours"],
        {
            "sources": BigintArray(lists.source[starts]),
            "starts": IntArray(starts + 1),
            "ends": IntArray(np.append(starts[1:], lists.source.size)[: starts.size]),
            "destinations": BigintArray(lists.destination),
            "probabilities": DoubleArray(lists.probability),
            "bought": BooleanArray(lists.bought),
        },
    )


def _row_keys(source: Ints, epoch: Ints) -> Ints:
    """One number for each (source, epoch); epochs of 30 days stay below 2^12 until the year 2306."""
    return source << 12 | epoch
