"""The decisions of several partitions side by side, so that they can be carried out together."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from whence.aggregate.batch import Batch, Interest, Ints, SignalDeltas


@dataclass(frozen=True, slots=True)
class Joint:
    """What batches of different partitions have in common; columns refer to *users* and *items* by place.

    Attributes:
        users: The external ids of all batches, one batch after the other; no user has events in two partitions.
        items: The same for items, which may come once for each batch.
        user_edges, item_edges: Where each batch's ids begin, and at last where they end.
        signals, interest: Those of all batches.
    """

    users: list[str]
    items: list[str]
    user_edges: list[int]
    item_edges: list[int]
    signals: SignalDeltas
    interest: Interest

    def user_slice(self, place: int) -> slice:
        """Which users are those of a batch."""
        return slice(self.user_edges[place], self.user_edges[place + 1])

    def item_slice(self, place: int) -> slice:
        """Which items are those of a batch."""
        return slice(self.item_edges[place], self.item_edges[place + 1])

    def batch_of_user(self) -> Ints:
        """For each user the place of the batch."""
        return np.repeat(np.arange(len(self.user_edges) - 1), np.diff(self.user_edges))


def joined(batches: Sequence[Batch]) -> Joint:
    """The batches, which are of different partitions, side by side."""
    user_edges = [0, *accumulate(len(batch.users) for batch in batches)]
    item_edges = [0, *accumulate(len(batch.items) for batch in batches)]
    places = list(zip(batches, user_edges[:-1], item_edges[:-1], strict=True))
    return Joint(
        users=[user for batch in batches for user in batch.users],
        items=[item for batch in batches for item in batch.items],
        user_edges=user_edges,
        item_edges=item_edges,
        signals=SignalDeltas(
            user=np.concatenate([batch.signals.user + users for batch, users, _ in places]),
            item=np.concatenate([batch.signals.item + items for batch, _, items in places]),
            type_code=np.concatenate([batch.signals.type_code for batch in batches]),
            count=np.concatenate([batch.signals.count for batch in batches]),
            log_sum=np.concatenate([batch.signals.log_sum for batch in batches]),
            last_us=np.concatenate([batch.signals.last_us for batch in batches]),
        ),
        interest=Interest(
            user=np.concatenate([batch.interest.user + users for batch, users, _ in places]),
            item=np.concatenate([batch.interest.item + items for batch, _, items in places]),
            time_us=np.concatenate([batch.interest.time_us for batch in batches]),
            offset=np.concatenate([batch.interest.offset for batch in batches]),
            bought=np.concatenate([batch.interest.bought for batch in batches]),
        ),
    )
