"""The whole decision: any order, batching and repetition of the same events gives the same signals."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unit.aggregate.records import HOUR_US, NOON_US, RULES, record
from whence.aggregate.batch import Batch, Counts, Ints
from whence.aggregate.dedupe import BackfillIndex, Mask, Window
from whence.aggregate.pipeline import Position, cut_by_hour, process
from whence.aggregate.poison import PoisonGuard
from whence.domain.decay import log_add, log_contribution
from whence.domain.identity import event_hash
from whence.eventlog.port import Record
from whence.kit.clock import from_us

Key = tuple[str, str, int]
Signals = dict[Key, tuple[int, float, int]]


class Memory:
    """A partition's memory as the consumer keeps it, all backfill ids loaded."""

    def __init__(self) -> None:
        self.window = Window()
        self.backfill = BackfillIndex(np.empty(0, dtype=np.int64))

    def repeats(self, hashes: Ints, backfill: Mask, hour: int) -> Mask:
        return self.window.contains(hashes, hour) | (backfill & self.backfill.contains(hashes))

    def remember(self, batch: Batch) -> None:
        self.window.add(np.sort(np.concatenate([batch.live_hashes, batch.backfill_hashes])), batch.append_hour)
        self.backfill.add(batch.backfill_hashes)


def run(batches: Sequence[Sequence[Record]]) -> tuple[list[Batch], Signals]:
    """Apply batches as the consumer does, into a dictionary instead of a table."""
    memory, guard, position = Memory(), PoisonGuard(), Position(0, 0, 0)
    done: list[Batch] = []
    signals: Signals = {}
    for records in batches:
        for part in cut_by_hour(records, position.last_appended_us):
            batch = process(part, position, memory, guard, RULES)
            memory.remember(batch)
            position = Position(0, batch.end_offset, batch.last_appended_us)
            done.append(batch)
            _add(signals, batch)
    return done, signals


def _add(signals: Signals, batch: Batch) -> None:
    deltas = batch.signals
    columns = (deltas.user, deltas.item, deltas.type_code, deltas.count, deltas.log_sum, deltas.last_us)
    for user, item, code, count, log_sum, last_us in zip(*(column.tolist() for column in columns), strict=True):
        key = (batch.users[user], batch.items[item], code)
        held = signals.get(key, (0, -math.inf, 0))
        signals[key] = (held[0] + count, log_add(held[1], log_sum), max(held[2], last_us))


def one_batch(*records: Record) -> Batch:
    (batch,) = run([records])[0]
    return batch


