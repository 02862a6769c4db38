"""What every event log must do: one suite for each adapter and for the fake.

A test module subclasses `EventLogConformance` and gives a fixture `log`, a `LogUnderTest` that is new and empty.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Protocol

import pytest

from whence.domain.errors import DependencyUnavailable, LogDamaged
from whence.eventlog.port import Appender, Consumer, NewRecord, Record, Scanner

PARTITIONS = 4
PATIENCE_SECONDS = 90.0
"""For what must happen soon, on a machine of any load."""


class LogUnderTest(Protocol):
    """A log with `PARTITIONS` partitions, and what tests do to it from outside."""

    async def appender(self) -> Appender:
        """A new writing side."""

    def consumer(self) -> Consumer:
        """A new reading side."""

    def scanner(self) -> Scanner:
        """A new scanner."""

    def trim(self, partition: int, low: int) -> None:
        """Remove the records below an offset, as retention does."""

    def replace(self) -> None:
        """Delete the log and make it anew, empty and with another id."""


def record(partition: int, value: object, key: bytes = b"u1") -> NewRecord:
    return NewRecord(partition, key, str(value).encode())


def append(log: LogUnderTest, records: Sequence[NewRecord]) -> list[int]:
    async def run() -> list[int]:
        appender = await log.appender()
        try:
            return await appender.append(records)
        finally:
            await appender.close()

    return asyncio.run(run())


def fill(log: LogUnderTest, partition: int, count: int) -> None:
    """Append records with the values 0, 1, 2, … to a partition."""

    async def run() -> None:
        appender = await log.appender()
        try:
            for start in range(0, count, 1_000):
                end = min(count, start + 1_000)
                await appender.append([record(partition, number) for number in range(start, end)])
        finally:
            await appender.close()

    asyncio.run(run())


@contextmanager
def reading(log: LogUnderTest, positions: dict[int, int]) -> Iterator[Consumer]:
    with closing(log.consumer()) as consumer:
        consumer.assign(positions)
        yield consumer


def read_until(consumer: Consumer, count: int, max_records: int = 1_000) -> list[Record]:
    """Poll until *count* records have come."""
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(records) < count:
        assert time.monotonic() < deadline, f"only {len(records)} of {count} records came"
        records += consumer.poll(max_records, 1.0)
    return records


def meets_damage(consumer: Consumer, sound: Sequence[int] = ()) -> LogDamaged:
    """Poll until the log is called damaged; before that records come of the *sound* partitions only."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            assert {record.partition for record in consumer.poll(10, 1.0)} <= set(sound)
        except LogDamaged as damage:
            return damage
    raise AssertionError("no damage was found")


def places(records: Sequence[Record]) -> list[tuple[int, int, bytes]]:
    return [(record.partition, record.offset, record.value) for record in records]


