"""From candidates to the document that a client sees."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from whence.domain.reasons import Evidence, reason
from whence.domain.tokens import FreshnessToken
from whence.recommend.question import Explain, Question
from whence.recommend.read import Found, Reading, Version

Outcome = Literal["full", "short", "empty"]
Strategy = Literal["personal", "trending", "catalogue", "none"]

FEW_ITEMS = "few_items_available"
NO_ITEMS = "no_items_available"
FILTERS_LEFT_FEW = "filters_left_few"
FILTERS_LEFT_NONE = "filters_left_none"
"""Why a list is shorter than asked for. "Available" leaves out what is withdrawn and what this user dismissed."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A document, and what is counted about it."""

    document: dict[str, Any]
    strategy: Strategy
    outcome: Outcome


def render(question: Question, reading: Reading, list_id: str, now: datetime, degraded: str | None) -> Rendered:
    """The answer to a question."""
    strategy = strategy_of(reading.found)
    outcome, why = outcome_of(len(reading.found), question.limit, filtered=question.is_filtered)
    document = {
        "recommendation_id": list_id,
        "user_id": question.user_id,
        "surface": question.surface,
        "generated_at": now,
        "strategy": strategy,
        "recipe_version": reading.version.recipe,
        "freshness": freshness(reading.version),
        "outcome": outcome,
        "outcome_reason": why,
        "degraded": degraded,
        "refinement": {"state": "off", "model": None},
        "items": [_item(found, rank, question.explain, now) for rank, found in enumerate(reading.found, start=1)],
    }
    return Rendered(document, strategy, outcome)


def strategy_of(found: tuple[Found, ...]) -> Strategy:
    """Where a list comes from: named after the most personal of its items."""
    if any(one.personal for one in found):
        return "personal"
    if any(part.code in ("trending", "popular_in_category") for one in found for part in one.evidence):
        return "trending"
    return "catalogue" if found else "none"


def outcome_of(count: int, limit: int, *, filtered: bool) -> tuple[Outcome, str | None]:
    """Whether a list is as long as asked for, and if not, why."""
    if count >= limit:
        return "full", None
    if count:
        return "short", FILTERS_LEFT_FEW if filtered else FEW_ITEMS
    return "empty", FILTERS_LEFT_NONE if filtered else NO_ITEMS


def freshness(version: Version) -> dict[str, Any]:
    """The state that a list was made from: pass the token on as `after` to get that or a newer one."""
    token = FreshnessToken(version.log_id, version.positions) if version.log_id and version.positions else None
    return {"token": token and str(token), "last_event_at": version.last_event_at}


def evidence_document(part: Evidence, score: float) -> dict[str, Any]:
    """One piece of evidence as the API shows it; fields that do not apply to it are null."""
    return {
        "code": part.code,
        "item_id": part.item_id,
        "event_type": part.event_type,
        "count": part.count if part.event_type else None,
        "last_at": part.last_at,
        "horizon": part.horizon,
        "category": part.category,
        "probability": part.probability,
        "contribution": part.contribution,
        "share": part.contribution / score if score else None,
    }


def _item(found: Found, rank: int, explain: Explain, now: datetime) -> dict[str, Any]:
    evidence = () if explain == "none" else found.evidence
    sentence = reason(evidence, now)
    return {
        "item_id": found.item_id,
        "rank": rank,
        "score": found.score,
        "base_rank": rank,
        "explanation": sentence,
        "explanation_source": "template" if sentence else None,
        "evidence": [evidence_document(part, found.score) for part in evidence],
        "item": found.item,
    }
