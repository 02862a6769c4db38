"""Ranking metrics over full rankings, in percent.

For a query with targets (the items that came next) and a list: NDCG@10 normalises by the ideal list of
min(10, targets); HR@20 asks whether any target is in the first 20, R@20 which share, MRR@20 where the first one is.
Novelty is the mean of -log2 of the shown items' shares of all events so far, in bits.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

NDCG_SIZE = 10
LIST_SIZE = 20
METRICS = ("ndcg_at_10", "hr_at_20", "recall_at_20", "mrr_at_20")
"""What is averaged over the queries."""


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


class Exposure:
    """How often each item was touched so far."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._total = 0

    def count(self, items: Iterable[str]) -> None:
        """Take events in."""
        for item in items:
            self._counts[item] += 1
            self._total += 1

    def novelty(self, items: Sequence[str]) -> float:
        """The mean self-information of a list in bits; 0 for an empty one."""
        if not items:
            return 0.0
        return sum(math.log2(self._total / max(self._counts[item], 1)) for item in items) / len(items)

    @property
    def known_items(self) -> int:
        """How many items have been seen."""
        return len(self._counts)


@dataclass(slots=True)
class Scores:
    """The running result of one variant; figures are percent, with standard errors over queries.

    Attributes:
        by_day: Of each day of the log, its queries and the sum of their NDCG@10.
        seconds: What the lists took to make.
    """

    queries: int = 0
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(METRICS, 0.0))
    squares: dict[str, float] = field(default_factory=lambda: dict.fromkeys(METRICS, 0.0))
    shown: set[str] = field(default_factory=set)
    novelty: float = 0.0
    by_day: dict[date, tuple[int, float]] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, items: Sequence[str], targets: Collection[str], day: date, novelty: float = 0.0) -> None:
        """Take one query in; *targets* is not empty."""
        values = (ndcg(items, targets), hit(items, targets), recall(items, targets), reciprocal_rank(items, targets))
        self.queries += 1
        for name, value in zip(METRICS, values, strict=True):
            self.sums[name] += value
            self.squares[name] += value * value
        self.shown.update(items[:LIST_SIZE])
        self.novelty += novelty
        count, total = self.by_day.get(day, (0, 0.0))
        self.by_day[day] = count + 1, total + values[0]

    def figures(self, known_items: int) -> dict[str, float]:
        """All figures; *known_items* is what coverage is a share of."""
        queries = max(self.queries, 1)
        found: dict[str, float] = {"queries": self.queries}
        for name in METRICS:
            mean = self.sums[name] / queries
            variance = max(self.squares[name] / queries - mean * mean, 0.0)
            found[name] = round(100 * mean, 3)
            found[f"{name}_error"] = round(100 * math.sqrt(variance / queries), 3)
        found["coverage"] = round(100 * len(self.shown) / max(known_items, 1), 3)
        found["novelty_bits"] = round(self.novelty / queries, 3)
        found["seconds"] = round(self.seconds, 2)
        return found

    def daily(self) -> dict[str, dict[str, float]]:
        """NDCG@10 in percent and the queries of each day, in order."""
        return {
            day.isoformat(): {"queries": count, "ndcg_at_10": round(100 * total / count, 3)}
            for day, (count, total) in sorted(self.by_day.items())
        }
