"""Polled records become runs: what is one batch each, and which batches share a transaction."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from whence.aggregate.pipeline import cut_by_hour
from whence.aggregate.takeover import OwnedPartition
from whence.domain.errors import LostOwnership
from whence.eventlog.port import Record

BATCH_RECORDS_MAX = 5_000
"""Records of one transaction: larger ones gain little and make everybody wait longer."""

Run = tuple[OwnedPartition, Sequence[Record]]
"""Records of one partition that share an append hour."""


def runs_of(records: Sequence[Record], partitions: Mapping[int, OwnedPartition]) -> list[deque[Run]]:
    """For each partition its runs, in order; those of partitions that are not owned are left out.

    Args:
        records: Sorted by partition.
        partitions: Those that are owned.

    Raises:
        LostOwnership: If records do not follow a position.
    """
    return [
        deque(runs_of_one(partitions[partition], list(group)))
        for partition, group in groupby(records, key=attrgetter("partition"))
        if partition in partitions
    ]


def runs_of_one(owned: OwnedPartition, records: Sequence[Record]) -> Iterator[Run]:
    """The runs of one partition's records; raises as `runs_of`."""
    _check_order(owned, records)
    for run in cut_by_hour(records, owned.position.last_appended_us):
        for start in range(0, len(run), BATCH_RECORDS_MAX):
            yield owned, run[start : start + BATCH_RECORDS_MAX]


def next_group(waiting: Sequence[deque[Run]]) -> list[Run]:
    """Take runs that can share a transaction: the first of each partition, not too many records together.

    Returns:
        Runs of different partitions, ascending; none if nothing waits.
    """
    group: list[Run] = []
    records = 0
    for runs in waiting:
        if runs and (not group or records + len(runs[0][1]) <= BATCH_RECORDS_MAX):
            records += len(runs[0][1])
            group.append(runs.popleft())
    return group


def _check_order(owned: OwnedPartition, records: Sequence[Record]) -> None:
    """Refuse records that do not follow the position in order; clients of logs have been seen to do that after a seek.

    Raises:
        LostOwnership: The remedy is the same: take the partition over anew.
    """
    expected = owned.position.next_offset
    for record in records:
        if record.offset < expected:
            raise LostOwnership(f"the log gave offset {record.offset} of partition {record.partition} after {expected}")
        expected = record.offset + 1
