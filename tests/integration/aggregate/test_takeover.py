"""Taking partitions over: what is remembered, what is refused, and two owners interleaved step by step."""

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing

import pytest

from conftest import PARTITIONS, Installation
from integration.aggregate.support import Running, Shop, event, record, running, settle_hours
from program import Program, until
from whence.aggregate.consumer import APPLY_SECONDS
from whence.aggregate.declare import claim_log
from whence.aggregate.postponed import CUT_OFF_SECONDS
from whence.domain.errors import LogDamaged, PartitionUnavailable
from whence.domain.partition import partition_of
from whence.eventlog.places import PostgresPlace
from whence.eventlog.port import Watermarks
from whence.eventlog.postgres_readers import PostgresConsumer
from whence.kit.clock import Times


def test_repeats_are_recognised_for_24_hours_by_whoever_takes_over(shop: Shop, installation: Installation) -> None:
    shop.append(event("u1", "a", "1"), event("u1", "b", "2"))
    settle_hours(shop, "u1", [0, 0])
    with running(installation) as first:
        first.drain(shop)
    shop.append(event("u1", "a", "1"))
    settle_hours(shop, "u1", [0, 0, 24])
    with running(installation, "second") as second:
        second.drain(shop)
        assert shop.books() == (2, 1, 0, 0)
    shop.append(event("u1", "b", "2"))
    settle_hours(shop, "u1", [0, 0, 24, 25])
    with running(installation, "third") as third:
        third.drain(shop)
    assert shop.counts() == {("u1", "a", "view"): 1, ("u1", "b", "view"): 2}


def test_a_backfill_is_recognised_for_ever_by_whoever_takes_over(shop: Shop, installation: Installation) -> None:
    old = event("u1", "a", "1", backfill="history")
    shop.append(old)
    settle_hours(shop, "u1", [0])
    with running(installation) as first:
        first.drain(shop)
    shop.append(old, event("u1", "a", "1"), event("u1", "b", "2", backfill="history"), event("u1", "b", "2"))
    settle_hours(shop, "u1", [0, 300, 300, 300, 301])
    with running(installation, "second") as second:
        second.drain(shop)
    assert shop.counts() == {("u1", "a", "view"): 2, ("u1", "b", "view"): 1}
    assert shop.books() == (3, 2, 0, 0)


def test_a_partition_whose_records_are_gone_halts_and_the_others_go_on(shop: Shop, installation: Installation) -> None:
    events = [event(f"u{n}", "a", "1") for n in range(60)]
    shop.append(*events)
    partition = record(events[0]).partition
    lost = sum(record(fields).partition == partition for fields in events)
    shop.connection.execute('DELETE FROM log_record WHERE partition = %s AND "offset" = 0', [partition])
    shop.connection.execute(
        "INSERT INTO partition_position (partition, log_id, base_offset, next_offset) "
        "SELECT %s, log_id, 0, 0 FROM log_info",
        [partition],
    )
    with running(installation) as one:
        one.turn(3)
        assert list(one.aggregator.halted) == [partition]
        assert "the log holds 1 to" in one.aggregator.halted[partition]
        assert shop.books() == (60 - lost, 0, 0, 0)


def test_a_log_that_was_cut_off_while_it_is_read_halts(shop: Shop, aggregator: Running) -> None:
    shop.append(event("u1", "a", "1"), event("u1", "a", "2"))
    aggregator.drain(shop)
    partition = record(event("u1", "a", "1")).partition
    shop.connection.execute("UPDATE log_partition SET next_offset = 1 WHERE partition = %s", [partition])
    aggregator.turn(2)
    assert list(aggregator.aggregator.halted) == [partition]
    other = next(fields for n in range(99) if record(fields := event(f"v{n}", "a", "1")).partition != partition)
    shop.append(other)
    aggregator.turn(2)
    assert (other["user_id"], "a", "view") in shop.counts()


