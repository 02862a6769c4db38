"""`whence weights`: the weights of event types: which count, what others would change, publishing them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from whence.cli import console
from whence.cli.options import Json, State, settings_with
from whence.cli.recommend import Exclude
from whence.cli.weights_report import (
    changes_document,
    headline,
    listed,
    moves_of,
    origin,
    preview_document,
    preview_lines,
    recipe_document,
    told_changes,
)

if TYPE_CHECKING:
    import psycopg

    from whence.kit.settings import Settings

PROGRESS_SECONDS = 2.0
"""Between two lines of progress."""

weights_app = typer.Typer(
    help="weights of event types: show, preview, set", no_args_is_help=True, rich_markup_mode=None
)

Changes = Annotated[list[str], typer.Argument(metavar="TYPE=W…", help="new weights, as in purchase=12 view=-1")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(weights_app, name="weights")


@weights_app.command()
def show(
    history: Annotated[
        bool, typer.Option("--history", help="every version that was published, the newest first")
    ] = False,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Show the weights that count now.

    Published ones count at every service; WHENCE_EVENT_TYPES has the initial ones, which count until then.
    """
    from whence.recommend.recipe import HISTORY_MAX, UNPUBLISHED, newest_recipes

    settings = settings_with(state)
    with _scores(settings) as connection:
        recipes = newest_recipes(connection, HISTORY_MAX if history else 1)
    recipe, initial = next(iter(recipes), UNPUBLISHED), settings.types().weights
    if as_json:
        told = recipe_document(recipe) | {"weights": recipe.over(initial), "initial": dict(initial)}
        console.answer(told | ({"history": [recipe_document(one) for one in recipes]} if history else {}))
        return
    console.say(headline(recipe))
    rows = [[name, f"{weight:g}", origin(name, recipe, initial)] for name, weight in recipe.over(initial).items()]
    console.table(["type", "weight", ""], rows)
    names = dict.fromkeys([*initial, *(name for one in recipes for name in one.weights)])
    for one in recipes if history else ():
        console.say(f"{headline(one)}: {listed({name: one.weights[name] for name in names if name in one.weights})}")


@weights_app.command()
def preview(
    changes: Changes,
    users: Annotated[int, typer.Option(min=1, max=10_000, help="how many users to sample at most")] = 1_000,
    examples: Annotated[int, typer.Option(min=0, max=50, help="how many changed lists to show at most")] = 5,
    exclude: Exclude = "none",
    state: State = None,
    as_json: Json = False,
) -> None:
    """Show for how many users the top ten would change, with examples.

    Lists of sampled users are read both ways at one moment. Nothing is published.
    """
    from whence.kit.clock import SystemClock, utc_text
    from whence.recommend.preview import Proposal
    from whence.recommend.preview import preview as compare

    settings = settings_with(state)
    with _scores(settings) as connection:
        proposal = Proposal(
            initial=settings.types().weights,
            changes=_parsed(connection, settings, changes),
            as_of=SystemClock().now(),
            exclude=exclude,
            unknown_items=settings.unknown_items == "show",
            mixture=settings.mixture(),
            users=users,
            examples=examples,
        )
        found = compare(connection, proposal, _progress())
    if as_json:
        console.answer({"as_of": utc_text(proposal.as_of)} | preview_document(found))
    else:
        for line in preview_lines(found):
            console.say(console.printable(line))


@weights_app.command("set")
def set_weights(
    changes: Changes,
    expect: Annotated[
        int | None,
        typer.Option(min=0, metavar="VERSION", help="only if this version is in force (0: none)", show_default=False),
    ] = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Publish new weights; the others stay.

    The next list computed anywhere has them, for the whole history. To undo it, set the old ones.
    """
    from whence.recommend.recipe import publish

    settings = settings_with(state)
    with _scores(settings) as connection:
        wanted = _parsed(connection, settings, changes)
        initial = settings.types().weights
        before, after = publish(connection, wanted, initial, _who(), expect)
    if after is None:
        if as_json:
            console.answer(recipe_document(before) | {"published": False, "expected": expect})
        console.complain(f"{headline(before)}: that is not {expect}, nothing was changed")
        raise typer.Exit(1)
    old, new = before.over(initial), after.over(initial)
    moved = moves_of(old, new)
    undo = [f"{name}={weight:.17g}" for name, (weight, _) in moved.items() if weight is not None]
    command = f"whence weights set {' '.join(undo)}" if undo else None
    if as_json:
        published = {"published": after.version != before.version, "previous_version": before.version, "undo": command}
        console.answer(recipe_document(after) | published | {"changes": changes_document(moved)})
        return
    if after.version == before.version:
        console.say(f"nothing to publish: version {after.version} has these weights")
        return
    console.say(f"version {after.version} is in force (before: {before.version}): {told_changes(moved)}")
    console.say(f"all weights now: {listed(new)}")
    if command:
        console.say(f"undo: {command}")


@contextmanager
def _scores(settings: "Settings") -> "Iterator[psycopg.Connection]":
    from whence.cli.targets import database_url
    from whence.kit.database import connect

    with connect(database_url(settings), settings.namespace, "weights") as connection:
        yield connection


def _parsed(connection: "psycopg.Connection", settings: "Settings", words: list[str]) -> dict[str, float]:
    """The new weights, of types that the setting, a recipe or an event ever named."""
    from whence.domain.weights import parse_changes
    from whence.recommend.recipe import declared_types, newest_recipes

    declared = declared_types(connection)
    published = [name for recipe in newest_recipes(connection) for name in recipe.weights]
    known = list(dict.fromkeys([*settings.types().names, *published, *declared]))
    if foreign := [name for name in declared if name not in settings.types().weights]:
        console.progress(
            f"note: WHENCE_EVENT_TYPES does not name {', '.join(foreign)} here; run this with the services' settings"
        )
    return parse_changes(words, known)


def _who() -> str:
    """User and host, for the history; a container's user may have no name."""
    import getpass
    import os
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _progress() -> Callable[[int, int], None]:
    import time

    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= PROGRESS_SECONDS:
            told = time.monotonic()
            console.progress(f"{done:,} of {total:,} users")

    return tell
