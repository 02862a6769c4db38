"""`whence rebuild`: the scores made anew from the log, and put in place."""

from typing import TYPE_CHECKING, Annotated

import typer

from whence.cli import console
from whence.cli.options import Json, State, settings_with

if TYPE_CHECKING:
    from whence.aggregate.rebuild.story import Rebuilt

CELL_MAX = 200
"""Characters of a row that are printed for people; `--json` has it whole."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rebuild)


def rebuild(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="compare alone, swap nothing; exit 1 if rows differ")
    ] = False,
    without_beginning: Annotated[
        bool,
        typer.Option(
            "--without-beginning", help="go on though the log has lost its first records, and with them history"
        ),
    ] = False,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Make the scores anew from the log beside those that serve, compare, and swap in one transaction.

    Live: events are accepted and lists are served all the time; only at the end events wait some seconds to be applied.
    Internal ids, the catalogue and dead letters stay. It needs about as much free disk as the tables take.
    """
    from contextlib import closing

    from whence.aggregate.rebuild.story import Rebuild, Wish
    from whence.cli.targets import database_url, log_settings
    from whence.eventlog.adapters import open_scanner
    from whence.eventlog.places import log_place
    from whence.kit import failpoints
    from whence.kit.clock import SystemClock

    settings = settings_with(state)
    failpoints.arm(settings.failpoints)
    with closing(open_scanner(log_place(log_settings(settings)))) as scanner:
        work = Rebuild(database_url(settings), settings.namespace, scanner, SystemClock(), console.progress)
        done = work.run(Wish(swap=not dry_run, without_beginning=without_beginning))
    if as_json:
        console.answer(done.as_dict())
    else:
        _tell(done)
    if dry_run and done.difference_count:
        raise typer.Exit(1)


def _tell(done: "Rebuilt") -> None:
    for sentence in done.gone:
        console.say(sentence)
    for table in done.tables:
        for serving, rebuilt in table.examples:
            line = f"{table.table}: serving {str(serving)[:CELL_MAX]}, rebuilt {str(rebuilt)[:CELL_MAX]}"
            console.say(console.printable(line))
    console.table(["table", "rows that differ"], [[table.table, f"{table.rows:,}"] for table in done.tables])
    outcome = "the new tables are in place" if done.swapped else "nothing was changed"
    console.say(
        f"{done.records:,} records in {done.seconds:.1f} s ({done.records_per_second:,.0f}/s), "
        f"{done.fenced_seconds:.1f} s of them with the aggregators waiting; {outcome}"
    )
