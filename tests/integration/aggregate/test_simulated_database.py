"""The simulation's database behaves as PostgreSQL does: the same tests on both, and the same rows in both."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from dataclasses import replace
from datetime import datetime

import psycopg
import pytest

from integration.aggregate.places import Place, Postgres, Simulated
from simulation.catalog import EVENT_TYPES
from simulation.checks import check
from simulation.log import Coordinator, SimulatedConsumer, SimulatedLeases, SimulatedLog
from simulation.producer import Producer
from simulation.run import PARTITIONS, silence
from simulation.tables import Tables
from simulation.world import START_US, World
from whence.aggregate.batch import Batch
from whence.aggregate.compactor import Compactor
from whence.aggregate.consumer import Aggregator
from whence.aggregate.decode import Rules
from whence.aggregate.metrics import AggregateMetrics
from whence.aggregate.pipeline import process
from whence.aggregate.takeover import OwnedPartition, take_over
from whence.aggregate.write import Writer
from whence.domain.errors import LostOwnership, OutcomeUnknown
from whence.eventlog.port import NewRecord, Record
from whence.kit.clock import Times, from_us

RULES = Rules(PARTITIONS, EVENT_TYPES)
PATIENCE_SECONDS = 60


class NoonClock:
    """A clock that stands at the start of the simulated log."""

    def now(self) -> datetime:
        return from_us(START_US)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with silence():
        yield


@pytest.fixture(params=["simulated", "postgres"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    made: Place = Simulated()
    if request.param == "postgres":
        made = Postgres(request.getfixturevalue("installation"))
    with closing(made):
        yield made


def filled_log(seed: int, *, hours_jump: bool = True) -> SimulatedLog:
    """A log with some records of every kind."""
    world = World(seed)
    world.calm = True
    log = SimulatedLog(world, PARTITIONS)
    producer = Producer(world, log, hours_jump=hours_jump)
    for _ in range(12):
        producer.append()
    return log


def apply_all(log: SimulatedLog, place: Place, seed: int = 0) -> None:
    """The real loop until everything is applied; the seed cuts the batches."""
    world = World(seed)
    world.calm = True
    leases = SimulatedLeases(Coordinator(world, log.partitions), "one")
    metrics = AggregateMetrics(EVENT_TYPES, log.partitions)
    consumer = SimulatedConsumer(log, world)
    times = Times(world.monotonic, lambda: world.now_us)
    with closing(
        Aggregator(consumer, leases, place.connect, Rules(log.partitions, EVENT_TYPES), metrics, times=times)
    ) as aggregator:
        for step in aggregator.steps():
            assert not aggregator.halted
            positions = place.tables().positions if step == "report" else {}
            if positions and all(row.next_offset >= log.end(number) for number, row in positions.items()):
                return


def next_batch(log: SimulatedLog, owned: OwnedPartition) -> Batch:
    """What follows the position, within one append hour."""
    start = owned.position.next_offset
    record: Record = log.records[owned.position.partition][start]
    return process([record], owned.position, owned.memory, owned.guard, RULES)


def taken(connection: psycopg.Connection, log: SimulatedLog, partition: int = 0) -> OwnedPartition:
    """The partition, as soon as nobody holds its row."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if (owned := take_over(connection, SimulatedConsumer(log, World(0)), partition)) is not None:
            return owned
    raise AssertionError("the partition's row stays locked")


@pytest.mark.parametrize("seed", range(5))
def test_a_log_is_applied_as_it_should_be(place: Place, seed: int) -> None:
    log = filled_log(seed)
    apply_all(log, place)
    check(log, place.tables(), folded=False)


def test_a_touch_of_an_item_that_recent_items_no_longer_hold_makes_no_pairs_again(place: Place) -> None:
    world = World(0)
    world.calm = True
    log = SimulatedLog(world, 1)
    for number in [*range(80), *range(10), 80]:
        world.now_us += 120_000_000
        event = {"event_type": "view", "user_id": "u", "item_id": f"item-{number}"}
        log.append([NewRecord(0, b"u", json.dumps(event).encode())])
    apply_all(log, place)
    check(log, place.tables(), folded=False)


@pytest.mark.parametrize("changed", ["epoch", "offset", "log"])
def test_a_batch_of_another_owner_is_refused_whole(place: Place, changed: str) -> None:
    log = filled_log(1)
    connection = place.connect()
    owned = taken(connection, log)
    batch = next_batch(log, owned)
    writer = Writer(connection, "other" if changed == "log" else log.log_id)
    if changed == "offset":
        batch = replace(batch, first_offset=1)
    if changed == "epoch":
        taken(place.connect(), log)
    before = deepcopy(place.tables())
    with pytest.raises(LostOwnership):
        writer.write(batch, owned.epoch)
    after = place.tables()
    assert (after.positions, after.segments, after.signals) == (before.positions, before.segments, before.signals)


