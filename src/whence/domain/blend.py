"""The score of a candidate and the parts that it is the sum of: the plain reference that the read statement equals.

For a user's newest items r = 0, 1, … (newest first) at a moment:

    short_r = 0.5^r * 2^(-age/30 min)           how much the user is at it right now
    affinity_r = max(sum over event types of weight * decayed sum, 0)
    co_viewed   (0.24 * short_r/(sum short + 0.05) + long * affinity_r/(sum affinity)) * p(r, candidate)
    refined     0.30 / max(sum mass + 1, 0.1) * b(r, candidate)
    trending    0.16 * T_6h + 0.08 * T_1d + 0.06 * T_7d
    co_bought   the same as co_viewed, where all that is counted of the pair are purchases on both sides
    own_signal  0.3 * (0.24 * short_r/(sum short + 0.05) + 0.46 * affinity_r/(sum affinity)), the candidate being r

These are the numbers of the default `whence.domain.blend_weights`. `long` is 0.16 beside refined weights and 0.46 while
none were ever fitted. The sums of co_viewed run over the items that have neighbours (ranks unchanged), all others over
all newest items. A sum of affinities of 0 makes its term 0.

Source: ADR-0011, with measurements on public shopping and click logs.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from whence.domain.blend_weights import DEFAULT_BLEND, BlendWeights
from whence.domain.decay import decay, decayed_sum
from whence.domain.events import DISMISS
from whence.domain.state import RECENT_ITEMS_READ, Horizon, Signal, State

MASS_DAMPING = 1.0
"""Added to the sum of masses: little evidence makes a small refined part."""
MASS_MIN = 0.1

AFFINITY_MIN = 1e-60
"""A smaller affinity counts as 0: after 49 years, and products of floats stay above the range's end."""

Code = Literal["own_signal", "co_viewed", "co_bought", "refined", "trending"]


@dataclass(frozen=True, slots=True)
class HeldSignal:
    """A signal at a moment, with the weight of its event type."""

    event_type: str
    count: int
    last_at: datetime
    decayed: float
    weight: float

    @property
    def strength(self) -> float:
        """What it adds to the affinity."""
        return self.weight * self.decayed


@dataclass(frozen=True, slots=True)
class Source:
    """One of the user's newest items at a moment: what it can contribute, before it is normalised."""

    item_id: int
    last_at: datetime
    rank: int
    short: float
    affinity: float
    signals: tuple[HeldSignal, ...]

    @property
    def leading(self) -> HeldSignal | None:
        """The strongest of its signals: the one that is named where this item is given as a reason."""
        touches = [signal for signal in self.signals if signal.event_type != DISMISS]
        return min(touches, key=lambda held: (-held.strength, *_newest_first(held)), default=None)

    @property
    def newest(self) -> HeldSignal | None:
        """The newest of its signals: the one that the short memory speaks of."""
        touches = [signal for signal in self.signals if signal.event_type != DISMISS]
        return min(touches, key=_newest_first, default=None)


@dataclass(frozen=True, slots=True)
class Part:
    """One summand of a score, in score units, and what it comes from; the probability is that of a pair."""

    code: Code
    contribution: float
    source_id: int | None = None
    event_type: str | None = None
    count: int = 0
    last_at: datetime | None = None
    horizon: Horizon | None = None
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item that may be recommended; the parts sum to the score."""

    item_id: int
    score: float
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Mixer:
    """The sums that normalise a user's sources, and the coefficients that follow from them."""

    short_sum: float
    affinity_sum: float
    neighbour_short_sum: float
    neighbour_affinity_sum: float
    mass_sum: float
    long_weight: float
    weights: BlendWeights

    def self_short(self, source: Source) -> float:
        """What an own item gets from the short memory."""
        return self.weights.own * self.weights.short * source.short / (self.short_sum + self.weights.short_damping)

    def self_long(self, strength: float) -> float:
        """What an own item gets from the long memory for a signal of that strength."""
        return self.weights.own * self.weights.long_alone * _share(strength, self.affinity_sum)

    def co_viewed(self, source: Source) -> float:
        """c_r, which multiplies p(r, candidate), bought or not."""
        short = self.weights.short * source.short / (self.neighbour_short_sum + self.weights.short_damping)
        return short + self.long_weight * _share(source.affinity, self.neighbour_affinity_sum)

    @property
    def refined(self) -> float:
        """e, which multiplies b(r, candidate) for every source alike."""
        return self.weights.refined / max(self.mass_sum + MASS_DAMPING, MASS_MIN)


