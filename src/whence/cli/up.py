"""`whence up`, `down`, `status`, `reset`: all of Whence on one machine."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from whence.cli import console
from whence.cli.options import Json, Log, State, settings_with

if TYPE_CHECKING:
    from whence.embedded.state import Part
    from whence.embedded.stores import EmbeddedLog
    from whence.kit.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, down, status, reset):
        app.command()(command)


def up(
    state: State = None,
    log: Log = "postgresql",
    detach: Annotated[bool, typer.Option("--detach", help="return when all is ready; `whence down` stops it")] = False,
    report_to: Annotated[int | None, typer.Option(hidden=True)] = None,
    as_json: Json = False,
) -> None:
    """Run everything on this machine.

    Embedded stores where no setting names others, then the three services; Ctrl-C or `whence down` stops all of it.
    """
    from whence.cli import detached
    from whence.kit.listening import check_exposure

    settings = settings_with(state)
    check_exposure(settings.host, settings.keys(), settings.insecure)
    if report_to is not None:
        detached.run(settings, log, report_to)
    elif detach:
        _show(detached.start(settings, log, _report(as_json)), as_json)
    else:
        _run(settings, log, as_json)


def down(state: State = None, as_json: Json = False) -> None:
    """Stop what `up` runs, from any terminal."""
    from whence.embedded.down import stop_running
    from whence.embedded.state import StateFolder

    folder = StateFolder(settings_with(state).state)
    stopped = stop_running(folder)
    if as_json:
        console.answer({"state": str(folder.path), "stopped": stopped})
    else:
        console.say(f"stopped {', '.join(stopped)}" if stopped else f"nothing runs from {folder.path}")


def status(state: State = None, as_json: Json = False) -> None:
    """What runs where, and since when; exit 1 if a part is ill."""
    from whence.embedded.health import healthy_parts
    from whence.embedded.state import StateFolder

    folder = StateFolder(settings_with(state).state)
    found = healthy_parts(folder)
    if as_json:
        console.answer([_row(part, healthy) for part, healthy in found])
    elif not found:
        console.say(f"nothing runs from {folder.path}; start it with `whence up`")
    else:
        rows = [_row(part, healthy) for part, healthy in found]
        console.table(list(rows[0]), [[_cell(value) for value in row.values()] for row in rows])
    if not all(healthy for _, healthy in found):
        raise typer.Exit(1)


def reset(
    state: State = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    as_json: Json = False,
) -> None:
    """Stop what runs and delete the state.

    Events, scores, catalogue and logs go; other files in the folder stay.
    """
    from whence.embedded.down import remove_state
    from whence.embedded.state import StateFolder

    folder = StateFolder(settings_with(state).state)
    exists = folder.path.exists()
    if exists and not yes:
        _ask(f"Delete all events and scores in {folder.path}?")
    if exists:
        remove_state(folder)
    if as_json:
        console.answer({"state": str(folder.path), "deleted": exists})
    else:
        console.say(f"deleted the state in {folder.path}" if exists else f"there is no state in {folder.path}")


def _run(settings: "Settings", log: "EmbeddedLog", as_json: bool) -> None:
    """Run everything in the foreground until a signal comes."""
    from whence.cli.stores import prepare_stores
    from whence.embedded.signals import StopSignals
    from whence.embedded.supervisor import Supervisor

    report = _report(as_json)
    with StopSignals() as signals, Supervisor(settings, prepare_stores, report, signals, log) as supervisor:
        _show(supervisor.endpoints(), as_json)
        if not as_json:
            console.say("Ctrl-C stops all of it")
        signals.asked.wait()
        report("stopping")


def _report(as_json: bool) -> Callable[[str], None]:
    """Where lines about progress go; a terminal that is gone takes none, and that is no reason to stop."""
    import contextlib

    def report(line: str) -> None:
        with contextlib.suppress(OSError):
            console.progress(line) if as_json else console.say(line)

    return report


def _show(endpoints: dict[str, str | None], as_json: bool) -> None:
    """Print the URLs."""
    if as_json:
        console.answer(endpoints)
        return
    console.say()
    for label, name, path in (
        ("events", "ingest", "/v1/events"),
        ("lists", "recommend", "/v1/users/{user_id}/recommendations"),
        ("docs", "ingest", "/docs"),
        ("docs", "recommend", "/docs"),
        ("database", "database_url", ""),
    ):
        console.say(f"{label:<12}{endpoints[name]}{path}")


def _row(part: "Part", healthy: bool) -> dict[str, object]:
    """A part as `status` shows it; a port of null says that the part is reached through a Unix socket."""
    from whence.kit.secrets import without_passwords

    return {
        "name": part.name,
        "pid": part.pid,
        "port": part.port,
        "healthy": healthy,
        "since": part.since,
        "url": without_passwords(part.url),
    }


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _ask(question: str) -> None:
    """Leave unless the person at the terminal agrees."""
    import sys

    if not sys.stdin or not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to ask: add --yes", param_hint="--yes")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)
