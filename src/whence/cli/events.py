"""`whence send`: one event."""

from typing import Annotated

import typer

from whence.cli import console
from whence.cli.options import Json, settings_with


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(send)


def _option(help_text: str, *names: str) -> typer.models.OptionInfo:
    info: typer.models.OptionInfo = typer.Option(*names, help=help_text, show_default=False)
    return info


def send(
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="an event type of the installation, as in view")],
    item: Annotated[str, _option("the item", "--item")],
    user: Annotated[str | None, _option("who acted", "--user")] = None,
    session: Annotated[str | None, _option("the session; alone, it stands for the user", "--session")] = None,
    event_id: Annotated[str | None, _option("name of the event: sent again, it counts once", "--id")] = None,
    at: Annotated[str | None, _option("when it happened, as in 2026-10-03T12:00:00Z (else now)", "--at")] = None,
    value: Annotated[float | None, _option("kept with the event", "--value")] = None,
    quantity: Annotated[float | None, _option("kept with the event", "--quantity")] = None,
    recommendation: Annotated[str | None, _option("the list that led to it", "--recommendation")] = None,
    position: Annotated[int | None, _option("its place in that list", "--position")] = None,
    surface: Annotated[str | None, _option("where it was shown", "--surface")] = None,
    as_json: Json = False,
) -> None:
    """Send one event; print its id and freshness token.

    The token says how far the log reaches with it: `whence recommend USER --after TOKEN` waits until it is visible.
    """
    import os
    import time
    from contextlib import closing

    from whence.cli.client import ServiceClient
    from whence.domain.errors import FieldProblem, InvalidInput
    from whence.domain.identity import new_event_id

    if user is None and session is None:
        raise InvalidInput([FieldProblem("--user", "is needed, or --session: somebody must have acted")])
    event = {
        # With an id of ours the client may repeat a request whose answer was lost.
        "event_id": event_id or new_event_id(time.time_ns() // 1_000_000, os.urandom(10)),
        "event_type": event_type,
        "item_id": item,
        "user_id": user,
        "session_id": session,
        "occurred_at": at,
        "value": value,
        "quantity": quantity,
        "recommendation_id": recommendation,
        "position": position,
        "surface": surface,
    }
    with closing(ServiceClient.of(settings_with(), "ingest")) as client:
        accepted = client.post("/v1/events", {name: given for name, given in event.items() if given is not None})
    if as_json:
        console.answer(accepted)
    else:
        console.say(f"event_id  {accepted['event_id']}")
        console.say(f"token     {accepted['token']}")
