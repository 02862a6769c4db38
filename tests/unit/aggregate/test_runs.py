"""Which records are a batch, and which batches share a transaction."""

from types import SimpleNamespace
from typing import cast

import pytest

from unit.aggregate.records import HOUR_US, NOON_US, record
from whence.aggregate.pipeline import Position
from whence.aggregate.runs import BATCH_RECORDS_MAX, next_group, runs_of
from whence.aggregate.takeover import OwnedPartition
from whence.domain.errors import LostOwnership
from whence.eventlog.port import Record


def owned(partition: int, next_offset: int = 0) -> OwnedPartition:
    return cast("OwnedPartition", SimpleNamespace(position=Position(partition, next_offset, 0)))


def of(partition: int, *offsets: int, at_us: int = NOON_US) -> list[Record]:
    return [record(offset, at_us)._replace(partition=partition) for offset in offsets]


PARTITIONS = {number: owned(number) for number in range(4)}


def groups(records: list[Record]) -> list[list[tuple[int, int]]]:
    """The partition and size of each run, group by group."""
    waiting = runs_of(records, PARTITIONS)
    found = []
    while group := next_group(waiting):
        found.append([(run[0].partition, len(run)) for _, run in group])
    return found


def test_small_runs_of_different_partitions_share_a_transaction() -> None:
    assert groups([*of(0, 0, 1), *of(1, 0), *of(3, 5)]) == [[(0, 2), (1, 1), (3, 1)]]


def test_a_partition_comes_once_in_a_transaction() -> None:
    late = of(0, 2, at_us=NOON_US + HOUR_US)
    assert groups([*of(0, 0, 1), *late, *of(1, 0)]) == [[(0, 2), (1, 1)], [(0, 1)]]


def test_backlogs_over_many_hours_take_a_transaction_an_hour() -> None:
    hours = range(24)
    backlog = [
        one for number in (0, 1, 3) for hour in hours for one in of(number, hour, at_us=NOON_US + hour * HOUR_US)
    ]
    assert groups(backlog) == [[(0, 1), (1, 1), (3, 1)] for _ in hours]


def test_a_transaction_is_not_too_large() -> None:
    many = BATCH_RECORDS_MAX // 2
    backlog = of(2, *range(BATCH_RECORDS_MAX + 1))
    assert groups([*of(0, *range(many)), *of(1, *range(many + 1)), *backlog]) == [
        [(0, many)],
        [(1, many + 1)],
        [(2, BATCH_RECORDS_MAX)],
        [(2, 1)],
    ]


def test_what_is_not_owned_is_left_out() -> None:
    assert groups([*of(0, 0), *of(7, 0)]) == [[(0, 1)]]


@pytest.mark.parametrize("offsets", [(3, 2), (2, 2), (0,)])
def test_records_out_of_order_are_refused(offsets: tuple[int, ...]) -> None:
    with pytest.raises(LostOwnership):
        runs_of(of(0, *offsets), {0: owned(0, 1)})
