"""The rules of an event's fields: one small check for each, with the limit and the fix in its words."""

import difflib
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec

from whence.domain.errors import FieldProblem
from whence.domain.events import LIVE_WINDOW_FUTURE, LIVE_WINDOW_PAST, MAX_CONTEXT_BYTES, MAX_ID_LENGTH, EventTypes

MAX_POSITION = 2**31 - 1
"""Largest `position`: a 32-bit integer holds it."""

MAX_CONTEXT_DEPTH = 16
"""Objects and lists within each other in `context`: every JSON reader behind us can follow."""

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""Not even a backfill has older events; such a time is a mistake, and year 1 overflows in some time zones."""


class EventRules(msgspec.Struct, frozen=True):
    """What an event is checked against.

    Attributes:
        types: The event types of the installation.
        received_at: When the event came in; bounds its own time.
        backfill: The name of the backfill that it belongs to; None for a live event.
    """

    types: EventTypes
    received_at: datetime
    backfill: str | None = None


Found = tuple[str] | tuple[str, int | float | str] | None
"""A problem's sentence and limit, or None."""


def field_problems(given: Mapping[str, object], rules: EventRules) -> list[FieldProblem]:
    """Everything that is wrong with an event's fields; none means that it is valid."""
    problems = [_unknown(name) for name in given if name not in FIELDS]
    for name in ("event_type", "item_id"):
        if name not in given:
            problems.append(FieldProblem(name, "is missing; it is required"))
    if "user_id" not in given and "session_id" not in given:
        problems.append(FieldProblem("user_id", "is missing: give user_id, session_id or both"))
    if rules.backfill is not None and "event_id" not in given:
        problems.append(
            FieldProblem("event_id", "is missing; an event of a backfill needs one, so that it counts once")
        )
    for name in FIELDS:
        if name in given and (found := _CHECKS[name](given[name], rules)):
            problems.append(FieldProblem(name, *found))
    return problems


def _unknown(name: str) -> FieldProblem:
    near = difflib.get_close_matches(name, FIELDS, n=1)
    hint = f"did you mean {near[0]}?" if near else "put what is your own into context"
    shown = name.encode("utf-8", "replace").decode()[:MAX_ID_LENGTH]
    return FieldProblem(shown, f"there is no such field; {hint}")


def _check_type(value: object, rules: EventRules) -> Found:
    if not isinstance(value, str):
        return _wrong_type("a string", value)
    if value not in rules.types.weights:
        return (f"must be one of: {', '.join(rules.types.names)}",)
    return None


def _check_text(value: object, _: EventRules) -> Found:
    if not isinstance(value, str):
        return _wrong_type("a string", value)
    if not 1 <= len(value) <= MAX_ID_LENGTH:
        return (f"must have 1 to {MAX_ID_LENGTH} characters, not {len(value)}", MAX_ID_LENGTH)
    problem = text_problem(value)
    return (problem,) if problem else None


def text_problem(value: str) -> str | None:
    """What is wrong with the characters of an id, if anything."""
    if "\x00" in value:
        return "must not contain NUL characters"
    if value in (".", ".."):
        return "must not be . or .., which the paths of URLs cannot carry"
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        return "must not contain lone surrogates (half a character)"
    return None


def _check_time(value: object, rules: EventRules) -> Found:
    if not isinstance(value, str):
        return _wrong_type("a string", value)
    try:
        moment = msgspec.convert(value, datetime)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return ("must be an RFC 3339 time with offset, as in 2026-10-03T12:00:00Z",)
    if moment.tzinfo is None:
        return ("must name its offset from UTC: end it with Z or one like +02:00",)
    return time_problem(moment, rules)


def time_problem(moment: datetime, rules: EventRules) -> Found:
    """Whether an event's own time lies outside of what its way in allows."""
    if moment - rules.received_at > LIVE_WINDOW_FUTURE:
        seconds = int(LIVE_WINDOW_FUTURE.total_seconds())
        return (
            f"is more than {seconds} s ahead of our clock ({_text(rules.received_at)}); check the sender's",
            seconds,
        )
    if rules.backfill is not None:
        return ("must not be before 1970", _text(EARLIEST)) if moment < EARLIEST else None
    if rules.received_at - moment > LIVE_WINDOW_PAST:
        hours = LIVE_WINDOW_PAST // timedelta(hours=1)
        problem = f"is more than {hours} h old; send older events as a named backfill: /v1/events/batch?backfill=NAME"
        return (problem, int(LIVE_WINDOW_PAST.total_seconds()))
    return None


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _check_number(value: object, _: EventRules) -> Found:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _wrong_type("a number", value)
    if not _is_finite(value):
        return ("must be a finite number, below 1.8e308 in size",)
    return None


def _check_quantity(value: object, rules: EventRules) -> Found:
    found = _check_number(value, rules)
    if found is None and cast(float, value) <= 0:
        return ("must be above 0", 0)
    return found


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _check_position(value: object, _: EventRules) -> Found:
    if isinstance(value, bool) or not isinstance(value, int):
        return _wrong_type("a whole number, written without point or exponent", value)
    if not 0 <= value <= MAX_POSITION:
        return (f"must be 0 to {MAX_POSITION}", MAX_POSITION if value > 0 else 0)
    return None


def _check_context(value: object, _: EventRules) -> Found:
    if not isinstance(value, dict):
        return _wrong_type("an object", value)
    try:
        # Written and read again: msgspec refuses NaN, numbers out of range and lone surrogates only when it reads.
        strict = msgspec.json.decode(json.dumps(value))
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return ("must hold finite numbers, whole characters and no deep nesting",)
    return context_problem(strict)


def context_problem(context: object) -> Found:
    """Whether a decoded `context` is too large or too deep."""
    try:
        encoded = msgspec.json.encode(context)
    except (ValueError, RecursionError):
        return ("must hold numbers of usual size and no deep nesting",)
    if len(encoded) > MAX_CONTEXT_BYTES:
        return (f"has {len(encoded)} bytes of JSON; at most {MAX_CONTEXT_BYTES} are possible", MAX_CONTEXT_BYTES)
    brackets = encoded.count(b"{") + encoded.count(b"[")  # no fewer than its depth
    if brackets > MAX_CONTEXT_DEPTH and _depth(context) > MAX_CONTEXT_DEPTH:
        return (f"is nested more than {MAX_CONTEXT_DEPTH} deep", MAX_CONTEXT_DEPTH)
    return None


def _depth(value: object) -> int:
    """How deep objects and lists lie within each other; at most about 1,000, for the reader stops there."""
    depth, level = 0, [value]
    while level:
        containers = [entry for entry in level if isinstance(entry, dict | list)]
        depth += bool(containers)
        level = [inner for entry in containers for inner in (entry.values() if isinstance(entry, dict) else entry)]
    return depth


def _wrong_type(wanted: str, value: object) -> tuple[str]:
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
    }
    return (f"must be {wanted}, not {kinds.get(type(value), 'null')}",)


_CHECKS: dict[str, Callable[[object, EventRules], Found]] = {
    "event_type": _check_type,
    "item_id": _check_text,
    "event_id": _check_text,
    "user_id": _check_text,
    "session_id": _check_text,
    "occurred_at": _check_time,
    "value": _check_number,
    "quantity": _check_quantity,
    "recommendation_id": _check_text,
    "position": _check_position,
    "surface": _check_text,
    "context": _check_context,
}

FIELDS = tuple(_CHECKS)
"""The fields of an event, in the order of the documentation."""
