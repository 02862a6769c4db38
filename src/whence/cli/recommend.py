"""`whence recommend` and `whence why`: a user's list, and what is behind one of its scores."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from whence.cli import console
from whence.cli.options import Json, settings_with

Exclude = Annotated[
    Literal["none", "purchased", "seen"], typer.Option(help="leave out what the user bought, or has ever touched")
]
Session = Annotated[
    str | None, typer.Option(metavar="ID", help="unite this session's signals with the user's", show_default=False)
]
User = Annotated[str, typer.Argument(metavar="USER", help="a user id, or a session id")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(recommend)
    app.command()(why)


def recommend(
    user: User,
    limit: Annotated[int, typer.Option(min=1, max=50, help="how many items at most")] = 10,
    after: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="wait until the events that this token names are in", show_default=False),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="show all evidence of each item")] = False,
    exclude: Exclude = "none",
    category: Annotated[
        list[str] | None, typer.Option(help="only items of any of these (repeatable)", show_default=False)
    ] = None,
    exclude_item: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="leave this item out (repeatable)", show_default=False)
    ] = None,
    session: Session = None,
    as_json: Json = False,
) -> None:
    """Show a user's list with scores and reasons."""
    parameters: dict[str, str | int | list[str]] = {
        "limit": limit,
        "explain": "full" if explain else "short",
        "exclude": exclude,
        "category": category or [],
        "exclude_item": exclude_item or [],
    }
    parameters |= {name: value for name, value in (("after", after), ("session", session)) if value is not None}
    answer = _get(["users", user, "recommendations"], parameters)
    if as_json:
        console.answer(answer)
    else:
        _show_list(answer, explain)


def why(
    user: User,
    item: Annotated[str, typer.Argument(metavar="ITEM", help="an item id, listed or not")],
    exclude: Exclude = "none",
    session: Session = None,
    as_json: Json = False,
) -> None:
    """Show everything behind one item's score.

    Every signal and aggregate with the arithmetic, and why the item is in the user's list or not.
    """
    parameters: dict[str, str | int | list[str]] = {"exclude": exclude, **({"session": session} if session else {})}
    answer = _get(["users", user, "items", item, "why"], parameters)
    if as_json:
        console.answer(answer)
    else:
        _show_why(answer)


def _get(path: list[str], parameters: Mapping[str, str | int | list[str]]) -> Any:
    from whence.cli.client import ServiceClient, path_of

    client = ServiceClient.of(settings_with(), "recommend")
    try:
        return client.get(path_of("v1", *path), parameters)
    finally:
        client.close()


def _show_list(answer: Mapping[str, Any], explain: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("#", "score", "item", "reason"):
        table.add_column(name, justify="right" if name in ("#", "score") else "left", overflow="fold")
    for item in answer["items"]:
        title = (item["item"] or {}).get("title")
        name = f"{title} ({item['item_id']})" if title else item["item_id"]
        table.add_row(str(item["rank"]), f"{item['score']:.4f}", _plain(name), _plain(item["explanation"] or ""))
        for part in item["evidence"] if explain else ():
            table.add_row("", f"{part['contribution']:+.4f}", "", _plain(_evidence(part)))
    Console(highlight=False).print(table)
    console.say(_summary(answer))


def _summary(answer: Mapping[str, Any]) -> str:
    """One line about the list as a whole."""
    kinds = {
        "personal": "made from what this user did",
        "trending": "not personal yet: what is active now",
        "catalogue": "not personal yet: from the catalogue",
        "none": "nothing to show",
    }
    notes = [kinds.get(answer["strategy"], answer["strategy"])]
    if answer["outcome_reason"]:
        notes.append(f"{answer['outcome']}, {answer['outcome_reason'].replace('_', ' ')}")
    if answer["degraded"]:
        notes.append(f"degraded: {answer['degraded'].replace('_', ' ')}")
    if token := answer["freshness"]["token"]:
        notes.append(f"state {token}")
    return "; ".join(notes)


def _evidence(part: Mapping[str, Any]) -> str:
    """A piece of evidence in one line of plain facts."""
    words = [str(part["code"]).replace("_", " ")]
    if part["horizon"]:
        words.append(f"(half-life {part['horizon']})")
    if part["event_type"]:
        words.append(f"{part['item_id']}: {part['count']} {part['event_type']}, last {part['last_at']}")
    elif part["item_id"]:
        words.append(str(part["item_id"]))
    return " ".join(words)


def _show_why(answer: Mapping[str, Any]) -> None:
    title = f"“{answer['title']}” " if answer["title"] else ""
    console.say(console.printable(f"{title}{answer['item_id']} for {answer['user_id']} at {answer['as_of']}"))
    if answer["listed"]:
        console.say(f"listed at rank {answer['rank']}")
    for obstacle in answer["not_listed_because"]:
        console.say(f"not listed: {obstacle['text']} ({obstacle['code']})")
    if answer["explanation"]:
        console.say(console.printable(answer["explanation"]))
    console.say()
    for part in answer["parts"]:
        console.say(console.printable(f"{part['contribution']:+.17g}  {_evidence(part)}"))
        console.say(f"    = {part['arithmetic']}")
    console.say(f"{answer['score']:+.17g}  score, the sum of {len(answer['parts'])} parts")
    if answer["signals"]:
        console.say()
        console.say("the user's signals on this item:")
    for signal in answer["signals"]:
        weight = f"weight {signal['type_weight']!r} * {signal['decayed_sum']!r} = {signal['weight']!r}"
        console.say(f"  {signal['count']} {signal['event_type']}, last {signal['last_at']}: {weight}")


def _plain(text: str) -> Any:
    """Text for rich without markup or control characters."""
    from rich.text import Text

    return Text(console.printable(text))
