"""Times that people type."""

from datetime import UTC, datetime

from whence.domain.errors import FieldProblem, InvalidInput


def moment(field: str, text: str) -> datetime:
    """The time that *text* says, in UTC.

    Raises:
        InvalidInput: If it is no RFC 3339 time with offset.
    """
    problem = FieldProblem(field, f"{text!r} is no RFC 3339 time with offset, as 2026-01-31T00:00:00Z")
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput([problem]) from error
    if found.tzinfo is None:
        raise InvalidInput([problem])
    return found.astimezone(UTC)