def test_a_batch_counts_once(place: Place) -> None:
    log = filled_log(2)
    connection = place.connect()
    owned = taken(connection, log)
    batch, writer = next_batch(log, owned), Writer(connection, log.log_id)
    writer.write(batch, owned.epoch)
    before = deepcopy(place.tables())
    with pytest.raises(LostOwnership):
        writer.write(batch, owned.epoch)
    assert place.tables() == before
    assert before.positions[0].next_offset == 1


def test_every_take_over_bumps_the_epoch(place: Place) -> None:
    log = filled_log(3)
    assert [taken(place.connect(), log).epoch for _ in range(3)] == [1, 2, 3]
    assert place.tables().positions[0].epoch == 3


def test_nothing_is_seen_before_the_commit_and_nothing_stays_of_a_lost_connection(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = filled_log(4)
    connection = place.connect()
    owned = taken(connection, log)
    before = deepcopy(place.tables())
    seen: list[Tables] = []

    def lose(_: Writer, batch: Batch) -> None:
        assert batch.end_offset == 1
        seen.append(deepcopy(place.tables()))
        connection.close()
        connection.execute("SELECT 1")

    monkeypatch.setattr(Writer, "_add_dead_letters", lose)
    with pytest.raises(OutcomeUnknown):
        Writer(connection, log.log_id).write(next_batch(log, owned), owned.epoch)
    assert seen[0].positions == before.positions
    other = taken(place.connect(), log)
    assert (other.position.next_offset, other.epoch) == (0, owned.epoch + 1)
    assert place.tables().segments == {}
    assert place.tables().signals == {}


def test_a_row_that_is_being_written_delays_a_take_over_and_a_swap(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = filled_log(5)
    connection, other = place.connect(), place.connect()
    owned = taken(connection, log)
    batch, twin = next_batch(log, owned), Writer(other, log.log_id)
    commit = Writer._add_dead_letters

    def look(writer: Writer, batch: Batch) -> None:
        monkeypatch.setattr(Writer, "_add_dead_letters", commit)
        assert take_over(other, SimulatedConsumer(log, World(0)), 0) is None
        with pytest.raises(OutcomeUnknown, match="statement timeout"):
            twin.write(batch, owned.epoch)
        commit(writer, batch)

    monkeypatch.setattr(Writer, "_add_dead_letters", look)
    Writer(connection, log.log_id).write(batch, owned.epoch)
    assert taken(other, log).position.next_offset == 1


def test_an_error_rolls_back_and_frees_the_row(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    log = filled_log(6)
    connection = place.connect()
    owned = taken(connection, log)

    def fail(_writer: Writer, _batch: Batch) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Writer, "_add_dead_letters", fail)
    with pytest.raises(ZeroDivisionError):
        Writer(connection, log.log_id).write(next_batch(log, owned), owned.epoch)
    assert take_over(place.connect(), SimulatedConsumer(log, World(0)), 0) is not None
    assert place.tables().segments == {}


def compactor(place: Place) -> Compactor:
    return Compactor(place.connect, AggregateMetrics(EVENT_TYPES, PARTITIONS), NoonClock())


def test_segments_are_folded_once_by_the_only_leader(place: Place) -> None:
    log = filled_log(7, hours_jump=False)
    apply_all(log, place)
    with closing(compactor(place)) as first, closing(compactor(place)) as second:
        first.turn()
        folded = deepcopy(place.tables())
        second.turn()
        first.turn()
        assert place.tables().buckets == folded.buckets
        check(log, place.tables(), folded=True)
        first.close()
        Producer(World(8), log, hours_jump=False).append()
        apply_all(log, place)
        until = time.monotonic() + PATIENCE_SECONDS
        while place.tables().folded == folded.folded and time.monotonic() < until:
            second.turn()
    check(log, place.tables(), folded=True)


def test_segments_go_when_they_are_old_and_folded(place: Place) -> None:
    log = filled_log(9, hours_jump=False)
    apply_all(log, place)
    log.ahead_us += 26 * 3_600_000_000
    Producer(World(10), log, hours_jump=False).append()
    before = set(place.tables().segments)
    apply_all(log, place)
    with closing(compactor(place)) as one:
        one.turn()
    backfills = {key for key, segment in place.tables().segments.items() if segment.backfill_hashes}
    gone = before - set(place.tables().segments)
    moved = {partition for partition, first in set(place.tables().segments) - before}
    assert gone == {key for key in before - backfills if key[0] in moved}
    assert gone


@pytest.mark.parametrize("seed", range(100, 104))
def test_both_hold_the_same_rows(seed: int, request: pytest.FixtureRequest) -> None:
    """Whatever the log, and however its batches are cut."""
    log = filled_log(seed)
    simulated, postgres = Simulated(), Postgres(request.getfixturevalue("installation"))
    assert postgres.types == EVENT_TYPES
    with closing(postgres):
        for place in (simulated, postgres):
            apply_all(log, place, seed)
            with closing(compactor(place)) as one:
                one.turn()
        assert rounded(simulated.tables()) == rounded(postgres.tables())


def rounded(tables: Tables) -> Tables:
    """The last digits of exp() and ln() may differ."""
    signals = {key: row._replace(log_sum=round(row.log_sum, 9)) for key, row in tables.signals.items()}
    return replace(tables, signals=signals)
