"""Which blend would have been better: a walk over earlier days takes scores apart, then weights are tried one by one.

A step is taken only if it gains more than chance over all queries and loses in no quarter of them: what helps a shop's
habits, not one week's. With halves, or any gain, proposals from two weeks of a real shop lost in the next two.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from whence.domain.blend_weights import WEIGHT_MAX, WEIGHT_MIN, BlendWeights
from whence.evaluation.components import MEMORIES, Components, Floats, promising, weight_vector, with_memory
from whence.evaluation.metrics import NDCG_SIZE

BY_SCORE, BY_COLUMN = 200, 40
"""Candidates of a query that are kept: more never came among the first ten of any blend that won."""

FACTORS = (0.0, 0.25, 0.5, 0.7, 0.85, 1.2, 1.4, 2.0, 4.0)
"""What a weight is multiplied with in one step."""

GAIN_MIN = 1e-4
"""NDCG@10, 0 to 1, that a step must gain: less is not worth a change."""

GAIN_ERRORS = 1.0
"""Standard errors of the queries' gains that a step must gain: less may be chance."""

PARTS = 4
"""Stretches of time in none of which a step may lose."""

ROUNDS_MAX = 12
"""Through all weights; five or six were enough for every log tried."""

WEIGHTS = ("short", "long", "refined", "trend_6h", "trend_1d", "trend_7d")
OWN_WEIGHTS = ("own", "long_alone")
"""Tried where repeats are allowed: they weigh the user's own items alone."""

_MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Asked:
    """A query of the earlier days.

    Attributes:
        columns: The components of its promising candidates; n rows.
        wanted: Which of them were touched next; length n.
        targets: How many items were.
    """

    columns: Floats
    wanted: npt.NDArray[np.bool_]
    targets: int


def asked(found: Components, targets: Sequence[int], size: int, mixture: BlendWeights) -> Asked:
    """A query with its promising candidates; *size* counts targets that are no candidates, too."""
    kept = promising(found, weight_vector(mixture, memory_of(mixture)), BY_SCORE, BY_COLUMN)
    return Asked(found.columns[kept], np.isin(found.items[kept], targets), size)


class Queries:
    """All queries of the earlier days as one table."""

    def __init__(self, queries: Sequence[Asked]) -> None:
        """Queries in the order of time, at least one."""
        width = max(max((len(one.columns) for one in queries), default=0), NDCG_SIZE)
        self._columns = np.zeros((len(queries), width, queries[0].columns.shape[1]))
        self._wanted = np.zeros((len(queries), width), np.bool_)
        self._there = np.zeros((len(queries), width), np.bool_)
        for place, one in enumerate(queries):
            self._columns[place, : len(one.columns)] = one.columns
            self._wanted[place, : len(one.columns)] = one.wanted
            self._there[place, : len(one.columns)] = True
        discounts = 1 / np.log2(np.arange(NDCG_SIZE) + 2)
        self._discounts = discounts
        self._ideal = np.array([discounts[: one.targets].sum() for one in queries])

    def ndcg(self, mixture: BlendWeights) -> Floats:
        """NDCG@10 of each query, 0 to 1, with a short memory that is among `MEMORIES`."""
        vector = weight_vector(mixture, memory_of(mixture))
        used = np.flatnonzero(vector)
        scores = np.where(self._there, self._columns[:, :, used] @ vector[used], -math.inf)
        best = np.argpartition(-scores, NDCG_SIZE - 1, axis=1)[:, :NDCG_SIZE]
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, 1)
        gains = np.take_along_axis(self._wanted, best, 1) @ self._discounts
        return np.asarray(gains / self._ideal, np.float64)


def memory_of(mixture: BlendWeights) -> int:
    """Which of `MEMORIES` is nearest to a blend's short memory."""
    return min(
        range(len(MEMORIES)),
        key=lambda place: (
            abs(math.log(MEMORIES[place][0] / mixture.short_half_life_minutes)),
            abs(MEMORIES[place][1] - mixture.rank_factor),
        ),
    )


def propose(
    queries: Queries,
    begin: BlendWeights,
    *,
    repeats: bool,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> BlendWeights:
    """The best blend found by changing one number at a time, beginning with *begin*.

    Args:
        queries: Of earlier days.
        begin: The blend in force.
        repeats: Whether the user's own items were candidates.
        progress: Told how many rounds are done, of at most how many.
    """
    best, found = begin, queries.ndcg(with_memory(begin, memory_of(begin)))
    for done in range(ROUNDS_MAX):
        progress(done, ROUNDS_MAX)
        before = best
        for name in (*WEIGHTS, *(OWN_WEIGHTS if repeats else ()), _MEMORY):
            for step in _steps(best, name):
                tried = queries.ndcg(step)
                if _is_better(tried, found):
                    best, found = step, tried
        if best == before:
            break
    progress(ROUNDS_MAX, ROUNDS_MAX)
    return best


def _steps(mixture: BlendWeights, name: str) -> Iterator[BlendWeights]:
    """The blends with another value of one number."""
    if name == _MEMORY:
        yield from (with_memory(mixture, memory) for memory in range(len(MEMORIES)))
        return
    value = getattr(mixture, name)
    # A weight that was dropped may come back.
    for wanted in [value * factor for factor in FACTORS] if value else [0.02, 0.1]:
        rounded = float(f"{wanted:.2g}")
        if rounded == 0 or WEIGHT_MIN <= rounded <= WEIGHT_MAX:
            yield replace(mixture, **{name: rounded})


def _is_better(tried: Floats, found: Floats) -> bool:
    gains = tried - found
    least = max(GAIN_MIN, GAIN_ERRORS * float(gains.std()) / math.sqrt(len(gains)))
    return bool(gains.mean() > least and all(part.sum() >= 0 for part in np.array_split(gains, PARTS)))
