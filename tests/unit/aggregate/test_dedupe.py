"""The window recognises repeats for 24 append hours, whatever was added in which order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.aggregate.dedupe import RUNS_MAX, BackfillIndex, Window

HOUR = 474_876


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@pytest.mark.parametrize(
    ("later", "known"), [(0, True), (1, True), (24, True), (25, False), (256, False), (280, False)]
)
def test_a_repeat_is_known_for_24_hours(later: int, known: bool) -> None:
    window = Window()
    window.add(ids(-5, 7), HOUR)
    assert window.contains(ids(7, 8, -5), HOUR + later).tolist() == [known, False, known]


def test_hours_that_are_stored_modulo_256_never_come_back_to_life() -> None:
    window = Window()
    window.add(ids(1), HOUR)
    for later in range(1, 600):
        window.add(ids(1_000 + later), HOUR + later)
        assert window.contains(ids(1), HOUR + later).tolist() == [later <= 24]
    assert len(window) == 25


def test_a_jump_of_days_empties_the_window() -> None:
    window = Window()
    window.add(ids(1, 2), HOUR)
    window.add(ids(), HOUR + 256)
    assert len(window) == 0


def test_a_loaded_window_knows_what_its_segments_say() -> None:
    window = Window()
    window.load([(HOUR - 25, ids(1)), (HOUR - 24, ids(2)), (HOUR, ids(3)), (HOUR, ids())], HOUR)
    assert window.contains(ids(1, 2, 3), HOUR).tolist() == [False, True, True]
    assert window.contains(ids(1, 2, 3), HOUR + 1).tolist() == [False, False, True]
    assert len(window) == 2


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sets(st.integers(-(2**63), 2**63 - 1), max_size=40)), min_size=1, max_size=30
    )
)
def test_any_history_is_answered_as_a_dictionary_would(history: list[tuple[int, set[int]]]) -> None:
    window, oracle, hour = Window(), dict[int, int](), HOUR
    for step, values in history:
        hour += step
        asked = ids(*sorted(values | set(oracle)))
        expected = [value in oracle and hour - oracle[value] <= 24 for value in asked.tolist()]
        assert window.contains(asked, hour).tolist() == expected
        fresh = ids(*sorted(value for value in values if not (value in oracle and hour - oracle[value] <= 24)))
        window.add(fresh, hour)
        oracle |= dict.fromkeys(fresh.tolist(), hour)
        assert len(window._runs) <= RUNS_MAX


def test_the_backfill_index_knows_every_age() -> None:
    index = BackfillIndex(ids(9, -3))
    index.add(ids(4, 12))
    assert index.contains(ids(-3, 4, 5, 9, 12, 13)).tolist() == [True, True, False, True, True, False]
    assert len(index) == 4
    assert BackfillIndex(ids()).contains(ids(1)).tolist() == [False]