def blend(
    state: State,
    weights: Mapping[str, float],
    as_of: datetime,
    mixture: BlendWeights = DEFAULT_BLEND,
    *,
    repeats: bool = True,
) -> list[Candidate]:
    """The candidates of a user at a moment, best first; ties by item id.

    Args:
        state: What is known of the user and of all users.
        weights: Of the event types; a type that is missing weighs 0.
        as_of: The moment; events later than it count as happening at it.
        mixture: What the parts weigh against each other.
        repeats: Whether the user's own items are candidates by themselves.
    """
    found = sources(state, weights, as_of, mixture)
    mixer = mix(state, found, mixture)
    parts = [*_own_parts(found, mixer)] if repeats else []
    parts += _neighbour_parts(state, found, mixer)
    parts += _trend_parts(state, mixture)
    by_item: dict[int, list[Part]] = defaultdict(list)
    for item_id, part in parts:
        if part.contribution:
            by_item[item_id].append(part)
    candidates = [Candidate(item, sum(part.contribution for part in own), tuple(own)) for item, own in by_item.items()]
    return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.item_id))


def sources(
    state: State, weights: Mapping[str, float], as_of: datetime, mixture: BlendWeights = DEFAULT_BLEND
) -> list[Source]:
    """The user's newest items at a moment, newest first."""
    held = held_by_item(state.signals, weights, as_of)
    found = []
    for rank, recent in enumerate(state.recents[:RECENT_ITEMS_READ]):
        signals = tuple(held.get(recent.item_id, ()))
        age_seconds = (as_of - recent.last_at).total_seconds()
        short = mixture.rank_factor**rank * decay(age_seconds, mixture.short_half_life_seconds)
        affinity = sum(signal.strength for signal in signals)
        affinity = affinity if affinity >= AFFINITY_MIN else 0.0
        found.append(Source(recent.item_id, recent.last_at, rank, short, affinity, signals))
    return found


def mix(state: State, found: Sequence[Source], mixture: BlendWeights = DEFAULT_BLEND) -> Mixer:
    """The sums over a user's sources."""
    with_neighbours = [source for source in found if state.neighbours.get(source.item_id)]
    refined = state.refined or {}
    return Mixer(
        short_sum=sum(source.short for source in found),
        affinity_sum=sum(source.affinity for source in found),
        neighbour_short_sum=sum(source.short for source in with_neighbours),
        neighbour_affinity_sum=sum(source.affinity for source in with_neighbours),
        mass_sum=sum(refined[source.item_id].mass for source in found if source.item_id in refined),
        long_weight=mixture.long_alone if state.refined is None else mixture.long,
        weights=mixture,
    )


def held_by_item(
    signals: Iterable[Signal], weights: Mapping[str, float], as_of: datetime
) -> dict[int, list[HeldSignal]]:
    """The signals at a moment by item; those of one (item, event type) added up."""
    grouped: dict[tuple[int, str], list[Signal]] = defaultdict(list)
    for signal in signals:
        grouped[signal.item_id, signal.event_type].append(signal)
    held: dict[int, list[HeldSignal]] = defaultdict(list)
    for (item_id, event_type), group in sorted(grouped.items()):
        # A signal newer than the moment is read at its own time: nothing ever counts more than when it was fresh.
        decayed = math.fsum(decayed_sum(s.log_sum, max(as_of, s.last_at).timestamp()) for s in group)
        held[item_id].append(
            HeldSignal(
                event_type=event_type,
                count=sum(signal.count for signal in group),
                last_at=max(signal.last_at for signal in group),
                decayed=decayed,
                weight=weights.get(event_type, 0.0),
            )
        )
    return held


def _own_parts(found: Iterable[Source], mixer: Mixer) -> Iterable[tuple[int, Part]]:
    """One part for each signal on an own item; the short memory belongs to its newest signal."""
    for source in found:
        newest = source.newest
        for signal in source.signals:
            contribution = mixer.self_long(signal.strength) if source.affinity else 0.0
            contribution += mixer.self_short(source) if signal is newest else 0.0
            yield source.item_id, _source_part("own_signal", contribution, source, signal)


def _neighbour_parts(state: State, found: Iterable[Source], mixer: Mixer) -> Iterable[tuple[int, Part]]:
    for source in found:
        leading = source.leading
        bought = state.bought.get(source.item_id, frozenset())
        for item, probability in state.neighbours.get(source.item_id, {}).items():
            code: Code = "co_bought" if item in bought else "co_viewed"
            part = _source_part(code, mixer.co_viewed(source) * probability, source, leading)
            yield item, replace(part, probability=probability)
        refined = (state.refined or {}).get(source.item_id)
        for item, weight in refined.weights.items() if refined else ():
            yield item, _source_part("refined", mixer.refined * weight, source, leading)


def _trend_parts(state: State, mixture: BlendWeights) -> Iterable[tuple[int, Part]]:
    for horizon, weight in mixture.trends.items():
        for item, value in state.trends.get(horizon, {}).items():
            yield item, Part("trending", weight * value, horizon=horizon)


def _source_part(code: Code, contribution: float, source: Source, signal: HeldSignal | None) -> Part:
    if signal is None:
        return Part(code, contribution, source.item_id)
    return Part(code, contribution, source.item_id, signal.event_type, signal.count, signal.last_at)


def _share(value: float, total: float) -> float:
    return value / total if total else 0.0


def _newest_first(held: HeldSignal) -> tuple[float, str]:
    return -held.last_at.timestamp(), held.event_type
