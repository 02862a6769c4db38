"""What makes an event valid, field by field.

Two ways that agree (a property test compares them): msgspec decodes straight into a strict record, which settles
nearly every event in a few microseconds; only what fails that is read again, slowly, to name every wrong field with
its limit and the fix. Values are never coerced: "5" is no number. `null` counts as absent. Of a field given twice the
last one counts, as JSON readers do.
"""

import json
import math
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from whence.domain.errors import FieldProblem, InvalidEvent, InvalidInput, MalformedInput
from whence.domain.event_fields import (
    MAX_POSITION,
    EventRules,
    context_problem,
    field_problems,
    time_problem,
)
from whence.domain.events import (
    MAX_EVENT_BYTES,
    MAX_ID_LENGTH,
    LoggedEvent,
)

MAX_BACKFILL_NAME_LENGTH = 64
"""Characters of a backfill's name."""

MAX_INTEGER_DIGITS = 4_000
"""A longer integer is beyond every number we take; Python refuses to convert one of more than 4,300."""

_ID = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]


class _Incoming(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The API's event with the limits that msgspec checks while it decodes."""

    event_type: str
    item_id: _ID
    event_id: _ID | None = None
    user_id: _ID | None = None
    session_id: _ID | None = None
    occurred_at: Annotated[datetime, Meta(tz=True)] | None = None
    value: float | None = None
    quantity: Annotated[float, Meta(gt=0)] | None = None
    recommendation_id: _ID | None = None
    position: Annotated[int, Meta(ge=0, le=MAX_POSITION)] | None = None
    surface: _ID | None = None
    context: dict[str, object] | None = None


_decode = msgspec.json.Decoder(_Incoming).decode
_ODD_IDS = frozenset({".", ".."})


def valid_event(raw: bytes, rules: EventRules) -> LoggedEvent | None:
    """The event that *raw* is, as JSON; None if anything is wrong with it, which `check_event` names."""
    if len(raw) > MAX_EVENT_BYTES:
        return None
    try:
        incoming = _decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return _logged(incoming, rules) if _is_valid(incoming, rules) else None


def check_event(raw: bytes, rules: EventRules) -> LoggedEvent:
    """The event that *raw* is, as JSON.

    Raises:
        MalformedInput: If it is not JSON.
        InvalidEvent: With every problem that it has.
    """
    return valid_event(raw, rules) or check_document(read_json(raw), rules, len(raw))


def check_document(document: object, rules: EventRules, size_bytes: int | None = None) -> LoggedEvent:
    """The event that a decoded JSON document is.

    Args:
        document: From `read_json`.
        rules: What it is checked against.
        size_bytes: Of its JSON as sent; measured on compact JSON if not given.

    Raises:
        InvalidEvent: With every problem that it has.
    """
    if not isinstance(document, dict):
        raise InvalidEvent([FieldProblem("", "an event must be a JSON object")])
    given = {name: value for name, value in document.items() if value is not None}
    size_bytes = _compact_bytes(document) if size_bytes is None else size_bytes
    if problems := [*_size_problems(size_bytes), *field_problems(given, rules)]:
        raise InvalidEvent(problems)
    try:
        return _logged(msgspec.convert(given, _Incoming), rules)
    except msgspec.ValidationError as error:  # the two ways disagree; the strict one decides
        raise InvalidEvent([FieldProblem("", str(error))]) from error


def read_json(raw: bytes) -> Any:
    """What Python's `json` reads: also NaN and lone surrogates, so that the field that holds one can be named.

    Raises:
        MalformedInput: If it is not JSON in UTF-8, or nested beyond what can be read.
    """
    try:
        return json.loads(raw.decode("utf-8"), parse_int=_integer)
    except UnicodeDecodeError as error:
        problem = f"must be UTF-8; byte {error.start} is not"
    except RecursionError:
        problem = "is nested too deeply"
    except json.JSONDecodeError as error:
        problem = f"must be JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    raise MalformedInput([FieldProblem("", problem)])


def check_backfill_name(name: str) -> str:
    """The name if it can be one.

    Raises:
        InvalidInput: If it is empty, too long, or holds control characters or lone surrogates.
    """
    if 1 <= len(name) <= MAX_BACKFILL_NAME_LENGTH and not any(_is_control(character) for character in name):
        return name
    problem = f"must have 1 to {MAX_BACKFILL_NAME_LENGTH} characters, none of them a control character"
    raise InvalidInput([FieldProblem("backfill", problem, MAX_BACKFILL_NAME_LENGTH)])


def _is_control(character: str) -> bool:
    return character < " " or character == "\x7f" or "\ud800" <= character <= "\udfff"


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else math.copysign(math.inf, -1 if digits[0] == "-" else 1)


def _is_valid(event: _Incoming, rules: EventRules) -> bool:
    """What msgspec does not check: whether a decoded event is valid; `field_problems` says why not.

    (Lone surrogates do not pass msgspec.)
    """
    subject = event.user_id or event.session_id
    texts = (event.item_id, event.event_id, event.user_id, event.session_id, event.recommendation_id, event.surface)
    return (
        subject is not None
        and event.event_type in rules.types.weights
        and _ODD_IDS.isdisjoint(texts)
        and "\x00" not in "".join(filter(None, texts))
        and (event.event_id is not None or rules.backfill is None)
        and (event.occurred_at is None or time_problem(event.occurred_at, rules) is None)
        and (event.context is None or context_problem(event.context) is None)
    )


def _logged(event: _Incoming, rules: EventRules) -> LoggedEvent:
    return LoggedEvent(
        event_type=event.event_type,
        item_id=event.item_id,
        event_id=event.event_id,
        user_id=event.user_id,
        session_id=event.session_id,
        occurred_at=event.occurred_at,
        received_at=rules.received_at,
        backfill=rules.backfill,
        value=event.value,
        quantity=event.quantity,
        recommendation_id=event.recommendation_id,
        position=event.position,
        surface=event.surface,
        context=event.context,
    )


def _compact_bytes(document: object) -> int:
    return len(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _size_problems(size_bytes: int) -> list[FieldProblem]:
    if size_bytes <= MAX_EVENT_BYTES:
        return []
    problem = f"the event has {size_bytes} bytes; at most {MAX_EVENT_BYTES} are possible"
    return [FieldProblem("", problem, MAX_EVENT_BYTES)]
