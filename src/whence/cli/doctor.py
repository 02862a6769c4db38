"""`whence doctor`: what is missing on this machine, and how to get it."""

from typing import TYPE_CHECKING, NamedTuple

import typer

from whence.cli import console
from whence.cli.options import Json, State, settings_with

if TYPE_CHECKING:
    from whence.kit.settings import Settings

FREE_BYTES_MIN = 4 * 2**30
"""The embedded PostgreSQL keeps up to 2 GB of write-ahead log beside its data."""

VERSION_MIN = 150_000
"""PostgreSQL 15, as the server tells its version."""


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        name: What it is.
        ok: Whether it is as it should be.
        needed: Whether Whence cannot run without it.
        advice: What was found, or how to get it.
    """

    name: str
    ok: bool
    needed: bool
    advice: str


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(state: State = None, as_json: Json = False) -> None:
    """What is missing on this machine, and how to get it.

    Exit 1 if something is missing that Whence needs.
    """
    settings = settings_with(state)
    findings = [_postgres(settings), _state(settings), _space(settings), *_ports(settings), _parquet(), *_abandoned()]
    if as_json:
        console.answer([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            mark = "ok" if finding.ok else "MISSING" if finding.needed else "note"
            console.say(f"{mark:<9}{finding.name:<22}{finding.advice}")
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(1)


def _postgres(settings: "Settings") -> Finding:
    from whence.domain.errors import DependencyUnavailable
    from whence.embedded.programs import installed_programs
    from whence.kit.database import connect
    from whence.kit.secrets import without_passwords

    try:
        if settings.database_url:
            with connect(settings.database_url, settings.namespace, "doctor") as connection:
                found = (
                    f"{without_passwords(settings.database_url)} is version {connection.info.server_version // 10_000}"
                )
                return Finding("PostgreSQL", connection.info.server_version >= 150_000, True, f"{found}; 15 or newer")
        return Finding("PostgreSQL", True, True, f"embedded, from {installed_programs()}")
    except DependencyUnavailable as error:
        return Finding("PostgreSQL", False, True, " ".join(str(error).split()))


def _state(settings: "Settings") -> Finding:
    from whence.domain.errors import InvalidInput
    from whence.embedded.state import StateFolder

    folder = StateFolder(settings.state)
    try:
        existed = folder.path.exists()
        folder.make()
        if not existed:
            folder.remove()
    except InvalidInput as error:
        return Finding("state folder", False, True, error.problems[0].problem)
    return Finding("state folder", True, True, str(folder.path))


def _space(settings: "Settings") -> Finding:
    import shutil

    place = next(path for path in (settings.state.absolute(), *settings.state.absolute().parents) if path.exists())
    free_bytes = shutil.disk_usage(place).free
    advice = f"{free_bytes / 2**30:.0f} GiB free at {place}; {FREE_BYTES_MIN / 2**30:.0f} GiB are good to have"
    return Finding("disk", free_bytes >= FREE_BYTES_MIN, False, advice)


def _ports(settings: "Settings") -> list[Finding]:
    from whence.embedded.supervisor import PORTS
    from whence.kit.listening import is_free

    findings = []
    for name, port in PORTS.items():
        free = is_free(settings.host, port)
        advice = str(port) if free else f"{port} is taken; `whence up` takes the next free one and says which"
        findings.append(Finding(f"port of {name}", free, False, advice))
    return findings


def _abandoned() -> list[Finding]:
    """Data of root's that no state folder names any more."""
    import os

    from whence.embedded.place import abandoned_places

    places = abandoned_places() if os.geteuid() == 0 else []
    advice = "its state folder has been moved or deleted; delete it if nobody needs its events and scores"
    return [Finding("abandoned data", False, False, f"{place}: {advice}") for place in places]


def _parquet() -> Finding:
    import importlib.util

    found = importlib.util.find_spec("pyarrow") is not None
    return Finding("Parquet files", found, False, "can be imported" if found else "pip install 'whence[parquet]'")
