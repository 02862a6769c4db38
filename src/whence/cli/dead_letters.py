"""`whence dead-letters`: records that could not be applied."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from whence.cli import console
from whence.cli.options import Json, State, settings_with

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from whence.aggregate.dead_letters import DeadLetters, Letter, Place
    from whence.kit.settings import Settings

LISTED_MAX = 10_000
"""Letters that one call lists."""

letters_app = typer.Typer(
    help="records that could not be applied: list, show, replay, discard", no_args_is_help=True, rich_markup_mode=None
)

PlaceWord = Annotated[str, typer.Argument(metavar="PLACE", help="partition:offset, as `list` shows it")]
PlaceWords = Annotated[
    list[str] | None, typer.Argument(metavar="PLACE…", help="partition:offset, as `list` shows it", show_default=False)
]
All = Annotated[bool, typer.Option("--all", help="every pending one")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(letters_app, name="dead-letters")


@letters_app.command("list")
def list_letters(
    state_of: Annotated[
        Literal["pending", "replayed", "discarded", "all"], typer.Option("--of", help="which ones")
    ] = "pending",
    limit: Annotated[int, typer.Option(min=1, max=LISTED_MAX, help="how many at most")] = 100,
    state: State = None,
    as_json: Json = False,
) -> None:
    """List dead letters in log order, with the reason."""
    with _letters(settings_with(state)) as letters:
        found, total = letters.all(None if state_of == "all" else state_of, limit)
    if as_json:
        console.answer({"total": total, "dead_letters": [_summary(letter) for letter in found]})
        return
    if found:
        rows = [[str(letter.place), letter.state, letter.reason, console.printable(letter.detail)] for letter in found]
        console.table(["place", "state", "reason", "detail"], rows)
    console.say(f"{len(found)} of {total}")


@letters_app.command()
def show(place: PlaceWord, state: State = None, as_json: Json = False) -> None:
    """Show one dead letter with its bytes."""
    from whence.aggregate.dead_letters import parse_place

    with _letters(settings_with(state)) as letters:
        letter = letters.one(parse_place(place))
    if as_json:
        console.answer(_whole(letter))
        return
    for name, value in _whole(letter).items():
        if name not in ("key_base64", "value_base64"):
            console.say(f"{name:12} {console.printable(str(value))}")


@letters_app.command()
def replay(places: PlaceWords = None, everything: All = False, state: State = None, as_json: Json = False) -> None:
    """Append the events to the log anew, once, under their own user and event id.

    Mend what made them dead first (declare the event type, say): a letter that would be dead again is refused.
    """
    settings = settings_with(state)
    with _letters(settings) as letters, _appending(settings) as (rules, append):
        _settle(
            letters, places, everything, "replayed", lambda place: str(letters.replay(place, rules, append)), as_json
        )


@letters_app.command()
def discard(places: PlaceWords = None, everything: All = False, state: State = None, as_json: Json = False) -> None:
    """Mark dead letters as not wanted. The rows stay."""
    with _letters(settings_with(state)) as letters:
        _settle(letters, places, everything, "discarded", letters.discard, as_json)


def _settle(
    letters: "DeadLetters",
    places: "Sequence[str] | None",
    everything: bool,
    done: str,
    settle: "Callable[[Place], str | None]",
    as_json: bool,
) -> None:
    """Settle letters one by one; one that is refused does not stop the others, but the exit code says so."""
    from whence.aggregate.dead_letters import CannotReplay

    settled: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for place in _chosen(letters, places, everything):
        try:
            now_at = settle(place)
        except CannotReplay as error:
            refused.append({"place": str(place), "problem": str(error)})
            console.complain(console.printable(str(error)))
        else:
            settled.append({"place": str(place), **({} if now_at is None else {"appended_at_place": now_at})})
    if as_json:
        console.answer({done: settled, "refused": refused})
    else:
        console.say(f"{len(settled)} {done}" + (f", {len(refused)} refused" if refused else ""))
    if refused:
        raise typer.Exit(1)


def _chosen(letters: "DeadLetters", places: "Sequence[str] | None", everything: bool) -> "list[Place]":
    from whence.aggregate.dead_letters import parse_place
    from whence.domain.errors import FieldProblem, InvalidInput

    if everything == bool(places):
        raise InvalidInput([FieldProblem("PLACE", "name the places, or say --all for every pending dead letter")])
    return letters.pending() if everything else [parse_place(text) for text in places or ()]


@contextmanager
def _letters(settings: "Settings") -> "Iterator[DeadLetters]":
    from whence.aggregate.dead_letters import DeadLetters
    from whence.cli.targets import database_url
    from whence.kit.database import connect

    with connect(database_url(settings), settings.namespace, "dead-letters") as connection:
        yield DeadLetters(connection)


@contextmanager
def _appending(settings: "Settings") -> Iterator[tuple[Any, "Callable[[Any], int]"]]:
    """The rules that a replayed record must keep, and the way into the log."""
    import asyncio

    from whence.aggregate.decode import Rules
    from whence.cli.targets import log_settings
    from whence.eventlog.adapters import open_appender
    from whence.eventlog.places import log_place

    with asyncio.Runner() as runner:
        place = log_place(log_settings(settings))
        appender = runner.run(open_appender(place))
        try:
            rules = Rules(appender.partitions, {name: code for code, name in enumerate(settings.types().names)})
            yield rules, lambda record: runner.run(appender.append([record]))[0]
        finally:
            runner.run(appender.close())


def _summary(letter: "Letter") -> dict[str, Any]:
    return {
        "place": str(letter.place),
        "state": letter.state,
        "reason": letter.reason,
        "detail": letter.detail,
        "appended_at": letter.appended_at.isoformat(),
        "dead_at": letter.dead_at.isoformat(),
    }


def _whole(letter: "Letter") -> dict[str, Any]:
    """The letter with its bytes, as text with escapes for people and as base64 for programs."""
    import base64

    return {
        **_summary(letter),
        "log_id": letter.log_id,
        "key": letter.key.decode(errors="backslashreplace"),
        "value": letter.value.decode(errors="backslashreplace"),
        "key_base64": base64.b64encode(letter.key).decode(),
        "value_base64": base64.b64encode(letter.value).decode(),
    }
