"""`whence import`: files of events and items."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from whence.cli import console
from whence.cli.options import Json, settings_with

if TYPE_CHECKING:
    from whence.cli.bulk.delivery import Sender, Tally
    from whence.cli.bulk.entries import BadRow, Entry
    from whence.cli.bulk.readers import Row
    from whence.kit.settings import Settings

LANES = 4
"""Batches under way at once: keeps ingest and the log busy while each waits for the other."""

SHOWN_BAD_ROWS = 20
"""Bad rows that people see; `--json` has more."""

File = Annotated[str, typer.Argument(metavar="FILE", help="JSON lines, CSV or Parquet (also .gz); `-` for stdin")]
FileFormat = Annotated[
    Literal["jsonl", "csv", "parquet"] | None,
    typer.Option("--format", help="if the name does not tell it; stdin is JSON lines otherwise", show_default=False),
]

group = typer.Typer(help="files of events or items", no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="import")


@group.command()
def events(
    file: File,
    name: Annotated[
        str | None,
        typer.Option("--name", help="name of the backfill (else the file's base name)", show_default=False),
    ] = None,
    to: Annotated[
        Literal["api", "log"], typer.Option("--to", help="through ingest, or straight to the event log")
    ] = "api",
    file_format: FileFormat = None,
    as_json: Json = False,
) -> None:
    """Import events of any age, with the field names of the API, as a named backfill.

    The same file twice changes nothing, today or next year: rows without event_id get one from the backfill's name,
    their content, and how many equal rows came before. The rows of one user keep their order.
    """
    from whence.cli.bulk.columns import EVENT_COLUMNS
    from whence.cli.bulk.entries import EventEntries
    from whence.cli.bulk.readers import format_of, read_rows
    from whence.domain.event_checks import check_backfill_name

    form = file_format or format_of(file)
    backfill = check_backfill_name(name or _default_name(file))
    settings = settings_with()
    sender = _log_sender(settings, backfill) if to == "log" else _ingest_sender(settings, backfill)
    rows = read_rows(file, form, EVENT_COLUMNS)
    _import(rows, EventEntries(backfill).entry, sender, 1 if to == "log" else LANES, {"name": backfill}, as_json)


@group.command()
def items(file: File, file_format: FileFormat = None, as_json: Json = False) -> None:
    """Put items into the catalogue, with the field names of the API.

    In CSV, categories are separated by | and attributes are a JSON object.
    """
    from whence.cli.bulk.columns import ITEM_COLUMNS
    from whence.cli.bulk.entries import item_entry
    from whence.cli.bulk.readers import format_of, read_rows

    rows = read_rows(file, file_format or format_of(file), ITEM_COLUMNS)
    _import(rows, item_entry, _recommend_sender(settings_with()), 1, {}, as_json)


def _default_name(file: str) -> str:
    from whence.cli.bulk.readers import STDIN, base_name
    from whence.domain.errors import FieldProblem, InvalidInput

    if file == STDIN:
        raise InvalidInput([FieldProblem("--name", "is needed for standard input: it names the backfill")])
    return base_name(file)


def _ingest_sender(settings: "Settings", name: str) -> "Callable[[], Sender]":
    from whence.cli.bulk.targets import EventsToIngest
    from whence.cli.client import ServiceClient

    _expect(settings, "ingest")
    return lambda: EventsToIngest(ServiceClient.of(settings, "ingest"), name)


def _recommend_sender(settings: "Settings") -> "Callable[[], Sender]":
    from whence.cli.bulk.targets import ItemsToRecommend
    from whence.cli.client import ServiceClient

    _expect(settings, "recommend")
    return lambda: ItemsToRecommend(ServiceClient.of(settings, "recommend"))


def _log_sender(settings: "Settings", name: str) -> "Callable[[], Sender]":
    from whence.cli.bulk.targets import EventsToLog
    from whence.cli.targets import log_settings
    from whence.eventlog.places import log_place

    place = log_place(log_settings(settings))
    return lambda: EventsToLog(place, settings.types(), name)


def _expect(settings: "Settings", service: Literal["ingest", "recommend"]) -> None:
    """Fail at once, not after the patience of a long import, if the service is not there to begin with."""
    from contextlib import closing

    from whence.cli.client import ServiceClient

    with closing(ServiceClient.of(settings, service)) as client:
        client.get("/livez")


def _import(
    rows: "Iterator[Row]",
    make_entry: "Callable[[Row], Entry | BadRow]",
    sender: "Callable[[], Sender]",
    lanes: int,
    about: dict[str, object],
    as_json: bool,
) -> None:
    """Send all rows, tell what became of them; exit 1 if some were rejected."""
    from whence.cli.bulk.delivery import Tally

    tally = Tally()
    started = time.monotonic()
    count = _send_all(rows, make_entry, sender, lanes, tally)
    seconds = time.monotonic() - started
    _report(count, seconds, tally, about, as_json)
    if tally.rejected:
        raise typer.Exit(1)


def _send_all(
    rows: "Iterator[Row]",
    make_entry: "Callable[[Row], Entry | BadRow]",
    sender: "Callable[[], Sender]",
    lanes: int,
    tally: "Tally",
) -> int:
    from whence.cli.bulk.delivery import Delivery
    from whence.cli.bulk.entries import BadRow
    from whence.cli.bulk.progress import ImportProgress
    from whence.domain.errors import DependencyUnavailable

    count = 0
    try:
        with ImportProgress(tally) as progress, Delivery(lanes, sender, tally) as delivery:
            for count, row in enumerate(rows, start=1):  # how many there were
                entry = make_entry(row)
                if isinstance(entry, BadRow):
                    tally.reject(entry)
                else:
                    delivery.put(entry)
                progress(count)
    except DependencyUnavailable as error:
        if not tally.accepted:
            raise
        message = f"{error}; {tally.accepted:,} rows are in: run the same command again, nothing counts twice"
        raise DependencyUnavailable(error.dependency, message) from error
    return count


def _report(count: int, seconds: float, tally: "Tally", about: dict[str, object], as_json: bool) -> None:
    bad_rows = sorted(tally.bad_rows, key=lambda bad: bad.row)
    for bad in bad_rows[:SHOWN_BAD_ROWS]:
        for problem in bad.problems:
            console.progress(f"row {bad.row}: {problem.field + ' ' if problem.field else ''}{problem.problem}")
    if tally.rejected > SHOWN_BAD_ROWS:
        console.progress(f"… and {tally.rejected - SHOWN_BAD_ROWS:,} more bad rows")
    rate = tally.accepted / seconds if seconds else 0.0
    if as_json:
        errors = [{"row": bad.row, "errors": [problem.as_dict() for problem in bad.problems]} for bad in bad_rows]
        summary = {"rows": count, "accepted": tally.accepted, "rejected": tally.rejected}
        timing = {"seconds": round(seconds, 3), "events_per_second": round(rate, 1)}
        console.answer({**about, **summary, **timing, "token": tally.token(), "bad_rows": errors})
    else:
        bad_text = f", {tally.rejected:,} rejected" if tally.rejected else ""
        console.say(f"{count:,} rows: {tally.accepted:,} accepted{bad_text}, in {seconds:.1f} s ({rate:,.0f}/s)")
