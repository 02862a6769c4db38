"""The file that `whence evaluate` replays, as groups of events in time order."""

import hashlib
from datetime import datetime
from pathlib import Path

from whence.cli.bulk.columns import EVENT_COLUMNS
from whence.cli.bulk.readers import STDIN, Format, format_of, read_rows
from whence.cli.moments import moment
from whence.domain.errors import FieldProblem, InvalidInput
from whence.evaluation.prequential import Group, grouped
from whence.evaluation.product import Event


def read_groups(path: str, file_format: Format | None, group_by: str | None) -> list[Group]:
    """The file's events in time order, as groups: one each, or those that share the column *group_by*.

    Raises:
        InvalidInput: If a row does not say who did what to which item and when, or there is none.
    """
    columns = EVENT_COLUMNS.with_texts(group_by) if group_by else EVENT_COLUMNS
    found: list[tuple[datetime, int, Event, object]] = []
    for row in read_rows(path, file_format or format_of(path), columns):
        fields = row.fields or {}
        user = fields.get("user_id") or fields.get("session_id")
        if row.problem or not user or "item_id" not in fields or "occurred_at" not in fields:
            problem = row.problem.problem if row.problem else "needs user_id or session_id, item_id and occurred_at"
            raise InvalidInput([FieldProblem(f"row {row.number}", problem)])
        at = moment(f"row {row.number}: occurred_at", str(fields["occurred_at"]))
        event = Event(str(user), str(fields["item_id"]), str(fields.get("event_type", "")), at)
        found.append((at, row.number, event, fields.get(group_by, row.number) if group_by else row.number))
    if not found:
        raise InvalidInput([FieldProblem(path, "has no events")])
    found.sort(key=lambda entry: entry[:2])
    return grouped([event for _, _, event, _ in found], [key for *_, key in found])


def digest_of(path: str) -> str:
    """What the file's content is told by; standard input can be read only once, and has none."""
    if path == STDIN:
        return STDIN
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
