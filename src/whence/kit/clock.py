"""Time at the edges; the domain takes it as an argument."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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


@dataclass(frozen=True, slots=True)
class Times:
    """Where a loop gets its times from, so that a simulation can give it its own.

    Attributes:
        monotonic: Seconds that never run backwards, for intervals.
        now_us: Microseconds since the epoch.
    """

    monotonic: Callable[[], float] = time.monotonic
    now_us: Callable[[], int] = now_us


SYSTEM_TIMES = Times()
"""The machine's."""


def to_us(moment: datetime) -> int:
    """Microseconds since the epoch of an aware time, exactly."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_us(microseconds: int) -> datetime:
    """The UTC time of microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=microseconds)


def utc_text(moment: datetime, timespec: str = "auto") -> str:
    """A UTC time as everything that we print has it: RFC 3339 with `Z`."""
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
