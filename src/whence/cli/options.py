"""Options that many commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from whence.kit.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="one JSON document on stdout, nothing else there")]
"""`--json`."""

State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="state folder (WHENCE_STATE, else .whence)", show_default=False),
]
"""`--state`, for commands that work on the embedded stores."""

Log = Annotated[
    Literal["postgresql", "kafka"],
    typer.Option("--log", help="what keeps the event log if WHENCE_LOG_URL does not say; kafka needs Java 17"),
]
"""`--log`, for commands that start the embedded stores."""


def settings_with(state: Path | None = None) -> "Settings":
    """The settings in force, with the state folder of `--state` if that is given."""
    from whence.kit.settings import load_settings

    settings = load_settings().settings
    return settings if state is None else settings.model_copy(update={"state": state})
