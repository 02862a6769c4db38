"""Leases: every partition has one owner, shares are even, and a dead member's partitions find a new owner."""

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from conftest import Installation
from whence.domain.errors import WhenceError
from whence.eventlog.leases import Leases

PARTITIONS = 16
SHORT_LEASE_SECONDS = 1.0
PATIENCE_SECONDS = 90.0

Join = Callable[..., Leases]

FORBID_TWO_OWNERS = """
CREATE FUNCTION forbid_two_owners() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.owner <> old.owner AND old.expires_at >= clock_timestamp() THEN
        RAISE EXCEPTION '% takes partition % from %, whose lease runs', new.owner, new.partition, old.owner;
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER forbid_two_owners BEFORE UPDATE ON partition_lease FOR EACH ROW EXECUTE FUNCTION forbid_two_owners();
"""


@pytest.fixture
def join(installation: Installation) -> Iterator[Join]:
    """Makes members of one installation; they leave at the end."""
    with ExitStack() as stack:

        def make(owner: str | None = None, lease_seconds: float = 60.0) -> Leases:
            name = owner or uuid.uuid4().hex
            member = Leases(installation.url, installation.namespace, name, PARTITIONS, lease_seconds)
            stack.callback(member.leave)
            return member

        yield make


def settle(members: list[Leases]) -> None:
    """Two rounds: one that shows the surplus and gives it back, one that claims it."""
    for _ in range(2):
        for member in members:
            member.renew()
            member.release(member.surplus())
    for member in members:
        member.renew()


def assert_owned_once_and_evenly(members: list[Leases]) -> None:
    owned = sorted(partition for member in members for partition in member.owned)
    assert owned == list(range(PARTITIONS))
    sizes = [len(member.owned) for member in members]
    assert max(sizes) - min(sizes) <= 1


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_a_lone_member_owns_everything(join: Join) -> None:
    member = join()
    assert member.renew() == frozenset(range(PARTITIONS))
    assert member.surplus() == frozenset()


@pytest.mark.parametrize("count", [2, 3, 5, 16])
def test_members_share_evenly_and_each_partition_once(join: Join, count: int) -> None:
    members = [join() for _ in range(count)]
    settle(members)
    assert_owned_once_and_evenly(members)


def test_members_beyond_the_partitions_own_nothing(join: Join) -> None:
    members = [join() for _ in range(PARTITIONS + 2)]
    settle(members)
    assert_owned_once_and_evenly(members)
    assert sum(not member.owned for member in members) == 2


def test_a_newcomer_gets_its_share_only_after_the_owner_released_it(join: Join) -> None:
    first, second = join("a"), join("b")
    first.renew()
    assert second.renew() == frozenset()
    first.renew()
    assert first.surplus() == frozenset(range(8, PARTITIONS))
    assert second.renew() == frozenset(), "surplus stays with its owner until it is released"
    first.release(first.surplus())
    assert second.renew() == frozenset(range(8, PARTITIONS))


def test_what_a_leaver_had_is_taken_over_at_once(join: Join) -> None:
    members = [join() for _ in range(3)]
    settle(members)
    members.pop().leave()
    for member in members:
        member.renew()
    assert_owned_once_and_evenly(members)


def test_a_dead_members_partitions_are_taken_over_when_its_lease_is_over(join: Join) -> None:
    dead, alive = join(lease_seconds=SHORT_LEASE_SECONDS), join()
    settle([dead, alive])
    until(lambda: alive.renew() == frozenset(range(PARTITIONS)))


def test_a_member_that_slept_past_its_lease_learns_what_it_lost(join: Join) -> None:
    sleeper, alive = join("a", lease_seconds=SHORT_LEASE_SECONDS), join("b")
    settle([sleeper, alive])
    until(lambda: alive.renew() == frozenset(range(PARTITIONS)))
    assert sleeper.renew() == frozenset()
    settle([alive, sleeper])
    assert_owned_once_and_evenly([sleeper, alive])


def test_an_expired_lease_that_nobody_claimed_is_kept(join: Join) -> None:
    member = join(lease_seconds=0.01)
    first = member.renew()
    time.sleep(0.05)
    assert member.renew() == first


def test_a_member_cannot_release_what_another_owns(join: Join, installation: Installation) -> None:
    owner, stranger = join(), join()
    owner.renew()
    stranger.release(range(PARTITIONS))
    with installation.connect() as connection:
        free = connection.execute("SELECT count(*) FROM partition_lease WHERE owner IS NULL").fetchone()
    assert free == (0,)


def test_nobody_takes_a_running_lease_in_a_crowd_that_stalls_and_leaves(installation: Installation) -> None:
    with installation.connect() as connection:
        connection.execute(FORBID_TWO_OWNERS)
    errors: list[WhenceError] = []
    crowd = [threading.Thread(target=take_part, args=(installation, seed, errors)) for seed in range(5)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert not errors
    survivor = Leases(installation.url, installation.namespace, "survivor", PARTITIONS, SHORT_LEASE_SECONDS)
    until(lambda: survivor.renew() == frozenset(range(PARTITIONS)))
    survivor.leave()


def take_part(installation: Installation, seed: int, errors: list[WhenceError]) -> None:
    """Renew with pauses of which some outlive the lease; leave in order or, as a crash would, not at all."""
    chance = random.Random(seed)
    lease_seconds = 0.2
    for life in range(4):
        member = Leases(installation.url, installation.namespace, f"{seed}.{life}", PARTITIONS, lease_seconds)
        try:
            for _ in range(15):
                member.renew()
                member.release(member.surplus())
                time.sleep(chance.choice([0.0, 0.01, 0.05, 1.5 * lease_seconds]))
            if chance.random() < 0.5:
                member.leave()
        except WhenceError as error:
            errors.append(error)
            return
        finally:
            member.close()


def test_what_is_to_be_kept_is_given_away_last(join: Join) -> None:
    first, second = join("a"), join("b")
    first.renew()
    second.renew()
    first.renew()
    assert first.surplus(keep={14, 15}) == frozenset(range(6, 14))
    assert first.surplus(keep=range(PARTITIONS)) == frozenset(range(8, PARTITIONS))
