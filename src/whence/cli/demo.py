"""`whence demo`: the sample shop on one machine, and what a visitor's clicks do to their list."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whence.cli import console
from whence.cli.options import Json, Log, State, settings_with

if TYPE_CHECKING:
    from whence.cli.client import ServiceClient
    from whence.cli.sample_import import History
    from whence.cli.story import Seen
    from whence.embedded.supervisor import Supervisor
    from whence.kit.settings import Settings

CUSTOMER = "customer-15311"
"""A customer of the sample shop who comes back every week: 21 invoices, one parasol bought twelve times."""

VISITS = (
    ("22697", "22423", "22699"),
    ("22192", "22191", "22193"),
    ("22617", "22367", "22629"),
    ("22961", "22969", "22960"),
)
"""What a visitor may look at (two items) and then buy: tea cups, clocks, things for children, things for jam."""

Tell = Callable[[Iterable[str]], None]
"""Says some lines of the story."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    state: State = None,
    log: Log = "postgresql",
    leave: Annotated[bool, typer.Option("--exit", help="stop everything at the end and leave")] = False,
    as_json: Json = False,
) -> None:
    """Show a real shop's history become lists with reasons.

    Runs what `whence up` runs, brings a catalogue and purchases in, and lets a visitor change their list; Ctrl-C stops
    all of it.
    """
    from whence.cli.stores import prepare_stores
    from whence.embedded.signals import StopSignals
    from whence.embedded.supervisor import Supervisor

    say = console.progress if as_json else console.say

    def tell(lines: Iterable[str]) -> None:
        for line in lines:
            say(line)

    def report(line: str) -> None:
        say(f"  {line}")

    tell(["The parts"])
    settings = settings_with(state)
    with StopSignals() as signals, Supervisor(settings, prepare_stores, report, signals, log) as supervisor:
        with signals.interrupting():
            document = _play(supervisor, tell)
        if as_json:
            console.answer(document)
        if not leave:
            tell(["", "Ctrl-C stops all of it; `whence demo` again goes on from here."])
            signals.asked.wait()
        report("stopping")


def _play(supervisor: "Supervisor", tell: Tell) -> dict[str, Any]:
    """Tell the story once everything runs; its facts for `--json`."""
    from dataclasses import asdict

    from whence.cli import narration, story
    from whence.cli.client import ServiceClient

    endpoints = supervisor.endpoints()
    urls = {"ingest_url": endpoints["ingest"], "recommend_url": endpoints["recommend"]}
    settings = supervisor.settings.model_copy(update=urls)
    ingest, recommend = ServiceClient.of(settings, "ingest"), ServiceClient.of(settings, "recommend")
    shop = _bring_the_shop(settings, recommend, tell)
    customer = story.read_list(recommend, CUSTOMER)
    tell([*narration.heading(narration.whose(customer)), *narration.listed(customer.lines)])
    visitor = _visit(ingest, recommend, tell)
    tell([*narration.heading("By hand"), *narration.by_hand(endpoints, visitor["user_id"])])
    tell([*narration.heading("Where"), *narration.places(endpoints)])
    return {"endpoints": endpoints, **shop, "customer": asdict(customer), "visitor": visitor}


def _bring_the_shop(settings: "Settings", recommend: "ServiceClient", tell: Tell) -> dict[str, Any]:
    """Catalogue and history."""
    from whence.cli import narration, sample_import
    from whence.cli.client import ServiceClient
    from whence.kit.clock import SystemClock
    from whence.kit.database import connect

    items = sample_import.put_catalogue(recommend)
    tell([*narration.heading("The shop"), *narration.catalogue(items)])
    with connect(settings.database_url, settings.namespace, "demo") as database:
        now = SystemClock().now()
        history = sample_import.bring_history(database, lambda: ServiceClient.of(settings, "ingest"), now)
    tell(narration.history(history))
    return {"catalogue": {"items": items}, "history": _history_document(history)}


def _visit(ingest: "ServiceClient", recommend: "ServiceClient", tell: Tell) -> dict[str, Any]:
    """A new visitor sees what everybody sees, acts, and sees the list change."""
    from dataclasses import asdict

    from whence.cli import narration, story

    user_id = _new_visitor()
    before = story.read_list(recommend, user_id)
    tell([*narration.heading(narration.whose(before)), *narration.listed(before.lines)])
    tell(narration.heading(f"{user_id} acts"))
    acts = []
    for event_type, item_id in zip(("view", "view", "purchase"), _visit_for(before), strict=True):
        acts.append(story.act(ingest, recommend, user_id, event_type, item_id))
        tell(narration.acted(acts[-1]))
    after = story.read_list(recommend, user_id, acts[-1].token)
    moves = story.moves(before, after)
    tell([*narration.heading(f"{narration.whose(after)}; the ranks have moved"), *narration.moved(moves)])
    behind = story.why(recommend, user_id, after.lines[0].item_id)
    tell([*narration.heading(f"Why {after.lines[0].title}?"), *narration.why(behind)])
    return {
        "user_id": user_id,
        "before": asdict(before),
        "acts": [asdict(act) for act in acts],
        "after": asdict(after),
        "moves": {move.line.item_id: move.mark for move in moves},
        "why": behind,
    }


def _visit_for(before: "Seen") -> tuple[str, str, str]:
    """The first visit whose purchase is not in the list already: earlier visitors make their items trend."""
    shown = {line.item_id for line in before.lines}
    return next((visit for visit in VISITS if visit[-1] not in shown), VISITS[0])


def _new_visitor() -> str:
    """An id that nobody has had: each run has a visitor of its own."""
    import secrets

    return f"visitor-{secrets.token_hex(3)}"


def _history_document(history: "History") -> dict[str, Any]:
    from dataclasses import asdict

    from whence.kit.clock import utc_text

    return {
        **asdict(history),
        "last_at": utc_text(history.last_at),
        "events_per_second": round(history.events_per_second, 1),
    }
