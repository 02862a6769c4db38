"""Whether the database holds what the log says."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np

from simulation.catalog import EVENT_TYPES
from simulation.log import SimulatedLog
from simulation.oracle import Expected, Key, Recents, expected
from simulation.tables import SignalRow, Tables
from whence.aggregate.recent import ENTRY
from whence.aggregate.touches import PAIR_ROW, unpack_pairs


def check(log: SimulatedLog, tables: Tables, *, folded: bool) -> None:
    """Compare everything.

    Raises:
        AssertionError: With the first difference.
    """
    right = expected(log)
    _check_books(right, tables)
    _check_signals(right, tables)
    assert _recents(tables) == right.recents(), "recent items"
    if folded:
        _check_fold(right, tables)
    else:
        _check_segments(right, tables)


def _check_books(right: Expected, tables: Tables) -> None:
    for partition, row in tables.positions.items():
        books = (row.applied, row.duplicate, row.dead, row.absent)
        assert books == right.books[partition], f"books of partition {partition}: {books}, not {right.books[partition]}"
        assert row.next_offset - row.base_offset == sum(books), "the books do not balance"
    assert tables.letters.keys() == right.letters, "dead letters"


def _check_signals(right: Expected, tables: Tables) -> None:
    signals = _signals(tables)
    assert {key: row.events for key, row in signals.items()} == right.counts(), "counts"
    for key, log_sum in right.log_sums().items():
        assert math.isclose(signals[key].log_sum, log_sum, rel_tol=1e-9, abs_tol=1e-9), f"decayed sum of {key}"


def _signals(tables: Tables) -> dict[Key, SignalRow]:
    users, items, types = (_names(table) for table in (tables.users, tables.items, EVENT_TYPES))
    return {(users[user], items[item], types[code]): row for (user, item, code), row in tables.signals.items()}


def _recents(tables: Tables) -> dict[str, Recents]:
    users, items = _names(tables.users), _names(tables.items)
    return {
        users[user]: [(items[item], *rest) for item, *rest in np.frombuffer(packed, ENTRY).tolist()]
        for user, packed in tables.recents.items()
    }


def _names(table: dict[str, int]) -> dict[int, str]:
    return {number: name for name, number in table.items()}


def _check_segments(right: Expected, tables: Tables) -> None:
    """Segments lie end to end and carry each pair once."""
    for partition, row in tables.positions.items():
        kept = sorted((first, one.end_offset) for (of, first), one in tables.segments.items() if of == partition)
        edges = [(row.base_offset, row.base_offset), *kept, (row.next_offset, row.next_offset)]
        assert all(end == first for (_, end), (first, _) in pairwise(edges)), f"segments of partition {partition}"
    rows = b"".join(segment.pairs for segment in tables.segments.values())
    deltas = unpack_pairs(np.frombuffer(rows, PAIR_ROW))
    units: Counter[tuple[int, int, int]] = Counter()
    for epoch, source, destination, count, _ in zip(*(column.tolist() for column in deltas), strict=True):
        units[source, epoch, destination] += count
    assert units == right.pairs(tables.items), "pairs in the segments"


def _check_fold(right: Expected, tables: Tables) -> None:
    assert tables.buckets == right.buckets(tables.items), "trend buckets"
    units = {
        (source, epoch, destination): count
        for (source, epoch), row in tables.pairs.items()
        for destination, count in zip(row.destinations, row.units, strict=True)
    }
    assert units == dict(right.pairs(tables.items)), "pair counts"