def test_a_batch_says_everything_that_will_be_written() -> None:
    batch = one_batch(
        record(3, event_id="1"),
        record(4, event_id="2", item_id="b", event_type="purchase", occurred_at="2024-03-04T11:00:00Z"),
        record(5, event_id="1", item_id="c"),
        record(7, event_id="3", event_type="wink"),
        record(8, event_id="4", event_type="dismiss", item_id="d"),
        record(9, event_id="5", backfill="h", item_id="a"),
    )
    assert (batch.first_offset, batch.end_offset) == (0, 10)
    assert batch.counts == Counts(applied=4, duplicate=1, dead=1, absent=4)
    assert (batch.append_hour, batch.last_appended_us) == (NOON_US // HOUR_US, NOON_US)
    assert batch.last_event_us == NOON_US
    assert (batch.users, batch.items) == (["u1"], ["a", "b", "d"])
    assert batch.signals.count.tolist() == [2, 1, 1]
    assert batch.signals.type_code.tolist() == [1, 2, 3]
    assert batch.interest.item.tolist() == [0, 1, 0], "a dismiss is no interest"
    assert sorted(batch.trend.item.tolist()) == [0, 1]
    assert batch.live_hashes.tolist() == sorted(event_hash("u1", name) for name in "124")
    assert batch.backfill_hashes.tolist() == [event_hash("u1", "5")]
    assert [letter.offset for letter in batch.dead] == [7]
    assert batch.observed.applied.tolist() == [True, True, False, True, True]
    assert batch.observed.accepted_us.tolist() == [NOON_US, NOON_US, NOON_US, NOON_US, -1]
    assert not batch.poisoned


def test_a_batch_without_anything_good_still_moves_the_position() -> None:
    batch = one_batch(record(0, event_type="wink"))
    assert (batch.end_offset, batch.counts, batch.last_event_us) == (1, Counts(dead=1), None)


def test_poison_cuts_the_batch_at_the_record_that_passes_the_limit() -> None:
    batch = one_batch(*(record(n, event_type="wink") for n in range(250)), record(250))
    assert (batch.end_offset, batch.counts) == (200, Counts(dead=200))
    assert "200 dead letters in a row" in batch.poisoned


def test_batches_are_cut_where_the_running_hour_changes() -> None:
    before = NOON_US - 1
    records = [record(0, before), record(1, NOON_US), record(2, before), record(3, NOON_US + HOUR_US)]
    assert [[r.offset for r in part] for part in cut_by_hour(records, 0)] == [[0], [1, 2], [3]]
    assert [[r.offset for r in part] for part in cut_by_hour(records, NOON_US)] == [[0, 1, 2], [3]]


@pytest.mark.parametrize(("later_hours", "counted"), [(24, 1), (25, 2)])
def test_a_repeat_is_dropped_for_24_hours_of_append_time(later_hours: int, counted: int) -> None:
    late = NOON_US + later_hours * HOUR_US
    _, signals = run([[record(0)], [record(1, late)]])
    assert signals["u1", "a", 1][0] == counted


def test_a_duplicate_does_not_renew_the_window() -> None:
    _, signals = run([[record(0)], [record(1, NOON_US + 20 * HOUR_US)], [record(2, NOON_US + 30 * HOUR_US)]])
    assert signals["u1", "a", 1][0] == 2


def test_append_time_is_the_running_maximum() -> None:
    """A clock that ran 30 hours ahead for one record ages everything before it."""
    ahead = record(1, NOON_US + 30 * HOUR_US, event_id="2")
    _, signals = run([[record(0), ahead, record(2, NOON_US)]])
    assert signals["u1", "a", 1][0] == 3


def test_a_backfill_is_known_for_ever_to_backfills_and_for_a_day_to_live_events() -> None:
    years = 3 * 8_760 * HOUR_US
    backfill = {"backfill": "h"}
    _, signals = run([[record(0, **backfill)], [record(1, years + NOON_US, **backfill)]])  # type: ignore[arg-type]
    assert signals["u1", "a", 1][0] == 1
    _, signals = run([[record(0, **backfill)], [record(1)], [record(2, NOON_US + 25 * HOUR_US)]])  # type: ignore[arg-type]
    assert signals["u1", "a", 1][0] == 2
    _, signals = run([[record(0)], [record(1, **backfill)]])  # type: ignore[arg-type]
    assert signals["u1", "a", 1][0] == 1, "the live window counts for a backfill too"


def test_a_refused_backfill_copy_does_not_hide_a_live_one_in_the_same_batch() -> None:
    """The backfill copy is a repeat of an old backfill; the live copy is older than the live window: it counts."""
    later = NOON_US + 25 * HOUR_US
    first = record(0, backfill="h")
    batches, signals = run([[first], [record(1, later, backfill="h"), record(2, later)]])
    assert batches[1].counts == Counts(applied=1, duplicate=1)
    assert signals["u1", "a", 1][0] == 2


events = st.lists(
    st.tuples(
        st.sampled_from(["u1", "u2", "ü3"]),
        st.sampled_from("abcd"),
        st.sampled_from(["view", "purchase", "dismiss"]),
        st.integers(0, 3_000),
    ),
    min_size=1,
    max_size=30,
)


@given(events, st.data())
def test_any_order_batching_and_repetition_gives_the_same_signals(
    given_events: list[tuple[str, str, str, int]], data: st.DataObject
) -> None:
    oracle: Signals = {}
    sent = []
    for number, (user, item, kind, minutes) in enumerate(given_events):
        time_us = NOON_US - minutes * 60_000_000
        key = (user, item, RULES.type_codes[kind])
        count, log_sum, last_us = oracle.get(key, (0, -math.inf, 0))
        oracle[key] = (count + 1, log_add(log_sum, log_contribution(time_us / 1e6)), max(last_us, time_us))
        at = from_us(time_us).isoformat()
        sent.append({"user_id": user, "item_id": item, "event_type": kind, "event_id": str(number), "occurred_at": at})
    repeated = data.draw(st.lists(st.sampled_from(sent), max_size=30))
    shuffled = data.draw(st.permutations(sent + repeated))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(shuffled)), max_size=6)) | {0, len(shuffled)})
    records = [record(offset, **more) for offset, more in enumerate(shuffled)]  # type: ignore[arg-type]
    batches, signals = run([records[start:end] for start, end in pairwise(cuts)])
    assert {key: (count, last_us) for key, (count, _, last_us) in signals.items()} == {
        key: (count, last_us) for key, (count, _, last_us) in oracle.items()
    }
    for key, (_, log_sum, _) in oracle.items():
        assert signals[key][1] == pytest.approx(log_sum, abs=1e-9)
    assert sum(batch.counts.applied for batch in batches) == len(sent)
    assert sum(batch.counts.duplicate for batch in batches) == len(repeated)
