"""What each statement of the compactor does. Trend and neighbour lists, which follow from counts, are left out."""

from collections import defaultdict
from dataclasses import replace
from itertools import accumulate, zip_longest

import numpy as np

from simulation.database import Database, Parameters, Rows, Session
from simulation.packed import numbers
from simulation.tables import PairRow

HOUR_US = 3_600_000_000


def lead(database: Database, session: Session, _given: Parameters) -> Rows:
    """Take the advisory lock if nobody has it."""
    if database.locked(session, "session: lead"):
        return [(False,)]
    database.lock(session, "session: lead")
    return [(True,)]


def unfolded(database: Database, _session: Session, given: Parameters) -> Rows:
    """The oldest segments that are not folded, partitions in turn, up to the bound of bytes."""
    tables = database.tables
    by_partition: defaultdict[int, list[tuple[int, int, bytes, bytes]]] = defaultdict(list)
    for (partition, first), segment in sorted(tables.segments.items()):
        if first >= tables.folded.get(partition, tables.positions[partition].base_offset):
            by_partition[partition].append((partition, segment.end_offset, segment.trend, segment.pairs))
    bounded = [rows[: given["segments_max"]] for rows in by_partition.values()]
    in_turn = [row for rows in zip_longest(*bounded) for row in rows if row is not None]
    before = [0, *accumulate(len(pairs) for *_, pairs in in_turn)]
    taken = [row for row, bytes_before in zip(in_turn, before, strict=False) if bytes_before < given["bytes_max"]]
    return [(*row, len(in_turn)) for row in sorted(taken)]


def add_buckets(database: Database, session: Session, given: Parameters) -> Rows:
    """Counts add."""
    columns = (numbers(given[name]) for name in ("levels", "starts", "items", "counts"))
    rows = list(zip(*columns, strict=True))

    def change() -> None:
        for *key, count in rows:
            level, start_us, item = key
            place = (level, start_us, item)
            database.tables.buckets[place] = database.tables.buckets.get(place, 0) + count

    database.write(session, change)
    return [()] * len(rows)


def move_positions(database: Database, session: Session, given: Parameters) -> Rows:
    """Where the fold stands now."""
    rows = dict(zip(numbers(given["partitions"]), numbers(given["next_offsets"]), strict=True))
    database.write(session, lambda: database.tables.folded.update(rows))
    return [()] * len(rows)


def counts_of(database: Database, _session: Session, given: Parameters) -> Rows:
    """Pair counts of some sources."""
    sources = set(numbers(given["sources"]))
    return [
        (source, epoch, *(np.array(column, np.int64) for column in row))
        for (source, epoch), row in database.tables.pairs.items()
        if source in sources and epoch >= given["first_epoch"]
    ]


def put_counts(database: Database, session: Session, given: Parameters) -> Rows:
    """Pair counts of some (source, epoch), whole."""
    columns = [numbers(given[name]) for name in ("destinations", "units", "bought_units")]
    keys = zip(*(numbers(given[name]) for name in ("sources", "epochs", "starts", "ends")), strict=True)
    rows = {
        (source, epoch): PairRow(*(tuple(column[start - 1 : end]) for column in columns))
        for source, epoch, start, end in keys
    }
    database.write(session, lambda: database.tables.pairs.update(rows))
    return [()] * len(rows)


def total(_database: Database, _session: Session, _given: Parameters) -> Rows:
    """Events in the buckets; only the pace of ranking depends on it."""
    return [(0,)]


def delete_segments(database: Database, session: Session, given: Parameters) -> Rows:
    """Segments that no repeat can meet any more and that are folded."""
    tables = database.tables
    gone = [key for key in _served(database, given) if not tables.segments[key].backfill_hashes]

    def change() -> None:
        for key in gone:
            tables.segments.pop(key, None)

    database.write(session, change)
    return [()] * len(gone)


def empty_segments(database: Database, session: Session, given: Parameters) -> Rows:
    """The same for segments with backfill events: those ids are kept for good."""
    segments = database.tables.segments
    kept = [key for key in _served(database, given) if segments[key].backfill_hashes and segments[key].user_ids]

    def change() -> None:
        for key in kept:
            segments[key] = replace(segments[key], event_hashes=b"", user_ids=b"", trend=b"", pairs=b"")

    database.write(session, change)
    return [()] * len(kept)


def _served(database: Database, given: Parameters) -> list[tuple[int, int]]:
    tables = database.tables
    return [
        (partition, first)
        for (partition, first), segment in sorted(tables.segments.items())
        if segment.append_hour < (tables.positions[partition].last_appended_us or 0) // HOUR_US - given["window_hours"]
        and segment.end_offset <= tables.folded.get(partition, -1)
    ]


def books(_database: Database, _session: Session, _given: Parameters) -> Rows:
    """For the metrics alone."""
    return [(0, 0, 0)]