class EventLogConformance:
    """The suite.

    Attributes:
        backlog: Records that make a partition's backlog long: several times what one fetch brings.
    """

    backlog = 3_000

    def test_all_sides_name_the_same_log(self, log: LogUnderTest) -> None:
        async def names() -> tuple[str, int]:
            appender = await log.appender()
            await appender.close()
            return appender.log_id, appender.partitions

        log_id, partitions = asyncio.run(names())
        assert len(bytes.fromhex(log_id)) == 4
        assert partitions == PARTITIONS
        with closing(log.consumer()) as consumer, closing(log.scanner()) as scanner:
            assert (consumer.log_id, consumer.partitions) == (log_id, partitions)
            assert (scanner.log_id, scanner.partitions) == (log_id, partitions)

    def test_offsets_count_from_0_in_each_partition(self, log: LogUnderTest) -> None:
        assert append(log, [record(2, "a"), record(0, "b"), record(2, "c")]) == [0, 0, 1]
        assert append(log, [record(2, "d"), record(1, "e")]) == [2, 0]

    def test_an_append_of_nothing_appends_nothing(self, log: LogUnderTest) -> None:
        assert append(log, []) == []
        with closing(log.consumer()) as consumer:
            assert [consumer.watermarks(partition) for partition in range(PARTITIONS)] == [(0, 0)] * PARTITIONS

    @pytest.mark.parametrize("partition", [-1, PARTITIONS])
    def test_an_append_to_a_partition_that_is_not_there_is_refused_whole(
        self, log: LogUnderTest, partition: int
    ) -> None:
        with pytest.raises(ValueError, match="partition"):
            append(log, [record(0, "good"), record(partition, "bad")])
        assert append(log, [record(0, "next")]) == [0]

    def test_a_call_takes_1000_records_and_no_more(self, log: LogUnderTest) -> None:
        with pytest.raises(ValueError, match="records"):
            append(log, [record(0, number) for number in range(1_001)])
        assert append(log, [record(0, number) for number in range(1_000)]) == list(range(1_000))

    def test_keys_and_values_come_back_byte_for_byte(self, log: LogUnderTest) -> None:
        odd = [NewRecord(1, key, value) for key, value in [(b"", b""), (b"\x00\xff", bytes(range(256))), (b"k", b"v")]]
        append(log, odd)
        with reading(log, {1: 0}) as consumer:
            assert [(r.key, r.value) for r in read_until(consumer, 3)] == [(r.key, r.value) for r in odd]

    def test_a_record_is_stamped_with_the_time_of_its_append(self, log: LogUnderTest) -> None:
        append(log, [record(0, "a")])
        with reading(log, {0: 0}) as consumer:
            (found,) = read_until(consumer, 1)
        assert abs(found.appended_at_us - time.time_ns() // 1_000) < 600 * 1_000_000

    def test_poll_goes_on_where_it_stopped(self, log: LogUnderTest) -> None:
        fill(log, 0, 10)
        with reading(log, {0: 3}) as consumer:
            assert [r.offset for r in read_until(consumer, 7, max_records=4)] == [3, 4, 5, 6, 7, 8, 9]
            assert consumer.poll(4, 0.0) == []
            append(log, [record(0, "more")])
            assert [r.offset for r in read_until(consumer, 1)] == [10]

    def test_poll_gives_at_most_the_wanted_number_over_all_partitions(self, log: LogUnderTest) -> None:
        for partition in range(PARTITIONS):
            fill(log, partition, 10)
        with reading(log, dict.fromkeys(range(PARTITIONS), 0)) as consumer:
            found: list[tuple[int, int, bytes]] = []
            while len(found) < 10 * PARTITIONS:
                records = consumer.poll(7, PATIENCE_SECONDS)
                assert 1 <= len(records) <= 7
                found += places(records)
        assert sorted(found) == [(p, n, b"%d" % n) for p in range(PARTITIONS) for n in range(10)]

    def test_no_partition_waits_for_anothers_backlog(self, log: LogUnderTest) -> None:
        for partition in range(PARTITIONS):
            fill(log, partition, 1 if partition == 2 else self.backlog)
        with reading(log, dict.fromkeys(range(PARTITIONS), 0)) as consumer:
            first = read_until(consumer, self.backlog * (PARTITIONS - 1) // 2, max_records=500)
        assert 2 in {record.partition for record in first}

    def test_assign_forgets_the_assignment_before(self, log: LogUnderTest) -> None:
        fill(log, 0, 2)
        fill(log, 1, 2)
        with reading(log, {0: 0}) as consumer:
            consumer.assign({1: 1})
            assert places(read_until(consumer, 1)) == [(1, 1, b"1")]
            assert consumer.poll(10, 0.0) == []
            consumer.assign({})
            assert consumer.poll(10, 0.1) == []

    def test_a_partition_that_is_not_there_cannot_be_assigned(self, log: LogUnderTest) -> None:
        with closing(log.consumer()) as consumer, pytest.raises(ValueError, match="partition"):
            consumer.assign({PARTITIONS: 0})

    def test_an_idle_poll_waits_without_keeping_the_processor_busy(self, log: LogUnderTest) -> None:
        with reading(log, dict.fromkeys(range(PARTITIONS), 0)) as consumer:
            began, began_cpu = time.monotonic(), time.thread_time()
            assert consumer.poll(10, 1.5) == []
            assert time.monotonic() - began >= 1.5
            assert time.thread_time() - began_cpu < 0.75

    def test_an_append_wakes_a_waiting_poll(self, log: LogUnderTest) -> None:
        with reading(log, {0: 0}) as consumer, ThreadPoolExecutor(1) as threads:
            polled = threads.submit(consumer.poll, 10, 10 * PATIENCE_SECONDS)
            time.sleep(0.3)
            assert not polled.done()
            append(log, [record(0, "wake up")])
            assert places(polled.result(PATIENCE_SECONDS)) == [(0, 0, b"wake up")]

    def test_readers_never_see_a_hole_while_appenders_crowd(self, log: LogUnderTest) -> None:
        """Two writers with many calls at once; a reader that polls all the while finds 0, 1, 2, … everywhere."""
        writers, calls, size = 2, 120, 5
        with reading(log, dict.fromkeys(range(PARTITIONS), 0)) as consumer, ThreadPoolExecutor(writers) as threads:
            crowd = [threads.submit(_crowd, log, f"w{number}", calls, size) for number in range(writers)]
            found = read_until(consumer, writers * calls * size, max_records=50)
            promised = {place: value for writer in crowd for place, value in writer.result(PATIENCE_SECONDS).items()}
        offsets: dict[int, list[int]] = defaultdict(list)
        for entry in found:
            offsets[entry.partition].append(entry.offset)
        assert all(seen == list(range(len(seen))) for seen in offsets.values())
        assert {(entry.partition, entry.offset): entry.value for entry in found} == promised

    def test_appends_of_one_caller_keep_their_order(self, log: LogUnderTest) -> None:
        async def run() -> list[list[int]]:
            appender = await log.appender()
            try:
                return await asyncio.gather(*(appender.append([record(0, number)]) for number in range(50)))
            finally:
                await appender.close()

        assert asyncio.run(run()) == [[number] for number in range(50)]

    def test_watermarks_are_exclusive_and_follow_retention(self, log: LogUnderTest) -> None:
        fill(log, 3, 5)
        with closing(log.consumer()) as consumer, closing(log.scanner()) as scanner:
            assert consumer.watermarks(3) == scanner.watermarks(3) == (0, 5)
            log.trim(3, 2)
            assert consumer.watermarks(3) == scanner.watermarks(3) == (2, 5)
            log.trim(3, 5)
            assert consumer.watermarks(3) == (5, 5)
            with pytest.raises(ValueError, match="partition"):
                consumer.watermarks(PARTITIONS)

    @pytest.mark.parametrize(("position", "low"), [(6, 0), (1, 2), (0, 5)])
    def test_a_position_outside_of_the_watermarks_is_damage(self, log: LogUnderTest, position: int, low: int) -> None:
        fill(log, 1, 5)
        log.trim(1, low)
        with reading(log, {0: 0, 1: position}) as consumer:
            assert meets_damage(consumer).partition == 1

    def test_the_other_partitions_go_on_beside_a_damaged_one(self, log: LogUnderTest) -> None:
        fill(log, 0, 1)
        with reading(log, {0: 0, 1: 7}) as consumer:
            assert meets_damage(consumer, sound=[0]).partition == 1
            consumer.assign({0: 0})
            assert places(read_until(consumer, 1)) == [(0, 0, b"0")]

    def test_another_log_is_damage(self, log: LogUnderTest) -> None:
        with reading(log, {0: 0}) as consumer:
            assert consumer.poll(10, 0.0) == []
            log.replace()
            meets_damage(consumer)

    def test_a_scan_gives_the_range_in_bounded_lists(self, log: LogUnderTest) -> None:
        fill(log, 2, 5_000)
        with closing(log.scanner()) as scanner:
            lists = list(scanner.scan(2, 10, 4_990))
            assert len(lists) > 1
            assert places([r for some in lists for r in some]) == [(2, n, b"%d" % n) for n in range(10, 4_990)]
            assert list(scanner.scan(2, 7, 7)) == []

    def test_a_scan_ends_where_the_log_ends(self, log: LogUnderTest) -> None:
        fill(log, 2, 3)
        with closing(log.scanner()) as scanner:
            assert [r.offset for some in scanner.scan(2, 1, 10**12) for r in some] == [1, 2]

    def test_a_scan_of_what_retention_took_is_damage(self, log: LogUnderTest) -> None:
        fill(log, 2, 5)
        log.trim(2, 3)
        with closing(log.scanner()) as scanner:
            with pytest.raises(LogDamaged):
                list(scanner.scan(2, 1, 5))
            assert [r.offset for some in scanner.scan(2, 3, 5) for r in some] == [3, 4]

    def test_a_closed_appender_refuses(self, log: LogUnderTest) -> None:
        async def run() -> None:
            appender = await log.appender()
            await appender.check()
            await appender.close()
            with pytest.raises(DependencyUnavailable):
                await appender.check()
            with pytest.raises(DependencyUnavailable):
                await appender.append([record(0, "late")])

        asyncio.run(run())


def _crowd(log: LogUnderTest, name: str, calls: int, size: int) -> dict[tuple[int, int], bytes]:
    """Many appends at once over all partitions; what the log promised, by (partition, offset)."""

    async def one(appender: Appender, call: int) -> dict[tuple[int, int], bytes]:
        records = [record((call + 3 * n) % PARTITIONS, f"{name}.{call}.{n}") for n in range(size)]
        offsets = await appender.append(records)
        return {(r.partition, offset): r.value for r, offset in zip(records, offsets, strict=True)}

    async def run() -> dict[tuple[int, int], bytes]:
        appender = await log.appender()
        try:
            limit = asyncio.Semaphore(16)

            async def held(call: int) -> dict[tuple[int, int], bytes]:
                async with limit:
                    return await one(appender, call)

            found = await asyncio.gather(*(held(call) for call in range(calls)))
        finally:
            await appender.close()
        return {place: value for some in found for place, value in some.items()}

    return asyncio.run(run())
