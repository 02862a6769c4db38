"""Why an item has its score for a user, and why it is in the list or not: everything behind it, from one snapshot.

The score is computed here a second time, by the plain reference, from the rows themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from whence.domain import blend
from whence.domain.arithmetic import expression
from whence.domain.blend import Candidate
from whence.domain.blend_weights import DEFAULT_BLEND
from whence.domain.reasons import Evidence, reason
from whence.domain.state import (
    RECENT_ITEMS_READ,
    Horizon,
    Recent,
    Refined,
    Signal,
    State,
    hidden_items,
    is_dismissed,
    unite,
)
from whence.kit.sqlfiles import load_statements
from whence.recommend.read import CANDIDATES_MAX, Ask, read_candidates, usable_weights
from whence.recommend.recipe import recipe_in_force
from whence.recommend.render import evidence_document, freshness

_STATEMENTS = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class Listing:
    """What the catalogue says of an item."""

    ref: int
    title: str | None
    in_catalogue: bool
    available: bool
    deleted: bool


async def why(connection: AsyncConnection, ask: Ask, user_id: str, item_id: str) -> dict[str, Any]:
    """Everything behind one item's score for a user at a moment.

    Args:
        connection: Of which one read-only transaction is used, so that all numbers belong together.
        ask: The question that the list would answer, with all its policies.
        user_id, item_id: Of whom and of what.
    """
    async with connection.transaction():
        await connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        reading = await read_candidates(connection, ask)
        ask = replace(ask, weights=(await recipe_in_force(connection)).over(ask.weights))
        listing = await _listing(connection, item_id)
        state = await read_state(connection, ask.subjects, () if listing is None else (listing.ref,))
        parts = _parts(state, ask, listing)
        names = await _names(connection, {part.source_id for part, _ in parts if part.source_id})
    score = sum(part.contribution for part, _ in parts)
    rank = next((n for n, found in enumerate(reading.found, start=1) if found.item_id == item_id), None)
    evidence = [_evidence(part, names, ask) for part, _ in parts]
    return {
        "user_id": user_id,
        "item_id": item_id,
        "title": listing and listing.title,
        "as_of": ask.as_of,
        "recipe_version": reading.version.recipe,
        "score": score,
        "rank": rank,
        "listed": rank is not None,
        "not_listed_because": [] if rank else _obstacles(state, ask, listing, has_parts=bool(parts)),
        "explanation": reason(evidence, ask.as_of),
        "parts": [
            evidence_document(shown, score) | {"title": shown.title, "arithmetic": text}
            for shown, (_, text) in zip(evidence, parts, strict=True)
        ],
        "signals": _signals(state, ask, listing),
        "freshness": freshness(reading.version),
    }


async def read_state(connection: AsyncConnection, subjects: Sequence[str], more_items: Sequence[int]) -> State:
    """All rows that these users' lists are made from, and their signals on some more items."""
    values: dict[str, Any] = {"subjects": list(subjects), "size": RECENT_ITEMS_READ}
    recents = unite([Recent(**row) for row in await _rows(connection, "recents", values)])
    sources = [recent.item_id for recent in recents]
    values["item_ids"] = [*sources, *more_items]
    signals = [Signal(**row) for row in await _rows(connection, "signals", values)]
    neighbours, bought = await _neighbours(connection, sources)
    refined, trends = await _refined(connection, sources), await _trends(connection)
    return State(recents, signals, neighbours, refined, trends, bought)


async def _neighbours(
    connection: AsyncConnection, sources: Sequence[int]
) -> tuple[dict[int, dict[int, float]], dict[int, set[int]]]:
    """The neighbour lists of these items, and which of their pairs are of purchases alone."""
    rows = await _rows(connection, "neighbours", {"item_ids": list(sources)})
    neighbours = {
        row["source_id"]: dict(zip(row["destination_ids"], row["probabilities"], strict=True)) for row in rows
    }
    bought = {row["source_id"]: set(compress(row["destination_ids"], row["bought"])) for row in rows}
    return neighbours, bought


async def _refined(connection: AsyncConnection, sources: Sequence[int]) -> dict[int, Refined] | None:
    (fitted,) = await _rows(connection, "refined_fitted", {})
    if not fitted["exists"]:
        return None
    rows = await _rows(connection, "refined", {"item_ids": list(sources)})
    return {
        row["source_id"]: Refined(dict(zip(row["destination_ids"], row["weights"], strict=True)), row["mass"])
        for row in rows
    }