def test_a_halted_partition_is_given_away_last_and_looked_at_anew_when_it_comes_back(
    shop: Shop, installation: Installation
) -> None:
    shop.append(event("u1", "a", "1"), event("u1", "a", "2"))
    partition = record(event("u1", "a", "1")).partition
    with running(installation, "a") as first:
        first.drain(shop)
        shop.connection.execute("UPDATE log_partition SET next_offset = 1 WHERE partition = %s", [partition])
        assert turns_until(first, lambda: partition in first.aggregator.halted)
        with running(installation, "b") as second:
            second.turn()
            assert turns_until(first, lambda: len(first.leases.owned) == PARTITIONS // 2)
            assert partition in first.leases.owned
            assert first.metric("whence_aggregate_partition_halted", partition=str(partition)) == 1
            shop.connection.execute("UPDATE log_partition SET next_offset = 2 WHERE partition = %s", [partition])
            shop.connection.execute("UPDATE partition_lease SET owner = 'b' WHERE partition = %s", [partition])
            assert turns_until(first, lambda: not first.aggregator.halted)
            assert first.metric("whence_aggregate_partition_halted", partition=str(partition)) == 0
        shop.append(event("u1", "a", "3"))
        assert turns_until(first, lambda: shop.counts()["u1", "a", "view"] == 3)


def test_a_turn_that_takes_long_ends_early_and_the_rest_is_read_again(shop: Shop, installation: Installation) -> None:
    """The clock moves by the whole time that a turn may take with each look at it: one transaction a turn."""
    shop.append(*(event("u1", "a", str(number)) for number in range(4)), *(event("u2", "b", str(n)) for n in range(3)))
    settle_hours(shop, "u1", [0, 1, 2, 3])
    settle_hours(shop, "u2", [0, 1, 2])
    looks = itertools.count(0, APPLY_SECONDS + 1)
    with closing(Running(installation, times=Times(monotonic=lambda: float(next(looks))))) as one:
        one.drain(shop)
    assert shop.books() == (7, 0, 0, 0)
    assert shop.value("SELECT count(*) FROM batch_segment") == 7


class Leaderless(PostgresConsumer):
    """A log one of whose partitions does not answer, or answers as if it were empty.

    Attributes:
        silent, empty: That partition, None if all answer rightly.
    """

    def __init__(self, place: PostgresPlace, silent: int | None = None, empty: int | None = None) -> None:
        super().__init__(place.url, place.namespace)
        self.silent, self.empty = silent, empty

    def watermarks(self, partition: int) -> Watermarks:
        """As ever, but for that one."""
        if partition == self.silent:
            raise PartitionUnavailable("memory", f"partition {partition} has no leader")
        return Watermarks(0, 0) if partition == self.empty else super().watermarks(partition)


def test_a_log_that_ends_before_our_position_for_a_moment_halts_nothing(shop: Shop, installation: Installation) -> None:
    """As a broker says that was frozen and does not know yet that another one leads."""
    shop.append(event("u1", "a", "1"))
    with running(installation) as first:
        first.drain(shop)
    lagging = record(event("u1", "a", "1")).partition
    assert isinstance(installation.log, PostgresPlace)
    log = Leaderless(installation.log, empty=lagging)
    shop.append(event("u1", "a", "2"))
    with closing(Running(installation, "second", log=log)) as second:
        assert turns_until(second, lambda: second.metric("whence_aggregate_retries_total") >= 2)
        assert not second.aggregator.halted
        log.empty = None
        second.drain(shop)
    assert shop.books() == (2, 0, 0, 0)


def test_a_log_that_ends_before_our_position_for_good_halts(shop: Shop, installation: Installation) -> None:
    shop.append(event("u1", "a", "1"))
    with running(installation) as first:
        first.drain(shop)
    cut_off = record(event("u1", "a", "1")).partition
    assert isinstance(installation.log, PostgresPlace)
    passed_seconds = 0.0
    times = Times(monotonic=lambda: time.monotonic() + passed_seconds)
    with closing(Running(installation, log=Leaderless(installation.log, empty=cut_off), times=times)) as second:
        assert turns_until(second, lambda: second.metric("whence_aggregate_retries_total") >= 1)
        assert not second.aggregator.halted
        passed_seconds = CUT_OFF_SECONDS
        assert turns_until(second, lambda: list(second.aggregator.halted) == [cut_off])
        assert "stands at 1, the log holds 0 to 0" in second.aggregator.halted[cut_off]


def test_a_partition_that_does_not_answer_is_left_for_later_and_the_others_go_on(
    shop: Shop, installation: Installation
) -> None:
    silent = record(event("u0", "a", "1")).partition
    assert isinstance(installation.log, PostgresPlace)
    log = Leaderless(installation.log, silent=silent)
    shop.append(*(event(f"u{n}", "a", "1") for n in range(60)))
    with closing(Running(installation, log=log)) as one:
        others = {f"u{n}" for n in range(60) if partition_of(f"u{n}".encode(), 16) != silent}
        assert turns_until(one, lambda: {user for user, _, _ in shop.counts()} == others)
        assert one.metric("whence_aggregate_retries_total") >= 1
        assert not one.aggregator.failing
        log.silent = None
        one.drain(shop)
        assert shop.books() == (60, 0, 0, 0)
        log.silent = silent  # it is asked about the lag now; what is read goes on
        shop.append(event("u0", "b", "2"))
        assert turns_until(one, lambda: shop.books() == (61, 0, 0, 0))


def turns_until(one: Running, condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true while the aggregator turns."""

    def turned() -> bool:
        one.turn()
        return condition()

    return until(turned)


def test_scores_of_another_log_are_refused(shop: Shop, installation: Installation, program: Program) -> None:
    claim_log(shop.connection, "0badcafe", 16)
    with pytest.raises(LogDamaged, match="0badcafe"):
        claim_log(shop.connection, "0badcafe", 17)
    settings = {"WHENCE_DATABASE_URL": installation.url, "WHENCE_NAMESPACE": installation.namespace}
    refused = program.run("serve", "aggregate", "--port", "17073", **settings)
    assert refused.returncode == 1
    assert "another log" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_transaction_of_the_owner_before_delays_its_partition_alone(
    shop: Shop, installation: Installation, aggregator: Running
) -> None:
    events = [event(f"u{n}", "a", "1") for n in range(60)]
    shop.append(*events)
    aggregator.drain(shop)
    aggregator.leases.leave()
    shop.append(*(event(f"u{n}", "a", "2") for n in range(60)))
    partition = record(events[0]).partition
    held = sum(record(fields).partition == partition for fields in events)
    with installation.connect() as former, running(installation, "second") as second:
        with former.transaction():
            former.execute("SELECT FROM partition_position WHERE partition = %s FOR UPDATE", [partition])
            second.turn(3)
            assert shop.books() == (120 - held, 0, 0, 0)
        second.drain(shop)
    assert shop.books() == (120, 0, 0, 0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_owners_interleaved_step_by_step_count_everything_once(
    seed: int, shop: Shop, installation: Installation
) -> None:
    """Leases so short that ownership moves between any two steps: only the compare-and-swap keeps the counts right."""
    chance = random.Random(seed)
    expected: Counter[tuple[str, str, str]] = Counter()
    with (
        running(installation, "first", lease_seconds=0.03) as first,
        running(installation, "second", lease_seconds=0.03) as second,
    ):
        for number in range(250):
            next(chance.choice([first, second]).steps)
            if number % 10 == 0:
                fresh = [event(f"u{chance.randrange(9)}", "a", f"{number}-{n}") for n in range(5)]
                expected.update((one["user_id"], "a", "view") for one in fresh)
                shop.append(*fresh, *fresh[:2])
    with running(installation, "third") as third:
        third.drain(shop)
    assert shop.counts() == expected
    assert shop.books()[:2] == (125, 50)
