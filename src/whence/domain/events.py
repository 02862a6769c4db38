"""Events: what one is, which limits it keeps, and its form in the log."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from whence.domain.errors import FieldProblem, InvalidInput

MAX_ID_LENGTH = 256
"""Characters of an id. Four bytes each at most, so that an id fits a B-tree entry of PostgreSQL (2,704 bytes)."""

MAX_EVENT_BYTES = 10 * 1024
"""An event's JSON."""

MAX_CONTEXT_BYTES = 2 * 1024
"""The JSON of `context`."""

MAX_BATCH_EVENTS = 1_000
"""Events in one batch request."""

MAX_EVENT_TYPES = 64
"""Event types of an installation: metric labels and the read statement carry one entry for each."""

LIVE_WINDOW_PAST = timedelta(hours=12)
"""A live event may be this old: half of the dedupe window, so that a retry cannot outlive it."""

LIVE_WINDOW_FUTURE = timedelta(seconds=60)
"""A live event may be this far ahead of our clock; clocks drift."""

_FUTURE_US = LIVE_WINDOW_FUTURE // timedelta(microseconds=1)

WEIGHT_MAX = 1e6
"""The size of a weight: more would drown every other type, and products of floats stay far from the range's end."""

DEDUPE_WINDOW_HOURS = 24
"""Append hours over which a repeat of (user, event id) is recognised."""

DISMISS = "dismiss"
"""The event type that hides an item from a user until a later positive signal."""

PURCHASE = "purchase"
"""The event type that "bought" in reasons and `exclude=purchased` speak of."""

WEIGHT_RANGE = f"a number from -{WEIGHT_MAX:.0f} to {WEIGHT_MAX:.0f}"

_EVENT_TYPE = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True)
class EventTypes:
    """The event types of an installation with their weights, in declared order."""

    weights: Mapping[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """The names in declared order."""
        return tuple(self.weights)


def parse_event_types(text: str) -> EventTypes:
    """The event types that `name=weight,name=weight` declares.

    Raises:
        InvalidInput: On a bad name, a weight that is no finite number, a name twice, none or too many.
    """
    weights: dict[str, float] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (part.strip() for part in entry.partition("="))
        weights[_new_name(name, weights)] = _weight(name, number)
    if not 1 <= len(weights) <= MAX_EVENT_TYPES:
        raise _bad_types(f"declare 1 to {MAX_EVENT_TYPES} types, as in view=1,purchase=5", MAX_EVENT_TYPES)
    return EventTypes(weights)


def _new_name(name: str, known: Mapping[str, float]) -> str:
    if not _EVENT_TYPE.fullmatch(name):
        raise _bad_types(f"{name!r} is no event type name: lower-case letters, digits and _, at most 32, letter first")
    if name in known:
        raise _bad_types(f"{name!r} is declared twice")
    return name


def _weight(name: str, number: str) -> float:
    weight = parse_weight(number)
    if weight is None:
        raise _bad_types(f"the weight of {name!r} must be {WEIGHT_RANGE}, not {number!r}")
    return weight


def parse_weight(number: str) -> float | None:
    """The weight of an event type that *number* says; None if it is none from -WEIGHT_MAX to WEIGHT_MAX."""
    try:
        weight = float(number)
    except ValueError:
        return None
    return weight if -WEIGHT_MAX <= weight <= WEIGHT_MAX else None


def _bad_types(problem: str, limit: int | None = None) -> InvalidInput:
    return InvalidInput([FieldProblem("WHENCE_EVENT_TYPES", problem, limit)])


class LoggedEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The value of a log record: the API's event plus what ingest stamps.

    Foreign producers may omit `received_at` (append time counts) and `event_id` (it is `log:<partition>:<offset>`).
    Fields that aggregation does not use are carried along untouched.
    """

    event_type: str
    item_id: str
    event_id: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    occurred_at: datetime | None = None
    received_at: datetime | None = None
    backfill: str | None = None
    value: float | None = None
    quantity: float | None = None
    recommendation_id: str | None = None
    position: int | None = None
    surface: str | None = None
    context: dict[str, object] | None = None

    @property
    def subject(self) -> str:
        """Who acted: the user, else the session. One id space; it is the record's key."""
        return self.user_id or self.session_id or ""


def event_time_us(occurred_at_us: int | None, received_at_us: int) -> int:
    """The time that counts for an event: its own, at most 60 s after its receipt; the receipt if it has none.

    In microseconds since the epoch. The consumer's clock is never used, so that a replay gives the same result.
    """
    return received_at_us if occurred_at_us is None else min(occurred_at_us, received_at_us + _FUTURE_US)
