"""The entries of a batch request, taken apart but not yet looked into: each is judged on its own."""

import msgspec
from starlette.exceptions import HTTPException

from whence.domain.errors import FieldProblem, InvalidInput
from whence.domain.event_checks import read_json
from whence.domain.events import MAX_BATCH_EVENTS, MAX_EVENT_BYTES
from whence.ingest.accept import Entry

JSON_LINES = "application/x-ndjson"

MAX_BATCH_BYTES = MAX_BATCH_EVENTS * MAX_EVENT_BYTES + 2 * 1024 * 1024
"""The largest batch of the largest events, and some more, so that one event above its limit can be named."""

MAX_BATCH_COMMAS = 200 * MAX_BATCH_EVENTS
"""Commas in a batch (an event without context has at most 11): bounds what a body of this size can unfold to."""

MAX_BATCH_LINES = 2 * MAX_BATCH_EVENTS
"""Lines of JSON lines, blank ones included."""


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    events: list[msgspec.Raw]


_decode = msgspec.json.Decoder(_Batch).decode


def batch_entries(body: bytes, media_type: str) -> list[Entry]:
    """The entries of a batch in the client's order.

    Args:
        body: `{"events": […]}` or JSON lines; blank lines are no entries.
        media_type: `JSON_LINES` or that of JSON.

    Raises:
        MalformedInput: If the body is not JSON as a whole.
        InvalidInput: If it is no batch, or an empty one.
        HTTPException: 413 if it has too many entries.
    """
    if body.count(b",") > MAX_BATCH_COMMAS:
        raise HTTPException(413, f"The batch has more than {MAX_BATCH_COMMAS} commas; send fewer events at once.")
    entries = _lines(body) if media_type == JSON_LINES else _events(body)
    if len(entries) > MAX_BATCH_EVENTS:
        raise HTTPException(413, f"The batch has {len(entries)} events; send at most {MAX_BATCH_EVENTS} at once.")
    if not entries:
        raise InvalidInput([FieldProblem("events", f"must have 1 to {MAX_BATCH_EVENTS} events, not none", 1)])
    return entries


def _lines(body: bytes) -> list[Entry]:
    if body.count(b"\n") > MAX_BATCH_LINES:
        raise HTTPException(413, f"The batch has too many lines; send at most {MAX_BATCH_EVENTS} events at once.")
    return [line for line in body.split(b"\n") if line.strip()]


def _events(body: bytes) -> list[Entry]:
    try:
        return [bytes(raw) for raw in _decode(body).events]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _events_of(read_json(body))


def _events_of(document: object) -> list[Entry]:
    """The entries of a batch that the fast decoder refuses: to say what is wrong, or because of a NaN within."""
    if not isinstance(document, dict):
        raise InvalidInput([FieldProblem("", 'a batch must be a JSON object, {"events": […]}')])
    problems = [
        FieldProblem(repr(name)[1:-1], "there is no such field; a batch has only `events`")
        for name in document
        if name != "events"
    ]
    events = document.get("events")
    if "events" not in document:
        problems.append(FieldProblem("events", "is missing; it is required"))
    elif not isinstance(events, list):
        problems.append(FieldProblem("events", "must be a list of events"))
    if problems or not isinstance(events, list):
        raise InvalidInput(problems)
    return events
