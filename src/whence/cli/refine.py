"""`whence refine`: fit the refined neighbour weights now."""

from typing import Annotated

import typer

from whence.cli import console
from whence.cli.options import Json, State, settings_with


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(refine)


def refine(
    as_of: Annotated[
        str | None, typer.Option(metavar="T", help="zero of the ages, RFC 3339 (now)", show_default=False)
    ] = None,
    if_due: Annotated[
        bool, typer.Option("--if-due", help="only if this day (UTC) has none yet, as of midnight")
    ] = False,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Fit the refined neighbour weights now.

    It runs by itself once a day; without it lists rest on counts alone.
    """
    import os

    # Thousands of small systems: threads of the linear algebra would only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from whence.aggregate.refinement import is_due, midnight
    from whence.aggregate.refinement import refine as fit_now
    from whence.cli.moments import moment
    from whence.cli.targets import database_url
    from whence.kit.clock import SystemClock
    from whence.kit.database import connect

    settings = settings_with(state)
    now = moment("--as-of", as_of) if as_of else SystemClock().now()
    with connect(database_url(settings), settings.namespace, "refine") as connection:
        if if_due and not is_due(connection, now):
            done, reason = None, "this day's weights are in place"
        else:
            done, reason = fit_now(connection, midnight(now) if if_due else now), "another process is at it"
    if as_json:
        console.answer({"fit": done.as_dict() if done else None, "reason": None if done else reason})
    elif done is None:
        console.say(f"nothing to do: {reason}")
    else:
        console.say(
            f"{done.weights} weights of {done.sources} items, from {done.touches} touches, in {done.seconds:.1f} s"
        )
