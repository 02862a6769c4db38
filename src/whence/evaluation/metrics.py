"""Ranking metrics over full rankings, in percent.

For a query with targets (the items that came next) and a list: NDCG@10 normalises by the ideal list of
min(10, targets); HR@20 asks whether any target is in the first 20, R@20 which share, MRR@20 where the first one is.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

NDCG_SIZE = 10
LIST_SIZE = 20


def ndcg(items: Sequence[str], targets: Collection[str], size: int = NDCG_SIZE) -> float:
    """Normalised discounted cumulative gain of the first *size* items, 0 to 1."""
    gain = sum(1 / math.log2(place + 2) for place, item in enumerate(items[:size]) if item in targets)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(size, len(targets))))
    return gain / ideal


def hit(items: Sequence[str], targets: Collection[str], size: int = LIST_SIZE) -> float:
    """1 if any target is among the first *size*."""
    return float(any(item in targets for item in items[:size]))


def recall(items: Sequence[str], targets: Collection[str], size: int = LIST_SIZE) -> float:
    """The share of the targets that is among the first *size*."""
    return sum(item in targets for item in items[:size]) / len(targets)


def reciprocal_rank(items: Sequence[str], targets: Collection[str], size: int = LIST_SIZE) -> float:
    """1 / the place of the first target among the first *size*, else 0."""
    return next((1 / place for place, item in enumerate(items[:size], start=1) if item in targets), 0.0)


@dataclass(slots=True)
class Scores:
    """The running result of one variant; figures are percent, with standard errors over queries."""

    queries: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    squares: Counter[str] = field(default_factory=Counter)
    shown: Counter[str] = field(default_factory=Counter)

    def add(self, items: Sequence[str], targets: Collection[str]) -> None:
        """Take one query in; *targets* is not empty."""
        values = {
            "ndcg_at_10": ndcg(items, targets),
            "hr_at_20": hit(items, targets),
            "recall_at_20": recall(items, targets),
            "mrr_at_20": reciprocal_rank(items, targets),
        }
        self.queries += 1
        for name, value in values.items():
            self.sums[name] += value  # type: ignore[assignment]  # a Counter of floats
            self.squares[name] += value * value  # type: ignore[assignment]
        self.shown.update(items[:LIST_SIZE])

    def figures(self, known_items: int) -> dict[str, float]:
        """All figures; *known_items* is what coverage is a share of."""
        found: dict[str, float] = {"queries": self.queries}
        for name in ("ndcg_at_10", "hr_at_20", "recall_at_20", "mrr_at_20"):
            mean = self.sums[name] / max(self.queries, 1)
            variance = max(self.squares[name] / max(self.queries, 1) - mean * mean, 0.0)
            found[name] = round(100 * mean, 3)
            found[f"{name}_error"] = round(100 * math.sqrt(variance / max(self.queries, 1)), 3)
        found["coverage"] = round(100 * len(self.shown) / max(known_items, 1), 3)
        return found
