"""How many sources' counts are in memory at a time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from whence.aggregate.pair_fold import PART_BYTES_MAX, SOURCES_AT_ONCE, parts_of

sizes = st.lists(st.sampled_from([0, 100, 5_000, PART_BYTES_MAX // 3, 5 * PART_BYTES_MAX]), max_size=60)


@given(sizes)
def test_every_source_is_in_one_part_and_parts_are_bounded(sizes: list[int]) -> None:
    sources = np.arange(10, 10 + len(sizes))
    parts = [part.tolist() for part in parts_of(sources, np.array(sizes, np.int64))]
    assert [source for part in parts for source in part] == sources.tolist()
    for part in parts:
        assert part
        assert sum(sizes[source - 10] for source in part[:-1]) <= PART_BYTES_MAX


def test_small_sources_are_bounded_in_number() -> None:
    parts = list(parts_of(np.arange(5_000), np.zeros(5_000, np.int64)))
    assert max(len(part) for part in parts) <= SOURCES_AT_ONCE + 10
    assert len(parts) == 3
