"""Whatever moment a process dies or freezes at: every event counts exactly once."""

import os
import random
import signal
import time
from contextlib import closing

import pytest

from chaos.support import SEED, Oracle, Worker, expire_leases, installed
from conftest import Installation
from program import Program, until
from whence.embedded.postgres import EmbeddedPostgres

ROUNDS = 12

TRIES = 3
"""Turns that fail before the fault is mended."""

FAILPOINTS = (
    "aggregate.before_begin",
    "aggregate.after_position",
    "aggregate.after_signals",
    "aggregate.after_recent",
    "aggregate.after_segment",
    "aggregate.before_commit",
    "aggregate.after_commit",
    "compactor.before_commit",
    "compactor.after_commit",
)
"""Every step of the consumer's and the compactor's transactions."""


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_a_kill_at_any_step_loses_and_doubles_nothing(
    failpoint: str, oracle: Oracle, installation: Installation, program: Program
) -> None:
    worker = Worker(program, installation)
    oracle.append(300)
    worker.start(f"{failpoint}:{1 if failpoint.startswith('compactor') else 3}")
    assert oracle.append_until(worker.is_killed)
    expire_leases(oracle.shop)
    oracle.append(100)
    worker.start()
    oracle.wait_until_drained()
    oracle.check()
    worker.stop()


@pytest.mark.parametrize(
    ("on_log", "failpoint", "noticed_by"),
    [
        ("postgresql", "aggregate.before_begin", "whence_aggregate_fenced_total"),
        ("postgresql", "aggregate.before_commit", "whence_aggregate_retries_total"),
        ("kafka", "aggregate.before_begin", "whence_aggregate_fenced_total"),
    ],
    indirect=["on_log"],
)
def test_an_owner_that_freezes_beyond_its_lease_is_fenced_when_it_wakes(
    on_log: Installation, failpoint: str, noticed_by: str, program: Program
) -> None:
    """Between fetch and transaction it finds the position moved; with everything written, its session gone."""
    with closing(Oracle(on_log)) as oracle:
        freeze_and_wake(on_log, oracle, program, failpoint, noticed_by)


def freeze_and_wake(
    installation: Installation, oracle: Oracle, program: Program, failpoint: str, noticed_by: str
) -> None:
    """Freeze an owner at a failpoint until another has gone on; wake it, and wait until it has noticed."""
    frozen, other = Worker(program, installation), Worker(program, installation)
    oracle.append(200)
    frozen.start(f"{failpoint}:2=stop")
    try:
        assert oracle.append_until(frozen.is_frozen)
        other.start()
        oracle.wait_until_drained()
        oracle.append(100)
        oracle.wait_until_drained()
    finally:
        frozen.wake()
    assert until(lambda: frozen.metric(noticed_by) >= 1)
    other.stop()
    oracle.append(100)
    oracle.wait_until_drained()
    oracle.check()
    frozen.stop()


DISK_FULL = """
CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER disk_full BEFORE INSERT ON batch_segment FOR EACH ROW EXECUTE FUNCTION disk_full()
"""
"""PostgreSQL refuses a row in the middle of the transaction, as it does when its disk is full."""


@pytest.mark.parametrize("on_log", ["postgresql", "kafka"], indirect=True)
def test_a_full_disk_holds_everything_up_and_costs_nothing(on_log: Installation, program: Program) -> None:
    with closing(Oracle(on_log)) as oracle:
        oracle.append(200)
        worker = Worker(program, on_log)
        worker.start()
        oracle.wait_until_drained()
        oracle.shop.connection.execute(DISK_FULL)
        oracle.append(300)
        assert until(lambda: worker.metric("whence_aggregate_retries_total") >= TRIES)
        assert not oracle.shop.rows("SELECT FROM partition_lease WHERE expires_at < now()")  # nobody could do better
        assert not worker.halted()
        oracle.shop.connection.execute("DROP TRIGGER disk_full ON batch_segment")
        oracle.wait_until_drained()
        oracle.check()
        worker.stop()


def test_random_kills_of_two_owners_and_a_restart_of_postgresql(
    program: Program, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chance = random.Random(SEED)
    server = EmbeddedPostgres(tmp_path_factory.mktemp("chaos"))
    try:
        installation = installed(server.start())
        workers = [Worker(program, installation), Worker(program, installation)]
        with closing(Oracle(installation)) as oracle:
            for number in range(ROUNDS):
                for worker in workers:
                    worker.keep_running()
                oracle.append(chance.randrange(20, 400))
                time.sleep(chance.uniform(0.2, 2.0))
                chance.choice(workers).kill()
                if number == ROUNDS // 2:
                    crash(server)
                    server.start()
                    oracle.reconnect()
            for worker in workers:
                worker.keep_running()
            expire_leases(oracle.shop)
            oracle.wait_until_drained()
            oracle.check()
            for worker in workers:
                worker.stop()
    finally:
        program.close()
        server.remove()


def crash(server: EmbeddedPostgres) -> None:
    """End PostgreSQL at once, without a checkpoint: it has to recover."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGQUIT)
    server.stop()
