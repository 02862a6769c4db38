"""What the product is compared with: popularity, and the literal list of the user's own decayed sums."""

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from itertools import islice

from whence.domain.decay import decayed_sum, log_add, log_contribution
from whence.domain.events import DISMISS
from whence.domain.state import Exclude
from whence.evaluation.metrics import LIST_SIZE
from whence.evaluation.product import Event


class Baseline:
    """Learns events in memory; what all users share needs no renewal."""

    def __init__(self) -> None:
        self.seen: dict[str, set[str]] = defaultdict(set)

    def learn(self, events: Iterable[Event]) -> None:
        """Take events in, in order; a dismissal teaches nothing."""
        for event in events:
            if event.event_type != DISMISS:
                self.seen[event.user].add(event.item)
                self.count(event)

    def count(self, event: Event) -> None:
        """Count one event."""
        raise NotImplementedError

    def ask(self, user: str, as_of: datetime, exclude: Exclude) -> list[str]:
        """The list of a user at a moment, best first."""
        raise NotImplementedError


class Popularity(Baseline):
    """The items with the most events of all time; ties by id."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: Counter[str] = Counter()
        self._ranking: list[tuple[int, str]] = []

    def count(self, event: Event) -> None:
        """Count one event."""
        item, count = event.item, self._counts[event.item]
        if count:
            del self._ranking[bisect_left(self._ranking, (-count, item))]
        insort(self._ranking, (-count - 1, item))
        self._counts[item] += 1

    def ask(self, user: str, as_of: datetime, exclude: Exclude) -> list[str]:  # noqa: ARG002  # as the base has it
        """The same list for all, without what the user has seen where that is asked for."""
        left_out = self.seen[user] if exclude == "seen" else set()
        return list(islice((item for _, item in self._ranking if item not in left_out), LIST_SIZE))


class OwnScores(Baseline):
    """The literal list: the user's own decayed sums (half-life 90 days), all event types alike."""

    def __init__(self) -> None:
        super().__init__()
        self._log_sums: dict[str, dict[str, float]] = defaultdict(dict)

    def count(self, event: Event) -> None:
        """Count one event."""
        own = self._log_sums[event.user]
        own[event.item] = log_add(own.get(event.item, float("-inf")), log_contribution(event.at.timestamp()))

    def ask(self, user: str, as_of: datetime, exclude: Exclude) -> list[str]:
        """The user's items, strongest first; nothing where seen items are left out."""
        if exclude == "seen":
            return []
        own = self._log_sums[user]
        return sorted(own, key=lambda item: (-decayed_sum(own[item], as_of.timestamp()), item))[:LIST_SIZE]
