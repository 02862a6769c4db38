"""Thousands of simulated lives of consumer and compactor: whatever fails at whichever I/O, every event counts once.

One seed takes some 25 ms. `make simulate SEEDS=20000` runs more; the message of a failed run names its seed, and
`make simulate FIRST=SEED SEEDS=1` runs that one again, step by step the same.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pytest

from simulation import run
from simulation.database import Database
from simulation.log import SimulatedConsumer
from simulation.plants import moved_where_below, two_leaders, unlocked_overwrite
from simulation.run import COMPACTING, USUAL, Plan, first_failure, silence, simulate
from simulation.statements import swap_position, take_over
from whence.aggregate import runs, takeover
from whence.aggregate.batch import Batch
from whence.aggregate.consumer import Aggregator
from whence.aggregate.dedupe import Window
from whence.aggregate.takeover import OwnedPartition, PartitionMemory
from whence.aggregate.write import Writer
from whence.domain.errors import DependencyUnavailable
from whence.eventlog.port import Watermarks

FIRST = int(os.environ.get("WHENCE_SIMULATION_FIRST", "0"))
SEEDS = int(os.environ.get("WHENCE_SIMULATION_SEEDS", "2000"))
BLOCK = 200
"""Seeds of one test."""

PLANT_SEEDS = range(2_000)
"""A planted bug is found among these; most within a few dozen."""

Patch = Callable[[pytest.MonkeyPatch], None]


def is_found(plan: Plan) -> bool:
    """Whether some seed ends with a wrong answer, and not with a mistake in the plant itself."""
    failure = first_failure(plan, PLANT_SEEDS)
    return failure is not None and isinstance(failure.__cause__, AssertionError)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with silence():
        yield


def blocks(seeds: int) -> list[range]:
    """The seeds, in blocks."""
    return [range(start, min(start + BLOCK, FIRST + seeds)) for start in range(FIRST, FIRST + seeds, BLOCK)]


@pytest.mark.parametrize("seeds", blocks(SEEDS), ids=lambda seeds: f"seeds-{seeds.start}-{seeds.stop - 1}")
def test_aggregators_count_everything_once_whatever_fails(seeds: range) -> None:
    for seed in seeds:
        simulate(seed)


@pytest.mark.parametrize("seeds", blocks(max(SEEDS // 5, 1)), ids=lambda seeds: f"seeds-{seeds.start}-{seeds.stop - 1}")
def test_compactors_fold_everything_once_whatever_fails(seeds: range) -> None:
    for seed in seeds:
        simulate(seed, COMPACTING)


def compares(*columns: str) -> Callable[[Database], None]:
    """The compare-and-swap looks at these columns only."""
    return lambda database: database.replace("write.swap_position", partial(swap_position, compared=columns))


def keeps_epoch(database: Database) -> None:
    """Taking over leaves the epoch as it is."""
    database.replace("takeover.take_over", partial(take_over, bump=0))


def keeps_epoch_and_compares_it_alone(database: Database) -> None:
    keeps_epoch(database)
    compares("epoch")(database)


def at_once(name: str) -> Callable[[Database], None]:
    """A statement takes effect outside the transaction."""

    def plant(database: Database) -> None:
        database.at_once = frozenset([name])

    return plant


DATABASE_BUGS = {
    "the position is not compared": compares(),
    "the position is overwritten without a lock": lambda db: db.replace("write.swap_position", unlocked_overwrite),
    "the position moves where it is below the end": lambda db: db.replace("write.swap_position", moved_where_below),
    "the epoch alone is compared, and not bumped": keeps_epoch_and_compares_it_alone,
    "the position is committed before the data": at_once("write.swap_position"),
    "the counts are committed before the position": at_once("write.add_signals"),
    "the recent items are committed before the position": at_once("write.put_recents"),
}


@pytest.mark.parametrize("bug", DATABASE_BUGS)
def test_a_bug_in_the_transaction_is_found(bug: str) -> None:
    assert is_found(Plan(plant=DATABASE_BUGS[bug]))


COMPACTOR_BUGS = {
    "two lead": lambda db: db.replace("compactor.lead", two_leaders),
    "the fold's position is committed before the buckets": at_once("compactor.move_positions"),
    "the buckets are committed before the fold's position": at_once("compactor.add_buckets"),
    "the pairs are committed before the fold's position": at_once("pair_fold.put_counts"),
}


@pytest.mark.parametrize("bug", COMPACTOR_BUGS)
def test_a_bug_in_the_fold_is_found(bug: str) -> None:
    base = COMPACTING
    plan = Plan(base.ticks, base.appends, base.aggregators, base.compactors, base.hours_jump, COMPACTOR_BUGS[bug])
    assert is_found(plan)


def empty_window(*_: object) -> Window:
    return Window()


def advance_first(self: Aggregator, work: Sequence[tuple[OwnedPartition, Batch]]) -> None:
    """Believe in the commit before it happened, and go on where it fails."""
    for owned, batch in work:
        owned.advance(batch)
    try:
        self._ready_writer().write_all([(batch, owned.epoch) for owned, batch in work])
    except DependencyUnavailable:
        self.close()


LOOP_BUGS: dict[str, Patch] = {
    "the window is not loaded": lambda patch: patch.setattr(takeover, "_load_window", empty_window),
    "the backfill index is not loaded": lambda patch: patch.setattr(
        PartitionMemory, "_load_backfill", lambda _: np.empty(0, np.int64)
    ),
    "applied ids are not remembered": lambda patch: patch.setattr(PartitionMemory, "remember", lambda *_: None),
    "recent items are remembered when ownership changes": lambda patch: patch.setattr(Writer, "forget", lambda _: None),
    "the order of offsets is not checked": lambda patch: patch.setattr(runs, "_check_order", lambda *_: None),
}


@pytest.mark.parametrize("bug", LOOP_BUGS)
def test_a_bug_in_the_loop_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    LOOP_BUGS[bug](monkeypatch)
    assert is_found(USUAL)


def test_a_position_that_advances_before_the_commit_is_found_once_the_swap_does_not_compare_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the compare-and-swap it is harmless: see the next test."""
    monkeypatch.setattr(Aggregator, "_write", advance_first)
    assert is_found(Plan(plant=compares("epoch")))


HARMLESS = {
    "the position alone is compared": compares("next_offset"),
    "the epoch alone is compared": compares("epoch"),
    "the epoch is not bumped": keeps_epoch,
}


@pytest.mark.parametrize("half", HARMLESS)
def test_either_half_of_the_fence_keeps_the_counts_right_alone(half: str) -> None:
    """As in the exhaustive model (tests/unit/models): the other half is a second line of defence."""
    assert first_failure(Plan(plant=HARMLESS[half]), range(100)) is None


def test_the_same_seed_runs_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure can be replayed: two runs of a seed fail with the same words."""
    monkeypatch.setattr(takeover, "_load_window", empty_window)
    failures = [first_failure(USUAL, PLANT_SEEDS) for _ in range(2)]
    assert str(failures[0]) == str(failures[1]) != "None"


class StaleConsumer(SimulatedConsumer):
    """Every second look at the watermarks shows what the look before it saw."""

    seen: Watermarks | None = None

    def watermarks(self, partition: int) -> Watermarks:
        before, self.seen = self.seen, None
        if before is None:
            self.seen = super().watermarks(partition)
        return before or self.seen or Watermarks(0, 0)


def test_an_end_of_the_log_that_is_out_of_date_halts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SimulatedConsumer", StaleConsumer)
    for seed in range(BLOCK):
        simulate(seed, USUAL)
