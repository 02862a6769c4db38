"""Time at the edges; the domain takes it as an argument."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where an edge gets the time from."""

    def now(self) -> datetime:
        """The moment, in UTC."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The moment, in UTC."""
        return datetime.now(UTC)


def now_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1_000


def to_us(moment: datetime) -> int:
    """Microseconds since the epoch of an aware time, exactly."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_us(microseconds: int) -> datetime:
    """The UTC time of microseconds since the epoch."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(microsecond=microseconds % 1_000_000)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
