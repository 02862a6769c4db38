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


def runs_of(records: Sequence[Record], partitions: Mapping[int, OwnedPartition]) -> Iterator[Run]:
    """The runs of records that are sorted by partition; those of partitions that are not owned are left out.

    Raises:
        LostOwnership: If records do not follow a position.
    """
    for partition, group in groupby(records, key=attrgetter("partition")):
        if (owned := partitions.get(partition)) is None:
            continue
        own = list(group)
        _check_order(owned, own)
        for run in cut_by_hour(own, owned.position.last_appended_us):
            for start in range(0, len(run), BATCH_RECORDS_MAX):
                yield owned, run[start : start + BATCH_RECORDS_MAX]


def next_group(waiting: deque[Run]) -> list[Run]:
    """Take the first runs that can share a transaction: of different partitions, not too many records together."""
    group: list[Run] = []
    records = 0
    while waiting:
        owned, run = waiting[0]
        if group and (records + len(run) > BATCH_RECORDS_MAX or group[-1][0] is owned):
            break
        group.append(waiting.popleft())
        records += len(run)
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
