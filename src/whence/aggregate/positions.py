"""Where the partitions stand, and how far back the log speaks of them: what reconcile and rebuild begin with."""

from dataclasses import dataclass
from datetime import datetime

import psycopg

from whence.domain.errors import LogDamaged
from whence.eventlog.port import Scanner
from whence.kit.clock import from_us
from whence.kit.database import database_errors
from whence.kit.sqlfiles import load_statements

_SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """A row of `partition_position`."""

    partition: int
    log_id: str
    base_offset: int
    next_offset: int
    applied: int
    duplicate: int
    dead: int
    absent: int
    last_appended_at: datetime | None
    last_event_at: datetime | None


def stored_positions(connection: psycopg.Connection) -> list[StoredPosition]:
    """All partitions that were ever taken over, in order."""
    with database_errors():
        return [StoredPosition(*row) for row in connection.execute(_SQL["positions"]).fetchall()]


def verdicts(connection: psycopg.Connection, partition: int, start: int, end: int) -> frozenset[int]:
    """The offsets from *start* to below *end* whose records are dead, for good, whatever the rules say by now."""
    parameters = {"partition": partition, "start": start, "end": end}
    with database_errors():
        return frozenset(offset for (offset,) in connection.execute(_SQL["verdicts"], parameters).fetchall())


def check_log(held: StoredPosition, scanner: Scanner) -> None:
    """Make sure that this is the log that the partition was aggregated from.

    Raises:
        LogDamaged: If it is another one.
    """
    if held.log_id != scanner.log_id:
        raise LogDamaged(
            f"partition {held.partition} was aggregated from log {held.log_id}, this is {scanner.log_id}: "
            "let WHENCE_LOG_URL point at the first one",
            held.partition,
        )


def what_is_gone(held: StoredPosition, scanner: Scanner) -> str:
    """From which time on the log can speak of a partition whose first records it no longer has; "" if it has all."""
    low = scanner.watermarks(held.partition).low
    if held.base_offset >= min(low, held.next_offset):
        return ""
    first = next((records[0] for records in scanner.scan(held.partition, low, low + 1) if records), None)
    since = "it holds nothing now" if first is None else f"appended {from_us(first.appended_at_us):%Y-%m-%dT%H:%M:%SZ}"
    return (
        f"partition {held.partition} was aggregated from offset {held.base_offset} on, "
        f"the log begins at {low} ({since})"
    )
