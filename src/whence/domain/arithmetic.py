"""The arithmetic behind the parts of a score, written out to the last digit.

Each line is an expression of numbers, `+`, `*`, `/` and `max(…)` that gives the part's contribution when computed.
"""

from whence.domain import blend
from whence.domain.blend import HeldSignal, Mixer, Part, Source
from whence.domain.state import State


def expression(part: Part, item_id: int, state: State, found: list[Source], mixer: Mixer) -> str:
    """How a part of an item's score comes about.

    Args:
        part: A part of that item's candidate, from `blend.blend` on the same state.
        item_id: The item.
        state: What the score was made from.
        found: `blend.sources` of the same state at the same moment.
        mixer: `blend.mix` of these.
    """
    if part.horizon is not None:
        return f"{mixer.weights.trends[part.horizon]!r} * {state.trends[part.horizon][item_id]!r}"
    source = next(one for one in found if one.item_id == part.source_id)
    if part.probability is not None:
        return _pair(source, mixer, part.probability)
    if part.code == "refined":
        weight = (state.refined or {})[source.item_id].weights[item_id]
        damped = f"max({mixer.mass_sum!r} + {blend.MASS_DAMPING}, {blend.MASS_MIN})"
        return f"{mixer.weights.refined!r} / {damped} * {weight!r}"
    return _own_signal(part, source, mixer)


def _own_signal(part: Part, source: Source, mixer: Mixer) -> str:
    signal = next(one for one in source.signals if one.event_type == part.event_type)
    terms = []
    if signal is source.newest:
        terms.append(_short_term(source, mixer, mixer.short_sum))
    if source.affinity and signal.strength:
        terms.append(_long_term(signal, mixer))
    return f"{mixer.weights.own!r} * ({' + '.join(terms)})"


def _long_term(signal: HeldSignal, mixer: Mixer) -> str:
    return f"{mixer.weights.long_alone!r} * {signal.weight!r} * {signal.decayed!r} / {mixer.affinity_sum!r}"


def _pair(source: Source, mixer: Mixer, probability: float) -> str:
    terms = [_short_term(source, mixer, mixer.neighbour_short_sum)]
    if source.affinity:
        terms.append(f"{mixer.long_weight} * {source.affinity!r} / {mixer.neighbour_affinity_sum!r}")
    return f"({' + '.join(terms)}) * {probability!r}"


def _short_term(source: Source, mixer: Mixer, total: float) -> str:
    return f"{mixer.weights.short!r} * {source.short!r} / ({total!r} + {mixer.weights.short_damping!r})"
