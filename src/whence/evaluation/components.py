"""A score taken apart: what each weight of the blend multiplies, for every candidate of a query.

With it, thousands of other blends are computed for one state in the time of a read. Equal to `whence.domain.blend`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product

import numpy as np
import numpy.typing as npt

from whence.domain import blend
from whence.domain.blend_weights import DEFAULT_BLEND, BlendWeights
from whence.domain.state import State

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

HALF_LIVES_MINUTES = (5.0, 30.0, 120.0, 720.0)
RANK_FACTORS = (0.5, 0.8)

MEMORIES = tuple(product(HALF_LIVES_MINUTES, RANK_FACTORS))
"""The short memories that are tried: how fast they fade with time, and with newer items."""

FIXED = ("long", "refined", "trend_6h", "trend_1d", "trend_7d", "own_long")
"""The columns that do not depend on the short memory; those follow, for each of `MEMORIES` one for neighbours and one
for own items."""


@dataclass(frozen=True, slots=True)
class Components:
    """The candidates of one query.

    Attributes:
        items: Internal ids, ascending; length n.
        columns: What the weights multiply; n rows, a column for each of `FIXED` and two for each of `MEMORIES`.
    """

    items: Ints
    columns: Floats


def weight_vector(mixture: BlendWeights, memory: int) -> Floats:
    """What multiplies the columns in a blend whose short memory is one of `MEMORIES`."""
    shorts = np.zeros((len(MEMORIES), 2))
    shorts[memory] = mixture.short, mixture.own * mixture.short
    fixed = (mixture.long, mixture.refined, *mixture.trends.values(), mixture.own * mixture.long_alone)
    return np.concatenate([fixed, shorts.ravel()])


def with_memory(mixture: BlendWeights, memory: int) -> BlendWeights:
    """The blend with one of `MEMORIES`."""
    half_life, factor = MEMORIES[memory]
    return replace(mixture, short_half_life_minutes=half_life, rank_factor=factor)


def components(
    state: State, weights: Mapping[str, float], as_of: datetime, hidden: Ints, *, repeats: bool
) -> Components:
    """The candidates of a state at a moment.

    Args:
        state: What is known of the user and of all users; refined weights were fitted.
        weights: Of the event types.
        as_of: The moment.
        hidden: Items that may not be listed.
        repeats: Whether the user's own items are candidates by themselves.
    """
    entries = _Entries()
    found = blend.sources(state, weights, as_of)
    mixer = blend.mix(state, found)
    for source in found:
        near = state.neighbours.get(source.item_id, {})
        entries.add("long", near, _share(source.affinity, mixer.neighbour_affinity_sum))
        if refined := (state.refined or {}).get(source.item_id):
            entries.add("refined", refined.weights, 1 / max(mixer.mass_sum + blend.MASS_DAMPING, blend.MASS_MIN))
        if repeats:
            entries.add("own_long", {source.item_id: 1.0}, _share(source.affinity, mixer.affinity_sum))
    for horizon, listed in state.trends.items():
        entries.add(f"trend_{horizon}", listed, 1.0)
    for memory in range(len(MEMORIES)):
        _add_memory(entries, state, weights, as_of, memory, repeats=repeats)
    return entries.summed(hidden)


def _add_memory(
    entries: "_Entries", state: State, weights: Mapping[str, float], as_of: datetime, memory: int, *, repeats: bool
) -> None:
    mixture = with_memory(DEFAULT_BLEND, memory)
    found = blend.sources(state, weights, as_of, mixture)
    mixer = blend.mix(state, found, mixture)
    for source in found:
        near = state.neighbours.get(source.item_id, {})
        entries.add(f"short_{memory}", near, source.short / (mixer.neighbour_short_sum + mixture.short_damping))
        if repeats:
            own = source.short / (mixer.short_sum + mixture.short_damping)
            entries.add(f"own_short_{memory}", {source.item_id: 1.0}, own)


class _Entries:
    """Summands by item and column."""

    def __init__(self) -> None:
        shorts = [f"{kind}_{memory}" for memory in range(len(MEMORIES)) for kind in ("short", "own_short")]
        self._places = {name: place for place, name in enumerate((*FIXED, *shorts))}
        self._items: list[int] = []
        self._columns: list[int] = []
        self._values: list[float] = []

    def add(self, column: str, values: Mapping[int, float], factor: float) -> None:
        """Add *factor* times each item's value."""
        if factor:
            self._items += values.keys()
            self._values += [factor * value for value in values.values()]
            self._columns += [self._places[column]] * len(values)

    def summed(self, hidden: Ints) -> Components:
        """All of it by item, without hidden items."""
        items, rows = np.unique(np.array(self._items, np.int64), return_inverse=True)
        width = len(self._places)
        cells = rows.reshape(-1) * width + np.array(self._columns, np.int64)
        sums = np.bincount(cells, np.array(self._values, np.float64), len(items) * width)
        table: Floats = np.asarray(sums, np.float64).reshape(-1, width)
        shown = ~np.isin(items, hidden)
        return Components(items[shown], table[shown])


def _share(value: float, total: float) -> float:
    return value / total if total else 0.0


def promising(found: Components, vector: Floats, by_score: int, by_column: int) -> Sequence[int]:
    """Places of the candidates that any reasonable blend may list: the best by score, and the best of each column."""
    kept = set(np.argsort(-(found.columns @ vector), kind="stable")[:by_score].tolist())
    for column in found.columns.T:
        best = np.argsort(-column, kind="stable")[:by_column]
        kept |= set(best[column[best] > 0].tolist())
    return sorted(kept)
