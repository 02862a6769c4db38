"""One honest English sentence for an item, from its evidence.

A sentence says no more than its numbers do: counts and times are those of the user's own signals; a pair's weight is no
number of people; a trend value is a share of activity. Without evidence that speaks for the item there is no sentence.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from whence.domain.state import Horizon

EvidenceCode = Literal[
    "own_signal", "co_viewed", "co_bought", "refined", "trending", "popular_in_category", "catalogue", "known_item"
]

TITLE_LENGTH_MAX = 80
"""Characters of another item's title inside a sentence; longer ones are cut."""

_VERBS = {"view": "viewed", "click": "clicked", "purchase": "bought"}
"""What the user did, for event types whose meaning is fixed. "You added it to your cart" is phrased on its own."""

_MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
_SHARE_SHOWN_MIN = 0.001


class Evidence(msgspec.Struct, frozen=True):
    """A part of a score with the public names of what it comes from.

    Attributes:
        code: What kind of part this is.
        contribution: In score units; all parts of an item sum to its score.
        item_id, title: The user's item that it comes from, if any; the title if the catalogue has one.
        event_type, count, last_at: The user's signal on that item: how many such events, the last one when.
        horizon: For a trend, the half-life of what counts.
        activity: For a trend, the item's share of all decayed activity, 0 to 1.
        category: For `popular_in_category`.
        probability: Of a pair, p(this item given the user's item): the pair's share of all the pairs that are counted
            for the user's item. Not a share of people.
    """

    code: EvidenceCode
    contribution: float
    item_id: str | None = None
    title: str | None = None
    event_type: str | None = None
    count: int = 0
    last_at: datetime | None = None
    horizon: Horizon | None = None
    activity: float = 0.0
    category: str | None = None
    probability: float | None = None


def reason(evidence: Sequence[Evidence], now: datetime) -> str | None:
    """The sentence for an item, made from the strongest evidence that speaks for it.

    Args:
        evidence: In any order.
        now: The moment of the answer; dates of its year go without their year.

    Returns:
        None if nothing speaks for the item.
    """
    speaking = [part for part in evidence if part.contribution > 0 or part.code in ("catalogue", "known_item")]
    for part in sorted(speaking, key=lambda part: -part.contribution):
        if sentence := _sentence(part, now):
            return sentence
    return None


def _sentence(part: Evidence, now: datetime) -> str | None:
    match part.code:
        case "own_signal":
            deed = _deed(part, "it", now)
            return deed and f"Recommended because {deed}."
        case "co_viewed":
            return _through_another_item("it was seen together with", part, now)
        case "co_bought":
            return _through_another_item("it was bought together with", part, now)
        case "refined":
            return _through_another_item("it is linked to", part, now)
        case "trending" | "popular_in_category":
            return _trend(part)
        case "catalogue":
            return "From the catalogue, to fill the list: nothing speaks for it yet."
        case "known_item":
            return "Known from events alone, to fill the list: nothing speaks for it yet."


def _through_another_item(link: str, part: Evidence, now: datetime) -> str | None:
    name = _name(part)
    deed = _deed(part, "which", now)
    return f"Recommended because {link} {name}, {deed}." if name and deed else None


def _deed(part: Evidence, thing: str, now: datetime) -> str | None:
    """What the user did: "you bought it 6 times, last on 3 October", or "which you bought on 3 October"."""
    if part.event_type is None or part.count < 1 or part.last_at is None:
        return None
    day = _day(part.last_at, now)
    when = f"on {day}" if part.count == 1 else f"{part.count} times, last on {day}"
    if part.event_type == "cart":
        return f"you put it in your cart {when}" if thing == "it" else f"which you put in your cart {when}"
    if verb := _VERBS.get(part.event_type):
        return f"you {verb} it {when}" if thing == "it" else f"which you {verb} {when}"
    return _custom_deed(part, thing, day)


def _custom_deed(part: Evidence, thing: str, day: str) -> str:
    """An event type of the installation's own is quoted, since we cannot know the verb for it."""
    events = f"a “{part.event_type}” event" if part.count == 1 else f"{part.count} “{part.event_type}” events"
    when = f"on {day}" if part.count == 1 else f"last on {day}"
    return f"you have {events} on it, {when}" if thing == "it" else f"on which you have {events}, {when}"


def _trend(part: Evidence) -> str | None:
    if part.horizon is None:
        return None
    share = _percent(part.activity)
    if part.code == "popular_in_category":
        return f"Popular in {part.category}: {share} of the activity of late was on it."
    if part.horizon == "7d":
        return f"Popular: {share} of the activity of late was on it."
    return f"Trending: {share} of the most recent activity was on it."


def _percent(share: float) -> str:
    """A share of 0 to 1 in words that round down to less than what is true, never up to more."""
    if share < _SHARE_SHOWN_MIN:
        return "less than 0.1 %"
    return f"{int(share * 1_000 + 1e-9) / 10:g} %"


def _name(part: Evidence) -> str | None:
    text = " ".join((part.title or part.item_id or "").split())
    if not text:
        return None
    return f"“{text if len(text) <= TITLE_LENGTH_MAX else text[: TITLE_LENGTH_MAX - 1].rstrip() + '…'}”"


def _day(moment: datetime, now: datetime) -> str:
    """A UTC date in words; the year only if it is not that of *now*."""
    day, today = moment.astimezone(UTC), now.astimezone(UTC)
    text = f"{day.day} {_MONTHS[day.month - 1]}"
    return text if day.year == today.year else f"{text} {day.year}"