async def _trends(connection: AsyncConnection) -> dict[Horizon, dict[int, float]]:
    trends: dict[Horizon, dict[int, float]] = {horizon: {} for horizon in DEFAULT_BLEND.trends}
    for row in await _rows(connection, "trends", {}):
        trends[row["horizon"]][row["item_id"]] = row["value"]
    return trends


async def _listing(connection: AsyncConnection, item_id: str) -> Listing | None:
    rows = await _rows(connection, "item", {"item_id": item_id})
    if not rows:
        return None
    row = rows[0]
    deleted = bool(row["deleted"])
    title = None if deleted else row["title"]
    return Listing(row["id"], title, row["in_catalogue"] and not deleted, bool(row["available"]), deleted)


async def _names(connection: AsyncConnection, ids: set[int]) -> dict[int, tuple[str, str | None]]:
    rows = await _rows(connection, "names", {"item_ids": sorted(ids)})
    return {row["id"]: (row["external_id"], row["title"]) for row in rows}


async def _rows(connection: AsyncConnection, statement: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_STATEMENTS[statement], values)
        return await cursor.fetchall()


def _parts(state: State, ask: Ask, listing: Listing | None) -> list[tuple[blend.Part, str]]:
    """The parts of the item's score, the strongest first, each with its arithmetic."""
    weights = usable_weights(ask.weights)
    candidate = _candidate(state, weights, ask, listing)
    if candidate is None:
        return []
    found = blend.sources(state, weights, ask.as_of, ask.mixture)
    mixer = blend.mix(state, found, ask.mixture)
    parts = sorted(candidate.parts, key=lambda part: -abs(part.contribution))
    return [(part, expression(part, candidate.item_id, state, found, mixer)) for part in parts]


def _candidate(state: State, weights: Mapping[str, float], ask: Ask, listing: Listing | None) -> Candidate | None:
    if listing is None:
        return None
    candidates = blend.blend(state, weights, ask.as_of, ask.mixture, repeats=ask.exclude != "seen")
    return next((one for one in candidates if one.item_id == listing.ref), None)


def _evidence(part: blend.Part, names: Mapping[int, tuple[str, str | None]], ask: Ask) -> Evidence:
    source_id, title = names.get(part.source_id or 0, (None, None))
    return Evidence(
        part.code,
        part.contribution,
        source_id,
        title,
        part.event_type,
        part.count,
        part.last_at,
        part.horizon,
        activity=part.contribution / ask.mixture.trends[part.horizon] if part.horizon else 0.0,
        probability=part.probability,
    )


def _signals(state: State, ask: Ask, listing: Listing | None) -> list[dict[str, Any]]:
    """The users' signals on the item itself, whether or not they count now."""
    weights = usable_weights(ask.weights)
    own = [signal for signal in state.signals if listing and signal.item_id == listing.ref]
    return [
        {
            "event_type": held.event_type,
            "count": held.count,
            "last_at": held.last_at,
            "type_weight": held.weight,
            "decayed_sum": held.decayed,
            "weight": held.strength,
        }
        for held in blend.held_by_item(own, weights, ask.as_of).get(listing.ref if listing else 0, [])
    ]


def _obstacles(state: State, ask: Ask, listing: Listing | None, *, has_parts: bool) -> list[dict[str, str]]:
    """Everything that keeps an item out of a list, in words."""
    if listing is None:
        return [_obstacle("unknown_item", "no event and no catalogue entry ever named this item")]
    own = [signal for signal in state.signals if signal.item_id == listing.ref]
    weights = usable_weights(ask.weights)
    found = [
        (listing.deleted, "deleted", "it was deleted from the catalogue"),
        (not listing.deleted and listing.in_catalogue and not listing.available, "unavailable", "it is not available"),
        (
            not listing.in_catalogue and not listing.deleted and not ask.unknown_items,
            "not_in_catalogue",
            "it has no catalogue entry, and WHENCE_UNKNOWN_ITEMS hides such items",
        ),
        (
            is_dismissed(own, weights),
            "dismissed",
            "the user dismissed it and has no later event of a type with a positive weight on it",
        ),
        (
            listing.ref in hidden_items(own, weights, ask.exclude) and not is_dismissed(own, weights),
            "excluded",
            f"exclude={ask.exclude} leaves it out",
        ),
    ]
    reasons = [_obstacle(code, text) for applies, code, text in found if applies]
    if not reasons and not has_parts:
        reasons.append(_obstacle("no_candidate", "nothing that is known of the user or of all users points to it"))
    if not reasons:
        reasons.append(_obstacle("outranked", f"{CANDIDATES_MAX} items have a higher score"))
    return reasons


def _obstacle(code: str, text: str) -> dict[str, str]:
    return {"code": code, "text": text}
