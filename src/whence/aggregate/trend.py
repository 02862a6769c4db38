"""The trend's three levels of buckets, and how the deltas of segments become bucket counts. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from whence.aggregate.batch import Ints


@dataclass(frozen=True, slots=True)
class Level:
    """Buckets of one width, and the horizon that they feed.

    Attributes:
        code: `trend_bucket.level`.
        horizon: `trend_list.horizon`.
        width: Of a bucket.
        kept: How long a bucket counts, by its start; after that it is deleted.
        half_life: Age that leaves half of an event in the horizon's list.
    """

    code: int
    horizon: str
    width: timedelta
    kept: timedelta
    half_life: timedelta

    def kept_from(self, as_of: datetime) -> datetime:
        """Buckets that start before this count no more."""
        return as_of - self.kept


LEVELS = (
    Level(0, "6h", timedelta(minutes=5), timedelta(days=3), timedelta(hours=6)),
    Level(1, "1d", timedelta(hours=1), timedelta(days=14), timedelta(days=1)),
    Level(2, "7d", timedelta(days=1), timedelta(days=90), timedelta(days=7)),
)
"""Half-lives as measured in the retrieval study; a bucket is kept for 12 half-lives or more, when less than 1/4000 of
an event is left."""


@dataclass(frozen=True, slots=True)
class BucketDeltas:
    """What to add to `trend_bucket`, sorted by key; columns of equal length, starts in microseconds since the epoch."""

    level: Ints
    start_us: Ints
    item: Ints
    count: Ints


def bucket_deltas(trend: Ints, as_of: datetime) -> BucketDeltas:
    """The buckets' deltas in all levels.

    Args:
        trend: Rows of (internal item id, start of the 5-minute bucket in seconds, count), as segments carry them.
        as_of: Entries that are too old for a level at this time are left out of it.
    """
    item, start_s, count = trend.reshape(-1, 3).T
    parts = []
    for level in LEVELS:
        width_s = int(level.width.total_seconds())
        start = start_s // width_s * width_s
        kept = start >= level.kept_from(as_of).timestamp()
        parts.append(np.column_stack((np.full(kept.sum(), level.code), start[kept], item[kept], count[kept])))
    return _summed(np.concatenate(parts))


def _summed(rows: Ints) -> BucketDeltas:
    keys, place = np.unique(rows[:, :3], axis=0, return_inverse=True)
    count = np.zeros(len(keys), dtype=np.int64)
    np.add.at(count, place.reshape(-1), rows[:, 3])
    return BucketDeltas(keys[:, 0], keys[:, 1] * 1_000_000, keys[:, 2], count)
