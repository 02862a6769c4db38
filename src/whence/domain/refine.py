"""The refined neighbour weights: how much a source item in a user's history says about a target item.

An EASE-like ridge regression with three changes: recent adoptions count more as targets than as evidence; the support
is bounded by counts before the solve, so nothing is lost by cutting afterwards; it is solved for each target in a small
system instead of an items-by-items inverse. A pure function of its input: equal input gives equal bytes.

Source: H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019; the changes and their measured
effect are in docs/quality.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

EVIDENCE_HALF_LIFE_DAYS = 120.0
"""h_x: how fast a touch fades as evidence."""

TARGET_HALF_LIFE_DAYS = 30.0
"""h_y: how fast a touch fades as something to be foretold."""

RIDGE = 100.0
"""lambda: what is added to the diagonal of each system."""

NEIGHBOURS = 50
"""K: targets that a source keeps; 20 is as good on baskets, a little worse on browsing."""

MAX_SOURCES = 150
"""Sources of one target: bounds each system to 150 x 150."""

POPULARITY_EXPONENT = 0.25
"""alpha: how strongly a target's popularity is divided out when support is chosen."""

MAX_USER_ITEMS = 500
"""Newest items of a user that count: bounds what one bot can do."""

BLOCK_SOURCES = 512
"""Sources whose co-occurrences are held at a time: bounds memory."""

DENSE_ITEMS_MAX = 6_000
"""Up to so many items their co-occurrences are spread out into one table, 288 MB, from which systems are picked several
times faster; the numbers are the same."""


@dataclass(frozen=True, slots=True)
class RefinedNeighbours:
    """The fitted weights as rows, ordered by (source, target).

    Attributes:
        sources, targets: Item ids, int64; length n.
        weights: b(source, target), dimensionless, negatives too; length n.
    """

    sources: Ints
    targets: Ints
    weights: Floats


def fit(users: Ints, items: Ints, ages_days: Floats) -> RefinedNeighbours:
    """Fit the weights from every user's touched items.

    Args:
        users, items: One entry for each (user, item) that was touched, each pair once; any int64 ids; length n.
        ages_days: Age of the last touch at the moment of the fit; below 0 counts as 0; length n.

    Returns:
        At most NEIGHBOURS weights for each source.
    """
    order = _newest_per_user(users, items, ages_days)
    user_codes = np.unique(users[order], return_inverse=True)[1]
    item_ids, item_codes = np.unique(items[order], return_inverse=True)
    ages = np.maximum(ages_days[order], 0.0)
    shape = (int(user_codes.max(initial=-1)) + 1, len(item_ids))
    evidence = _matrix(user_codes, item_codes, np.exp2(-ages / EVIDENCE_HALF_LIFE_DAYS), shape)
    target = _matrix(user_codes, item_codes, np.exp2(-ages / TARGET_HALF_LIFE_DAYS), shape)
    support = _support(evidence, target)
    weights = _solve(evidence, target, *_sources_of_targets(*support, len(item_ids)))
    sources, targets, values = weights
    in_order = np.lexsort((targets, sources))
    return RefinedNeighbours(item_ids[sources[in_order]], item_ids[targets[in_order]], values[in_order])


def _newest_per_user(users: Ints, items: Ints, ages_days: Floats) -> Ints:
    """Indices of the newest MAX_USER_ITEMS entries of each user, in the order (user, age, item)."""
    order = np.lexsort((items, ages_days, users))
    sorted_users = users[order]
    starts = np.flatnonzero(np.r_[True, sorted_users[1:] != sorted_users[:-1]]) if len(order) else np.zeros(0, np.int64)
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return order[rank < MAX_USER_ITEMS]


def _matrix(rows: Ints, columns: Ints, values: Floats, shape: tuple[int, int]) -> sparse.csr_array:
    matrix = sparse.csr_array((values, (rows, columns)), shape=shape)
    matrix.sort_indices()
    return matrix


def _support(evidence: sparse.csr_array, target: sparse.csr_array) -> tuple[Ints, Ints, Ints]:
    """For each source the targets of largest H_ij / n_j^alpha (ties by target): (source, target, rank) rows."""
    items = evidence.shape[1]
    popularity = np.asarray(target.multiply(target).sum(axis=0)).ravel()
    discount = np.where(popularity > 0, popularity, 1.0) ** -POPULARITY_EXPONENT
    by_source = sparse.csr_array(evidence.T)
    parts: list[tuple[Ints, Ints, Ints]] = []
    for start in range(0, items, BLOCK_SOURCES):
        block = sparse.csr_array(by_source[start : start + BLOCK_SOURCES] @ target)
        block.sort_indices()
        for row in range(block.shape[0]):
            low, high = block.indptr[row], block.indptr[row + 1]
            columns = block.indices[low:high].astype(np.int64)
            values = block.data[low:high] * discount[columns]
            values[columns == start + row] = -1.0
            kept = _top(values, columns)
            parts.append((np.full(len(kept), start + row, np.int64), columns[kept], np.arange(len(kept))))
    if not parts:
        return (np.zeros(0, np.int64),) * 3
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))  # type: ignore[return-value]


