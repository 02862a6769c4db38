"""What the simulated database holds: plain data, one attribute for each table."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(slots=True)
class PositionRow:
    """A row of `partition_position`; times in microseconds since the epoch."""

    log_id: str
    base_offset: int
    next_offset: int
    epoch: int
    applied: int = 0
    duplicate: int = 0
    dead: int = 0
    absent: int = 0
    last_appended_us: int | None = None
    last_event_us: int | None = None


@dataclass(slots=True)
class SegmentRow:
    """A row of `batch_segment`."""

    end_offset: int
    append_hour: int
    event_hashes: bytes
    backfill_hashes: bytes
    user_ids: bytes
    trend: bytes
    pairs: bytes


class SignalRow(NamedTuple):
    """A row of `signal`."""

    events: int
    log_sum: float
    last_us: int


class PairRow(NamedTuple):
    """A row of `pair_count`, its arrays as tuples."""

    destinations: tuple[int, ...]
    units: tuple[int, ...]
    bought_units: tuple[int, ...]


@dataclass(slots=True)
class Tables:
    """The committed state, by primary key."""

    users: dict[str, int] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)
    signals: dict[tuple[int, int, int], SignalRow] = field(default_factory=dict)
    recents: dict[int, bytes] = field(default_factory=dict)
    positions: dict[int, PositionRow] = field(default_factory=dict)
    segments: dict[tuple[int, int], SegmentRow] = field(default_factory=dict)
    letters: dict[tuple[int, int], tuple[str, bytes]] = field(default_factory=dict)
    folded: dict[int, int] = field(default_factory=dict)
    buckets: dict[tuple[int, int, int], int] = field(default_factory=dict)
    pairs: dict[tuple[int, int], PairRow] = field(default_factory=dict)
