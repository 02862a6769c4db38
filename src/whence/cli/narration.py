"""What the demonstration says: plain lines that fit the terminal, also a narrow one, with no need of colour."""

import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from whence.cli.sample_import import History
from whence.cli.story import Act, Line, Move, Seen
from whence.sample import shop

WIDTH_MIN, WIDTH_MAX = 40, 110
"""Columns: below, words would be cut into pieces; above, lines get hard to read."""

_LONG_NUMBER = re.compile(r"\d+\.\d{5,}(?:e[+-]?\d+)?")
_VERBS = {"view": "views", "purchase": "buys"}


def width() -> int:
    """Columns of the terminal within our bounds; 80 where there is none."""
    return min(max(shutil.get_terminal_size((80, 24)).columns, WIDTH_MIN), WIDTH_MAX)


def heading(text: str) -> Iterator[str]:
    """The first line of a part of the story."""
    yield ""
    yield from _wrapped(text, "")


def catalogue(items: int) -> Iterator[str]:
    """What is in the catalogue."""
    yield from _wrapped(f"{items:,} items in the catalogue", "  ")


def history(found: History) -> Iterator[str]:
    """How the purchases came in, and when they are said to have been."""
    all_of_it = f"{found.purchases:,} purchases of {found.customers:,} customers"
    if found.sent:
        sent = all_of_it if found.sent == found.purchases else f"{found.sent:,} of {all_of_it}"
        yield from _wrapped(
            f"{sent} sent through ingest, log and aggregate in {found.seconds:.1f} s: "
            f"{found.events_per_second:,.0f} events/s; the lists that all share {_followed(found)}",
            "  ",
        )
        yield from _wrapped(
            f"all times are moved by {found.weeks} weeks, so that the last purchase was on "
            f"{found.last_at.day} {found.last_at:%B %Y}",
            "  ",
        )
    else:
        yield from _wrapped(f"{all_of_it} are there already; nothing was sent again", "  ")
    yield from _wrapped(f"real behaviour: {shop.ATTRIBUTION}", "  ")


def whose(seen: Seen) -> str:
    """One sentence about a list: whose it is and how much it rests on."""
    if seen.events == 0:
        return f"{seen.user_id} is new. Not personal yet: 0 of your events"
    events = "1 event" if seen.events == 1 else f"{seen.events:,} events"
    return f"{seen.user_id} has {events} here. The list took {seen.milliseconds:.0f} ms"


def listed(lines: Sequence[Line]) -> Iterator[str]:
    """A list with scores and reasons."""
    for line in lines:
        yield from _item(line, "")


def moved(found: Sequence[Move]) -> Iterator[str]:
    """A list with what has become of the ranks of the one before."""
    for move in found:
        yield from _item(move.line, f"{move.mark:>4}")


def acted(act: Act) -> Iterator[str]:
    """What the visitor did and how fast it counted."""
    yield from _wrapped(
        f"{_VERBS[act.event_type]:<6}{act.title}: accepted in {act.accepted_ms:.0f} ms, "
        f"visible {act.visible_ms:.0f} ms later",
        "  ",
    )


def why(found: Mapping[str, Any]) -> Iterator[str]:
    """The sum behind an item's score, part by part, each with its arithmetic."""
    for part in found["parts"]:
        amount = f"{part['contribution']:>9.5f}  "
        yield from _wrapped(f"{amount}{_about(part)}", "  ", " " * (len(amount) + 2))
        yield from _wrapped(f"= {_short_numbers(part['arithmetic'])}", " " * (len(amount) + 2))
    yield f"  {found['score']:>9.5f}  is the score"


def by_hand(endpoints: Mapping[str, str | None], visitor: str) -> Iterator[str]:
    """Commands to paste; never wrapped, so that they can be."""
    ingest, recommend = endpoints["ingest"], endpoints["recommend"]
    event = f'{{"event_type": "view", "user_id": "{visitor}", "item_id": "22720"}}'
    yield f"  curl -s -X POST {ingest}/v1/events -H 'Content-Type: application/json' -d '{event}'"
    yield f"  curl -s '{recommend}/v1/users/{visitor}/recommendations?limit=3'"
    yield f"  curl -s '{recommend}/v1/users/{visitor}/signals'"
    yield f"  {_program()} why {visitor} 22720"


def places(endpoints: Mapping[str, str | None]) -> Iterator[str]:
    """The URLs."""
    for name in ("ingest", "recommend"):
        yield f"  {name:<11}{endpoints[name]}/docs"
    yield f"  {'metrics':<11}{endpoints['aggregate']}/metrics"
    yield f"  {'database':<11}{endpoints['database_url']}"


def _followed(found: History) -> str:
    return "will follow" if found.lists_seconds is None else f"followed {found.lists_seconds:.1f} s later"


def _program() -> str:
    """How this program is called from here: its name if the shell finds it, else the path that it was called by."""
    called = shlex.quote(sys.argv[0])
    found = shutil.which("whence")
    return "whence" if found and Path(found).resolve() == Path(sys.argv[0]).resolve() else called


def _item(line: Line, mark: str) -> Iterator[str]:
    head = f"{line.rank:>4}{mark and ' ' + mark}  {line.score:.4f}  "
    yield from _wrapped(head + line.title, "", " " * len(head))
    if line.reason:
        yield from _wrapped(line.reason, " " * len(head))


def _short_numbers(expression: str) -> str:
    """The expression with five digits of each number: a person follows it, `whence why` has all of them."""
    return _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.5g}", expression)


def _about(part: Mapping[str, Any]) -> str:
    """A piece of evidence in words."""
    if part.get("event_type"):
        times = "once" if part["count"] == 1 else f"{part['count']} times"
        return f"{part['code']}: {part['event_type']} of {part.get('title') or part['item_id']}, {times}"
    detail = part.get("horizon") or part.get("category") or ""
    return f"{part['code']}: {detail}" if detail else str(part["code"])


def _wrapped(text: str, first: str, rest: str | None = None) -> Iterator[str]:
    """Lines of a text within the width; ids and URLs are not broken."""
    yield from textwrap.wrap(
        text,
        width(),
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first]
