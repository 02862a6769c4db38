"""The seam between the services: a partitioned, append-only log of records, keyed by user.

A partition's order is the order in which its records take effect; offsets are gapless from the reader's view (an
adapter may skip offsets that hold no record, such as transaction markers) and exclusive everywhere: "next offset 7"
means that everything below 7 is in. Whoever appends chooses the partition with `whence.domain.partition`.
Every adapter passes `tests/integration/eventlog/conformance.py`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

MAX_CALL_RECORDS = 1_000
"""Records of one append: the API's largest batch."""

APPEND_TIMEOUT_SECONDS = 5.0
"""An append ends within this time: a client hears of its event's fate, and a stop's grace to requests is longer."""


class NewRecord(NamedTuple):
    """A record to append."""

    partition: int
    key: bytes
    value: bytes


class Record(NamedTuple):
    """A record as it lies in the log.

    Attributes:
        partition, offset: Its place.
        appended_at_us: When the log took it, microseconds since the epoch, by the log's clock. It may run backwards
            between neighbours; who needs an order takes the running maximum.
        key: The UTF-8 user id (else the session id).
        value: The event's JSON (`whence.domain.events.LoggedEvent`).
    """

    partition: int
    offset: int
    appended_at_us: int
    key: bytes
    value: bytes


class Watermarks(NamedTuple):
    """The offsets that a partition can give: low <= offset < high."""

    low: int
    high: int


def check_call(records: Sequence[NewRecord], partitions: int) -> None:
    """Refuse an append that no log takes.

    Raises:
        ValueError: If there are too many records, or one for a partition that the log does not have.
    """
    if len(records) > MAX_CALL_RECORDS:
        raise ValueError(f"an append takes at most {MAX_CALL_RECORDS} records, not {len(records)}")
    check_partitions([record.partition for record in records], partitions)


def check_partitions(asked: Iterable[int], partitions: int) -> None:
    """Refuse partitions that the log does not have.

    Raises:
        ValueError: If there is one.
    """
    for partition in asked:
        if not 0 <= partition < partitions:
            raise ValueError(f"the log has the partitions 0 to {partitions - 1}, not {partition}")


class Appender(Protocol):
    """The writing side, for asyncio. Safe for concurrent use."""

    @property
    def log_id(self) -> str:
        """Eight hex digits that name this log; a log made anew has another."""

    @property
    def partitions(self) -> int:
        """How many partitions the log has."""

    async def append(self, records: Sequence[NewRecord]) -> list[int]:
        """Append up to MAX_CALL_RECORDS records; when this returns they are durable. Ends in APPEND_TIMEOUT_SECONDS.

        Returns:
            The offset of each record, in the order given.

        Raises:
            DependencyUnavailable: Nothing was appended (log down, or its queue full).
            OutcomeUnknown: The answer was lost; the records may be in the log. Repeating them under the same event
                ids is safe.
            PartlyAppended: Some are in the log, of the others that is unknown (not on PostgreSQL: all or nothing).
        """

    async def check(self) -> None:
        """Raise DependencyUnavailable if the log does not answer now."""

    async def close(self) -> None:
        """Finish what is under way and let go of connections."""


class Consumer(Protocol):
    """The reading side of `aggregate`: synchronous, one thread. Positions are the caller's alone."""

    @property
    def log_id(self) -> str:
        """Eight hex digits that name the log that is being read."""

    @property
    def partitions(self) -> int:
        """How many partitions the log has."""

    def assign(self, positions: Mapping[int, int]) -> None:
        """Read exactly these partitions from these next offsets on; forgets every earlier assignment."""

    def poll(self, max_records: int, wait_seconds: float) -> list[Record]:
        """Up to *max_records* records of the assigned partitions, each partition's in order and without a hole.

        Returns at once when there is something, else waits up to *wait_seconds* without busy waiting; an empty list
        says that nothing came. Moves the in-memory position past what it returns.

        Raises:
            DependencyUnavailable: The log does not answer; positions stay.
            LogDamaged: A position is below the low or above the high watermark, or this is another log.
        """

    def watermarks(self, partition: int) -> Watermarks:
        """The offsets that the partition can give now.

        Raises:
            DependencyUnavailable: The log does not answer; PartitionUnavailable if others of its partitions may.
        """

    def advertise(self, next_offsets: Mapping[int, int]) -> None:
        """Tell the log's own lag tools how far these partitions have been applied: best effort, never read by us."""

    def close(self) -> None:
        """Let go of connections."""


class Scanner(Protocol):
    """Bounded reads for reconcile and rebuild: synchronous, independent of any consumer."""

    @property
    def log_id(self) -> str:
        """Eight hex digits that name the log."""

    @property
    def partitions(self) -> int:
        """How many partitions the log has."""

    def watermarks(self, partition: int) -> Watermarks:
        """The offsets that the partition can give now."""

    def scan(self, partition: int, start: int, end: int) -> Iterator[list[Record]]:
        """The records with start <= offset < end in order, in lists of bounded size."""

    def close(self) -> None:
        """Let go of connections."""
