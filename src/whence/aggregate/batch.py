"""What `aggregate` decides about the records of one batch: plain data, carried out by `write.py`.

Users and items are external ids here, each once, and columns refer to them by place; the integer ids of the database
come in when the batch is written.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Reason(StrEnum):
    """Why a record can never be applied. A value of metric labels and of `dead_letter.reason`."""

    UNDECODABLE = "undecodable"
    TOO_LARGE = "too_large"
    UNKNOWN_EVENT_TYPE = "unknown_event_type"
    INVALID_ID = "invalid_id"
    WRONG_KEY = "wrong_key"
    WRONG_PARTITION = "wrong_partition"
    UNUSABLE_TIME = "unusable_time"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that can never be applied, with its bytes.

    Attributes:
        offset: Its place in the partition.
        reason, detail: The family, and a sentence with the value and what would be right.
        key, value: The record as it lies in the log.
        appended_at_us: When the log took it, microseconds since the epoch.
    """

    offset: int
    reason: Reason
    detail: str
    key: bytes
    value: bytes
    appended_at_us: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the offsets of a batch; together they are end_offset - first_offset.

    Attributes:
        applied, duplicate, dead: Records.
        absent: Offsets that hold no record, such as transaction markers.
    """

    applied: int = 0
    duplicate: int = 0
    dead: int = 0
    absent: int = 0

    @property
    def offsets(self) -> int:
        """How many offsets these account for."""
        return self.applied + self.duplicate + self.dead + self.absent


@dataclass(frozen=True, slots=True)
class SignalDeltas:
    """What to add to `signal`, one row for each (user, item, event type); columns of equal length.

    Attributes:
        user, item: Places in the batch's `users` and `items`.
        type_code: Codes of the table `event_type`.
        count: Events.
        log_sum: ln of the events' forward-decayed sum (`whence.domain.decay`).
        last_us: The newest event time, microseconds since the epoch.
    """

    user: Ints
    item: Ints
    type_code: Ints
    count: Ints
    log_sum: Floats
    last_us: Ints


@dataclass(frozen=True, slots=True)
class Interest:
    """The applied events that touch an item (all but `dismiss`), in offset order; columns of equal length.

    Attributes:
        user, item: Places in the batch's `users` and `items`, or internal ids once these are known.
        time_us: Event time, microseconds since the epoch.
        offset: In the partition.
        bought: Whether it is a purchase.
    """

    user: Ints
    item: Ints
    time_us: Ints
    offset: Ints
    bought: npt.NDArray[np.bool_]

    def pick(self, rows: npt.NDArray[np.bool_]) -> "Interest":
        """Those where a mask says so."""
        return Interest(self.user[rows], self.item[rows], self.time_us[rows], self.offset[rows], self.bought[rows])


@dataclass(frozen=True, slots=True)
class TrendDeltas:
    """Events by item and 5-minute bucket; columns of equal length. start_s is the bucket's start since the epoch."""

    item: Ints
    start_s: Ints
    count: Ints


@dataclass(frozen=True, slots=True)
class Observed:
    """What the metrics want to know of the applied and repeated events; columns of equal length.

    Attributes:
        type_code: Code of the event type.
        accepted_us: When the event was accepted, microseconds since the epoch; -1 for a backfill, whose freshness
            says nothing.
        applied: Whether it was applied, else a duplicate.
    """

    type_code: Ints
    accepted_us: Ints
    applied: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Batch:
    """All decisions about consecutive records of one partition whose append hour is the same.

    Attributes:
        partition: Of the log.
        first_offset: The position that was expected before the batch.
        end_offset: The position after it, exclusive.
        append_hour: Hours since the epoch of the running maximum of append times.
        last_appended_us: That running maximum after the batch, microseconds since the epoch.
        last_event_us: The newest event time that was applied, None if nothing was.
        users, items: The external ids that were touched, each once.
        live_hashes, backfill_hashes: Event hashes that were applied, ascending.
        dead: In offset order.
        poisoned: Why the partition has to stop after this batch, "" if it need not.
    """

    partition: int
    first_offset: int
    end_offset: int
    append_hour: int
    last_appended_us: int
    last_event_us: int | None
    users: list[str]
    items: list[str]
    signals: SignalDeltas
    interest: Interest
    trend: TrendDeltas
    live_hashes: Ints
    backfill_hashes: Ints
    dead: list[DeadLetter]
    counts: Counts
    observed: Observed
    poisoned: str
