"""Retrieval: one statement makes the candidates of a user, their evidence, and the version of the answer."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from psycopg import AsyncConnection, AsyncRawCursor, Connection, RawCursor, sql
from psycopg.rows import dict_row

from whence.domain import blend, decay
from whence.domain.blend_weights import DEFAULT_BLEND, BlendWeights
from whence.domain.reasons import Evidence, EvidenceCode
from whence.domain.state import RECENT_ITEMS_READ, Exclude, Horizon
from whence.kit.clock import from_us
from whence.kit.sqlfiles import load_statements
from whence.recommend.lists import shown_item

CANDIDATES_MAX = 50
"""The longest list that is retrieved, and that can be asked for."""

FILL_SCAN_MAX = 2_000
"""Items that are looked at to fill a list when the scored ones do not suffice."""

EVIDENCE_SHORT = 3
"""The strongest parts that `explain=short` shows."""

EVIDENCE_ALL = 2 * RECENT_ITEMS_READ + RECENT_ITEMS_READ * 64 + len(DEFAULT_BLEND.trends)
"""More parts than a score can have: two neighbour lists, the signals of 64 event types, the trends."""

BEST_MAX = 250
"""The best items that are put in order first; the other thousands are only if so many of these may not be shown that
the longest list does not fill."""

WEIGHT_MIN = 1e-30
"""A smaller weight counts as 0, so that products stay above the range's end: PostgreSQL raises on underflow."""

STATEMENTS_MAX = 64
"""Texts of the statement that are remembered: a service has one, a comparison of blends has some."""

_STATEMENTS = load_statements(__file__)

_CODES: Mapping[int, tuple[EvidenceCode, Horizon | None]] = {
    1: ("own_signal", None),
    2: ("co_viewed", None),
    3: ("co_bought", None),
    4: ("refined", None),
    5: ("trending", "6h"),
    6: ("trending", "1d"),
    7: ("trending", "7d"),
    8: ("catalogue", None),
    9: ("known_item", None),
}
_SCORED_KIND = 0
_CONSTANTS = {
    "recent_items_read": RECENT_ITEMS_READ,
    "rate_per_second": decay.RATE_PER_SECOND,
    "landmark_seconds": float(decay.LANDMARK_SECONDS),
    "min_exponent": decay.MIN_EXPONENT,
    "affinity_min": blend.AFFINITY_MIN,
    "mass_damping": blend.MASS_DAMPING,
    "mass_min": blend.MASS_MIN,
    "weight_min": WEIGHT_MIN,
    "best_max": BEST_MAX,
    "fill_scan_max": FILL_SCAN_MAX,
}


@lru_cache(maxsize=STATEMENTS_MAX)
def _prepared(mixture: BlendWeights) -> tuple[bytes, tuple[str, ...]]:
    """The statement as the server takes it, and the parameters it needs, in order.

    Constants are written into it: they cost nothing to send, and the planner knows them. Placeholders are numbered
    here, once: the driver would look for them in the whole text for each read.
    """
    statement = _STATEMENTS["candidates"].as_string(None)
    for name, value in (_CONSTANTS | _numbers(mixture)).items():
        statement = statement.replace(f"%({name})s", sql.Literal(value).as_string(None))
    places: dict[str, str] = {}
    numbered = re.sub(r"%\((\w+)\)s", lambda named: places.setdefault(named[1], f"${len(places) + 1}"), statement)
    return numbered.encode(), tuple(places)


