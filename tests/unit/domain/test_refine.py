"""The refined neighbours against the formula written out on dense matrices."""

import numpy as np
import pytest

from whence.domain import refine
from whence.domain.refine import Floats, Ints, fit


def log_of(seed: int, users: int, items: int, touches: int) -> tuple[Ints, Ints, Floats]:
    """Random touches, each (user, item) once."""
    random = np.random.default_rng(seed)
    cells = random.choice(users * items, size=touches, replace=False)
    return cells // items + 1_000, cells % items + 7, random.uniform(0, 200, touches)


def by_the_formula(users: Ints, items: Ints, ages: Floats) -> dict[tuple[int, int], float]:
    """Steps 1 to 4 of the method with dense matrices and plain loops."""
    ids = sorted(set(items.tolist()))
    people = sorted(set(users.tolist()))
    x = np.zeros((len(people), len(ids)))
    y = np.zeros_like(x)
    for user, item, age in zip(users.tolist(), items.tolist(), ages.tolist(), strict=True):
        cell = people.index(user), ids.index(item)
        x[cell], y[cell] = 2 ** (-age / 120), 2 ** (-age / 30)
    gram, cross = x.T @ x, x.T @ y
    np.fill_diagonal(cross, 0)
    strength = cross / (y**2).sum(axis=0) ** 0.25
    kept = {
        i: sorted((j for j in range(len(ids)) if strength[i, j] > 0), key=lambda j: (-strength[i, j], j))[:50]
        for i in range(len(ids))
    }
    weights = {}
    for j in range(len(ids)):
        ranked = sorted((targets.index(j), i) for i, targets in kept.items() if j in targets)
        sources = sorted(i for _, i in ranked[:150])
        system = gram[np.ix_(sources, sources)] + 100 * np.eye(len(sources))
        for i, weight in zip(sources, np.linalg.solve(system, cross[sources, j]), strict=True):
            weights[ids[i], ids[j]] = float(weight)
    return weights


@pytest.mark.parametrize(("seed", "users", "items", "touches"), [(1, 40, 12, 150), (2, 300, 220, 9_000)])
def test_the_fit_follows_the_formula(seed: int, users: int, items: int, touches: int) -> None:
    log = log_of(seed, users, items, touches)

    rows = fit(*log)

    found = dict(
        zip(zip(rows.sources.tolist(), rows.targets.tolist(), strict=True), rows.weights.tolist(), strict=True)
    )
    expected = by_the_formula(*log)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_large_catalogue_is_fitted_to_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(4, 200, 90, 4_000)
    spread_out = fit(*log)
    monkeypatch.setattr(refine, "DENSE_ITEMS_MAX", 10)

    assert fit(*log).weights.tobytes() == spread_out.weights.tobytes()


def test_two_fits_of_the_same_touches_in_any_order_are_byte_equal() -> None:
    users, items, ages = log_of(3, 60, 40, 700)
    shuffled = np.random.default_rng(9).permutation(len(users))

    one, other = fit(users, items, ages), fit(users[shuffled], items[shuffled], ages[shuffled])

    assert one.weights.tobytes() == other.weights.tobytes()
    assert one.sources.tobytes() + one.targets.tobytes() == other.sources.tobytes() + other.targets.tobytes()


def test_a_user_counts_with_the_newest_items_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refine, "MAX_USER_ITEMS", 2)
    users, items, ages = np.array([1, 1, 1]), np.array([10, 11, 12]), np.array([0.0, 5.0, 1.0])

    rows = fit(users, items, ages)

    assert set(rows.sources.tolist()) == {10, 12}


def test_nothing_touched_gives_nothing() -> None:
    empty = np.zeros(0, np.int64)

    assert len(fit(empty, empty, np.zeros(0)).weights) == 0
