"""`whence evaluate`: replay a log through the product and report how good its lists would have been."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from whence.cli import console
from whence.cli.importing import File, FileFormat
from whence.cli.options import Json, settings_with

if TYPE_CHECKING:
    from whence.evaluation.prequential import Group
    from whence.kit.settings import Settings

PROGRESS_SECONDS = 5.0
"""Between two lines of progress."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    file: File,
    start: Annotated[str, typer.Option("--from", metavar="T", help="first moment that is asked, RFC 3339")],
    end: Annotated[str, typer.Option("--to", metavar="T", help="end of the window, exclusive")],
    targets: Annotated[
        Literal["unseen", "all"], typer.Option(help="items new to the user, or every next item")
    ] = "unseen",
    group_by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="events that share it are one query", show_default=False)
    ] = None,
    limit_queries: Annotated[int | None, typer.Option(min=1, metavar="N", show_default=False)] = None,
    file_format: FileFormat = None,
    as_json: Json = False,
) -> None:
    """Replay a log through the product, beside popularity and the user's own scores.

    Before each event of the window a list is asked for from everything earlier, scored against what came next, and the
    event is learnt. Figures are percent, ranked over all items. Nothing of your data is touched: it runs in a database
    schema of its own.
    """
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from whence.cli.moments import moment
    from whence.evaluation.run import Protocol
    from whence.evaluation.run import evaluate as run

    settings = settings_with()
    protocol = Protocol((moment("--from", start), moment("--to", end)), targets, limit_queries)
    groups = _groups(file, file_format, group_by)
    with _database(settings) as url:
        figures = run(url, groups, settings.types(), protocol, progress=_progress())
    if as_json:
        console.answer(figures)
        return
    names = list(next(iter(figures.values())))
    console.table(["variant", *names], [[name, *(f"{row[one]:g}" for one in names)] for name, row in figures.items()])


def _groups(path: str, file_format: Literal["jsonl", "csv", "parquet"] | None, group_by: str | None) -> "list[Group]":
    """The file's events in time order, as groups."""
    from whence.cli.bulk.columns import EVENT_COLUMNS
    from whence.cli.bulk.readers import format_of, read_rows
    from whence.cli.moments import moment
    from whence.domain.errors import FieldProblem, InvalidInput
    from whence.evaluation.prequential import grouped
    from whence.evaluation.product import Event

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


@contextmanager
def _database(settings: "Settings") -> Iterator[str]:
    """The database of the settings, of the running installation, else an embedded one for this run."""
    import tempfile
    from pathlib import Path

    from whence.embedded.postgres import EmbeddedPostgres
    from whence.embedded.state import StateFolder

    running = StateFolder(settings.state).endpoints() or {}
    if url := settings.database_url or running.get("database_url"):
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="whence-evaluate-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            yield server.start()
        finally:
            server.remove()


def _progress() -> Callable[[str, int, int], None]:
    told = time.monotonic()

    def tell(variant: str, done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= PROGRESS_SECONDS:
            told = time.monotonic()
            console.progress(f"{variant}: {done} of {total}")

    return tell