def _numbers(mixture: BlendWeights) -> dict[str, Any]:
    return {
        "rank_factor": float(mixture.rank_factor),
        "short_half_life_seconds": float(mixture.short_half_life_seconds),
        "short_weight": float(mixture.short),
        "short_damping": float(mixture.short_damping),
        "long_weight": float(mixture.long),
        "long_weight_alone": float(mixture.long_alone),
        "refined_weight": float(mixture.refined),
        "self_weight": float(mixture.own),
        "horizons": list(mixture.trends),
        "trend_weights": [float(weight) for weight in mixture.trends.values()],
    }


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of the retrieval.

    Attributes:
        subjects: The user, and a session to unite with it.
        partitions: The log's partitions of these.
        weights: Of the event types by name, as the setting says.
        as_of: The moment that ages are counted to.
        size: How many candidates at most.
        exclude: Which of the user's own items to leave out.
        categories: Any of these; none given is no filter.
        excluded_items: Items to leave out.
        unknown_items: Whether items without a catalogue entry may be shown.
        evidence_max: How many parts of each score to give, the strongest first.
        mixture: What the parts weigh against each other.
        published: Whether published weights go before *weights*.
    """

    subjects: Sequence[str]
    partitions: Sequence[int]
    weights: Mapping[str, float]
    as_of: datetime
    size: int = CANDIDATES_MAX
    exclude: Exclude = "none"
    categories: Sequence[str] = ()
    excluded_items: Sequence[str] = ()
    unknown_items: bool = True
    evidence_max: int = EVIDENCE_SHORT
    mixture: BlendWeights = DEFAULT_BLEND
    published: bool = True


@dataclass(frozen=True, slots=True)
class Version:
    """The state that an answer was made from.

    Attributes:
        log_id, partitions: The log that the scores come from; None before any was aggregated.
        positions: The next offset of each asked partition; 0 where nothing was applied yet.
        last_event_at: The newest event applied in these partitions.
        recipe: The version of the published weights; 0 if those of the question counted.
    """

    log_id: str | None
    partitions: int | None
    positions: Mapping[int, int]
    last_event_at: datetime | None
    recipe: int


class Found(msgspec.Struct, frozen=True):
    """A candidate.

    Attributes:
        personal: Whether any part of the score comes from the user's own signals.
        item: Its catalogue entry, if it has one.
    """

    item_id: str
    score: float
    personal: bool
    evidence: tuple[Evidence, ...]
    item: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Reading:
    """The candidates, best first, of one version."""

    version: Version
    found: tuple[Found, ...]


async def read_candidates(connection: AsyncConnection, ask: Ask) -> Reading:
    """Read the candidates of one user in one statement."""
    statement, names = _prepared(ask.mixture)
    async with AsyncRawCursor(connection, row_factory=dict_row) as cursor:
        await cursor.execute(statement, _parameters(ask, names), prepare=True)
        return _reading(await cursor.fetchall(), ask)


def read_now(connection: Connection, ask: Ask) -> Reading:
    """The same statement for who reads one user after the other."""
    statement, names = _prepared(ask.mixture)
    with RawCursor(connection, row_factory=dict_row) as cursor:
        cursor.execute(statement, _parameters(ask, names), prepare=True)
        return _reading(cursor.fetchall(), ask)


def _reading(rows: Sequence[dict[str, Any]], ask: Ask) -> Reading:
    found = tuple(_found(row, ask) for row in rows if row["item_id"] is not None)
    return Reading(_version(rows[0], ask), found)


def usable_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights with those that are as good as 0 set to it."""
    return {name: weight if abs(weight) >= WEIGHT_MIN else 0.0 for name, weight in weights.items()}


def _parameters(ask: Ask, names: Sequence[str]) -> list[Any]:
    values = {
        "subjects": list(ask.subjects),
        "partitions": list(ask.partitions),
        "type_names": list(ask.weights),
        "type_weights": [float(weight) for weight in ask.weights.values()],
        "as_of": ask.as_of,
        "size": ask.size,
        "exclude": ask.exclude,
        "categories": list(ask.categories) or None,
        "excluded_items": list(ask.excluded_items),
        "unknown_items": ask.unknown_items,
        "evidence_max": ask.evidence_max,
        "published": ask.published,
    }
    return [values[name] for name in names]


def _version(row: Mapping[str, Any], ask: Ask) -> Version:
    applied = {int(partition): offset for partition, offset in (row["positions"] or {}).items()}
    positions = dict.fromkeys(ask.partitions, 0) | applied
    return Version(row["log_id"], row["partitions"], positions, row["last_event_at"], row["recipe_version"])


def _found(row: Mapping[str, Any], ask: Ask) -> Found:
    if row["kind"] == _SCORED_KIND:
        evidence = tuple(_evidence(part, row, ask) for part in row["parts"] or ())
    else:
        evidence = (Evidence(_CODES[row["kind"]][0], 0.0),)
    return Found(row["item_id"], row["score"], row["personal"], evidence, shown_item(row))


def _evidence(part: Sequence[Any], row: Mapping[str, Any], ask: Ask) -> Evidence:
    kind, item_id, title, event_type, count, last_us, contribution, probability = part
    code, horizon = _CODES[kind]
    category = None
    if horizon == "7d" and ask.categories:
        code = "popular_in_category"
        category = next(name for name in ask.categories if name in row["categories"])
    last_at = None if last_us is None else from_us(last_us)
    return Evidence(
        code,
        float(contribution),
        item_id,
        title,
        event_type,
        count or 0,
        last_at,
        horizon,
        float(contribution) / ask.mixture.trends[horizon] if horizon else 0.0,
        category,
        probability,
    )
