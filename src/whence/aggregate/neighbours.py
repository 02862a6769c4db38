"""Pair counts become neighbour lists. Pure, in columns."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from whence.aggregate.batch import Floats, Ints
from whence.aggregate.fold import run_starts
from whence.aggregate.touches import PairDeltas

NEIGHBOURS = 50
"""K: neighbours of an item in a list; longer lists changed no measured result."""

EPOCHS_KEPT = 8
"""Epochs that count; the oldest weighs a sixteenth or less."""

EPOCHS_PER_HALF_LIFE = 2.0
"""Half of a pair's weight is left after 60 days."""


class PairCounts(NamedTuple):
    """Counts by (source, epoch, destination), ascending and each key once; columns of equal length, as `PairDeltas`."""

    source: Ints
    epoch: Ints
    destination: Ints
    units: Ints
    bought_units: Ints

    def pick(self, rows: npt.NDArray[np.bool_] | slice) -> "PairCounts":
        """Those where a mask says so."""
        return PairCounts(*(column[rows] for column in self))


class NeighbourLists(NamedTuple):
    """The strongest neighbours of each source, best first; columns of equal length.

    Attributes:
        source, destination: Items; a source's rows are together.
        probability: p(destination given source): its share of all the source's decayed counts.
        bought: Whether all of the pair's counts are of purchases on both sides.
    """

    source: Ints
    destination: Ints
    probability: Floats
    bought: npt.NDArray[np.bool_]


def summed(deltas: PairDeltas, first_epoch: int) -> PairCounts:
    """The deltas by key, without those of epochs before *first_epoch*."""
    kept = deltas.epoch >= first_epoch
    columns = (deltas.source, deltas.epoch, deltas.destination, deltas.units, deltas.bought_units)
    return _grouped(PairCounts(*(column[kept] for column in columns)))


def merged(held: PairCounts, added: PairCounts) -> PairCounts:
    """Both together."""
    return _grouped(PairCounts(*(np.concatenate(columns) for columns in zip(held, added, strict=True))))


def ranked(counts: PairCounts) -> NeighbourLists:
    """The neighbour lists that the counts make; ties go by destination.

    Only the ratios of epochs matter, so no clock is needed.
    """
    order = np.lexsort((counts.epoch, counts.destination, counts.source))
    source, epoch, destination, units, bought_units = counts.pick(order)  # type: ignore[arg-type]
    starts = run_starts(source, destination)
    if not starts.size:
        return NeighbourLists(source, destination, np.zeros(0), np.zeros(0, np.bool_))
    weights = np.exp2((epoch - epoch.max()) / EPOCHS_PER_HALF_LIFE) * units
    decayed = np.add.reduceat(weights, starts)
    bought = np.add.reduceat(bought_units, starts) == np.add.reduceat(units, starts)
    source, destination = source[starts], destination[starts]
    by_source = run_starts(source)
    totals = np.add.reduceat(decayed, by_source)
    sizes = np.diff(np.append(by_source, source.size))
    probability = decayed / np.repeat(totals, sizes)
    best = np.lexsort((destination, -probability, source))
    kept = best[np.arange(source.size) - np.repeat(by_source, sizes) < NEIGHBOURS]
    return NeighbourLists(source[kept], destination[kept], probability[kept], bought[kept])


def _grouped(rows: PairCounts) -> PairCounts:
    order = np.lexsort((rows.destination, rows.epoch, rows.source))
    source, epoch, destination, units, bought_units = (column[order] for column in rows)
    starts = run_starts(source, epoch, destination)
    if not starts.size:
        return rows
    sums = (np.add.reduceat(units, starts), np.add.reduceat(bought_units, starts))
    return PairCounts(source[starts], epoch[starts], destination[starts], *sums)
