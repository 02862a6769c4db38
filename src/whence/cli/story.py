"""The demonstration's acts: what a shop's customer and a new visitor do, and what their lists show then.

Every act is one or two requests to the services' public routes, so each can be repeated by hand.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whence.cli.client import ServiceClient, path_of
from whence.domain.identity import new_event_id

LIST_LENGTH = 8
"""Items of the lists that are shown: a screen holds two lists of them."""


@dataclass(frozen=True, slots=True)
class Line:
    """One item of a list as the demonstration shows it."""

    rank: int
    item_id: str
    title: str
    score: float
    reason: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A list that was read.

    Attributes:
        user_id: Whose.
        lines: The first `LIST_LENGTH` items.
        events: How many events the service holds of that user.
        milliseconds: The time that the answer took, as the client saw it.
    """

    user_id: str
    lines: Sequence[Line]
    events: int
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Act:
    """An event that was sent, and how long it took to count.

    Attributes:
        event_type, item_id, title: What was done to what.
        event_id, token: What ingest answered.
        accepted_ms: From sending to the answer that the log has it.
        visible_ms: From that answer to a list that knows it.
    """

    event_type: str
    item_id: str
    title: str
    event_id: str
    token: str
    accepted_ms: float
    visible_ms: float


@dataclass(frozen=True, slots=True)
class Move:
    """Where an item of the later list stood in the earlier one: None if it was not shown."""

    line: Line
    rank_before: int | None

    @property
    def mark(self) -> str:
        """`new`, `+n` for n places up, `-n` for n places down, `=`."""
        if self.rank_before is None:
            return "new"
        up = self.rank_before - self.line.rank
        return f"{up:+d}" if up else "="


def read_list(recommend: ServiceClient, user_id: str, after: str | None = None) -> Seen:
    """A user's list; with *after* not older than that freshness token."""
    parameters: dict[str, str | int] = {"limit": LIST_LENGTH} | ({"after": after} if after else {})
    start = time.perf_counter()
    answer = recommend.get(path_of("v1", "users", user_id, "recommendations"), parameters)
    milliseconds = (time.perf_counter() - start) * 1_000
    lines = [_line(item) for item in answer["items"]]
    return Seen(user_id, lines, events_of(recommend, user_id), milliseconds)


def events_of(recommend: ServiceClient, user_id: str) -> int:
    """How many events are held of a user, over all pages of the signals."""
    total, cursor = 0, ""
    while True:
        parameters: dict[str, str | int] = {"limit": 500} | ({"cursor": cursor} if cursor else {})
        answer = recommend.get(path_of("v1", "users", user_id, "signals"), parameters)
        total += sum(int(signal["count"]) for signal in answer["signals"])
        cursor = answer["next"]
        if not cursor:
            return total


def act(ingest: ServiceClient, recommend: ServiceClient, user_id: str, event_type: str, item_id: str) -> Act:
    """Send an event and read its user's list until that knows it."""
    title = recommend.get(path_of("v1", "items", item_id))["title"]
    event = {
        "event_id": new_event_id(time.time_ns() // 1_000_000, os.urandom(10)),
        "event_type": event_type,
        "user_id": user_id,
        "item_id": item_id,
    }
    start = time.perf_counter()
    accepted = ingest.post("/v1/events", event)
    accepted_at = time.perf_counter()
    recommend.get(path_of("v1", "users", user_id, "recommendations"), {"limit": 1, "after": accepted["token"]})
    return Act(
        event_type=event_type,
        item_id=item_id,
        title=title,
        event_id=accepted["event_id"],
        token=accepted["token"],
        accepted_ms=(accepted_at - start) * 1_000,
        visible_ms=(time.perf_counter() - accepted_at) * 1_000,
    )


def why(recommend: ServiceClient, user_id: str, item_id: str) -> dict[str, Any]:
    """Everything behind an item's score, with its arithmetic."""
    found: dict[str, Any] = recommend.get(path_of("v1", "users", user_id, "items", item_id, "why"))
    return found


def moves(before: Seen, after: Seen) -> list[Move]:
    """The later list with the rank that each item had in the earlier one."""
    ranks = {line.item_id: line.rank for line in before.lines}
    return [Move(line, ranks.get(line.item_id)) for line in after.lines]


def _line(item: Mapping[str, Any]) -> Line:
    known = item.get("item") or {}
    return Line(
        rank=item["rank"],
        item_id=item["item_id"],
        title=known.get("title") or item["item_id"],
        score=item["score"],
        reason=item.get("explanation") or "",
    )
