"""Many events become few deltas: grouping in numpy columns."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from whence.aggregate.batch import Floats, Ints, SignalDeltas, TrendDeltas
from whence.domain.decay import LANDMARK_SECONDS, RATE_PER_SECOND

BUCKET_SECONDS = 300
"""Width of the finest trend bucket, which segments carry."""


class Touches(NamedTuple):
    """Applied events as columns of equal length; user and item are places in a batch's lists."""

    user: Ints
    item: Ints
    type_code: Ints
    time_us: Ints
    offset: Ints

    def pick(self, rows: Ints | npt.NDArray[np.bool_]) -> "Touches":
        """Those at some places, or where a mask says so."""
        return Touches(*(column[rows] for column in self))


def fold_signals(touches: Touches) -> SignalDeltas:
    """Count, log-domain sum and newest time of each (user, item, event type)."""
    order = np.lexsort((touches.type_code, touches.item, touches.user))
    user, item, type_code, time_us, _ = touches.pick(order)
    starts = run_starts(user, item, type_code)
    return SignalDeltas(
        user=user[starts],
        item=item[starts],
        type_code=type_code[starts],
        count=np.diff(np.append(starts, user.size)),
        log_sum=_log_sums(RATE_PER_SECOND * (time_us / 1e6 - LANDMARK_SECONDS), starts),
        last_us=_reduce(np.maximum, time_us, starts),
    )


def fold_trend(touches: Touches) -> TrendDeltas:
    """Events of each item in each bucket of `BUCKET_SECONDS`."""
    start_s = touches.time_us // 1_000_000 // BUCKET_SECONDS * BUCKET_SECONDS
    order = np.lexsort((start_s, touches.item))
    item, start_s = touches.item[order], start_s[order]
    starts = run_starts(item, start_s)
    return TrendDeltas(item[starts], start_s[starts], np.diff(np.append(starts, item.size)))


def run_starts(*columns: Ints) -> Ints:
    """Where each run of equal rows begins, in columns that are sorted."""
    changes = np.zeros(columns[0].size, dtype=np.bool_)
    changes[:1] = True
    for column in columns:
        changes[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changes)


def _log_sums(logs: Floats, starts: Ints) -> Floats:
    """ln of the sum of e^x over each group, without overflow: the largest term is taken out."""
    if not starts.size:
        return np.empty(0, dtype=np.float64)
    highest = np.maximum.reduceat(logs, starts)
    sizes = np.diff(np.append(starts, logs.size))
    sums: Floats = highest + np.log(np.add.reduceat(np.exp(logs - np.repeat(highest, sizes)), starts))
    return sums


def _reduce(function: np.ufunc, values: Ints, starts: Ints) -> Ints:
    reduced: Ints = function.reduceat(values, starts) if starts.size else np.empty(0, dtype=np.int64)
    return reduced