def _top(values: Floats, columns: Ints) -> Ints:
    """Indices of the NEIGHBOURS largest positive values, largest first, ties by column."""
    candidates = np.flatnonzero(values > 0)
    if len(candidates) > NEIGHBOURS:
        threshold = np.partition(values[candidates], -NEIGHBOURS)[-NEIGHBOURS]
        candidates = candidates[values[candidates] >= threshold]
    return candidates[np.lexsort((columns[candidates], -values[candidates]))][:NEIGHBOURS]


def _sources_of_targets(sources: Ints, targets: Ints, ranks: Ints, items: int) -> tuple[Ints, Ints]:
    """For each target its sources, the MAX_SOURCES best by rank (ties by source): (flat sources, bounds by target)."""
    order = np.lexsort((sources, ranks, targets))
    bounds = np.searchsorted(targets[order], np.arange(items + 1))
    place = np.arange(len(order)) - np.repeat(bounds[:-1], np.diff(bounds))
    kept = order[place < MAX_SOURCES]
    # Within a target the sources go by id, so that sums have one order.
    kept = kept[np.lexsort((sources[kept], targets[kept]))]
    return sources[kept], np.searchsorted(targets[kept], np.arange(items + 1))


def _solve(
    evidence: sparse.csr_array, target: sparse.csr_array, sources: Ints, bounds: Ints
) -> tuple[Ints, Ints, Floats]:
    """Solve (A[N, N] + lambda I) b = H[N, j] for each target j."""
    by_item = sparse.csr_array(evidence.T)
    by_item.sort_indices()
    pick = _picker(sparse.csr_array(by_item @ evidence))
    cross = sparse.csr_array((by_item @ target).T)  # row j: H[:, j]
    right = np.zeros(evidence.shape[1])
    targets = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    weights = np.zeros(len(sources))
    for item in range(len(bounds) - 1):
        chosen = sources[bounds[item] : bounds[item + 1]]
        if len(chosen):
            row = slice(cross.indptr[item], cross.indptr[item + 1])
            right[cross.indices[row]] = cross.data[row]
            weights[bounds[item] : bounds[item + 1]] = _ridge(pick(chosen), right[chosen])
            right[cross.indices[row]] = 0.0
    return sources, targets, weights


def _picker(gram: sparse.csr_array) -> Callable[[Ints], Floats]:
    """What gives the rows and columns of some ascending items as a table of its own, of which the lower half counts."""
    if gram.shape[0] <= DENSE_ITEMS_MAX:
        table = gram.toarray()
        return lambda chosen: table[chosen[:, None], chosen]
    # The solver reads the lower half of a system alone.
    lower = sparse.csr_array(sparse.tril(gram))
    lookup = np.full(gram.shape[0], -1, np.int64)

    def pick(chosen: Ints) -> Floats:
        lookup[chosen] = np.arange(len(chosen))
        dense = _dense_rows(lower, chosen, lookup)
        lookup[chosen] = -1
        return dense

    return pick


def _dense_rows(matrix: sparse.csr_array, rows: Ints, lookup: Ints) -> Floats:
    """The given rows, cut to the same columns, which *lookup* numbers."""
    starts, ends = matrix.indptr[rows].astype(np.int64), matrix.indptr[rows + 1].astype(np.int64)
    lengths = ends - starts
    flat = np.arange(lengths.sum()) + np.repeat(starts - np.r_[0, np.cumsum(lengths)[:-1]], lengths)
    columns = lookup[matrix.indices[flat]]
    kept = columns >= 0
    dense = np.zeros((len(rows), len(rows)))
    dense[np.repeat(np.arange(len(rows)), lengths)[kept], columns[kept]] = matrix.data[flat[kept]]
    return dense


def _ridge(system: Floats, right: Floats) -> Floats:
    system[np.diag_indices_from(system)] += RIDGE
    _, solution, info = lapack.dposv(system, right, lower=1)
    if info:
        raise ArithmeticError(f"a ridge system of {len(right)} sources is not positive definite ({info})")
    return np.asarray(solution, np.float64)
