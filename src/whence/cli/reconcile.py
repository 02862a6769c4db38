"""`whence reconcile`: recompute from the log and compare with the tables, live."""

from typing import TYPE_CHECKING, Annotated

import typer

from whence.cli import console
from whence.cli.options import Json, State, settings_with

if TYPE_CHECKING:
    from whence.aggregate.reconcile import Findings

SHOWN_MAX = 50
"""Differences that are printed for people; `--json` has up to 1,000."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reconcile)


def reconcile(
    user: Annotated[
        list[str] | None, typer.Option("--user", metavar="U", help="only this user (repeatable)", show_default=False)
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, max=100_000, metavar="N", help="only N users at random", show_default=False)
    ] = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Recompute from the log and compare with the tables, live.

    Counts and times must be equal, sums to 1e-9. Exit 1 if something differs, with the rows.
    """
    from contextlib import closing

    from whence.aggregate.reconcile import reconciliation
    from whence.cli.targets import database_url, log_settings
    from whence.domain.errors import FieldProblem, InvalidInput
    from whence.eventlog.adapters import open_scanner
    from whence.eventlog.places import log_place
    from whence.kit.database import connect

    if user and sample:
        raise InvalidInput([FieldProblem("--sample", "cannot go together with --user")])
    settings = settings_with(state)
    place = log_place(log_settings(settings))
    with (
        closing(open_scanner(place)) as scanner,
        connect(database_url(settings), settings.namespace, "reconcile") as connection,
        reconciliation(connection, scanner, console.progress) as comparison,
    ):
        if user:
            comparison.users(user)
        elif sample:
            comparison.sample(sample)
        else:
            comparison.everything()
        findings = comparison.findings
    _report(findings, as_json)
    if findings.difference_count:
        raise typer.Exit(1)


def _report(findings: "Findings", as_json: bool) -> None:
    compared = {
        "records": findings.records,
        "users": findings.users,
        "signals": findings.signals,
        "users_with_recent_items": findings.recents,
    }
    if as_json:
        rows = [difference.as_dict() for difference in findings.differences]
        console.answer({"differences": findings.difference_count, "rows": rows, "compared": compared})
        return
    for one in findings.differences[:SHOWN_MAX]:
        line = f"{one.kind}: {one.where}: {one.field} is {one.found!r}, the log says {one.expected!r}"
        console.say(console.printable(line))
    if findings.difference_count > SHOWN_MAX:
        console.say("…")
    console.say(
        f"{findings.difference_count} differences in {findings.signals} signals and the recent items of "
        f"{findings.users} users"
    )
