"""Scores are made anew again and again while aggregators die, freeze and come back, and the rebuilds die as well."""

import json
import random
from contextlib import closing

import pytest

from chaos.support import SEED, Oracle, Worker, expire_leases
from conftest import Installation
from program import Program, until

ROUNDS = 5

STEPS = ("shadow_made", "caught_up", "fenced", "compared", "before_commit", "after_commit")
"""Where a rebuild may die."""


@pytest.mark.parametrize("on_log", ["postgresql", "kafka"], indirect=True)
def test_rebuilds_among_kills_lose_and_double_nothing(on_log: Installation, program: Program) -> None:
    chance = random.Random(SEED)
    workers = [Worker(program, on_log) for _ in range(2)]
    with closing(Oracle(on_log)) as oracle:
        oracle.append(300)
        workers[0].start()
        assert until(lambda: sum(oracle.shop.books()))
        for _ in range(ROUNDS):
            for worker in workers:
                worker.keep_running()
            doomed = chance.choice(("", f"rebuild.{chance.choice(STEPS)}"))
            work = program.start("rebuild", "--json", **on_log.settings, WHENCE_FAILPOINTS=doomed)
            for _ in range(chance.randrange(1, 12)):
                oracle.append(100)
            if (victim := chance.choice((None, *workers))) is not None:
                victim.kill()
                expire_leases(oracle.shop)
            assert oracle.append_until(lambda: work.poll() is not None)  # noqa: B023  # called at once
            said, complained = work.communicate()
            assert work.returncode == (-9 if doomed else 0), complained
            assert doomed or json.loads(said)["differences"] == 0
        for worker in workers:
            worker.keep_running()
        oracle.wait_until_drained()
        oracle.check()
        for worker in workers:
            worker.stop()
        done = program.run("rebuild", "--json", **on_log.settings)
        assert json.loads(done.stdout)["differences"] == 0, done.stdout
        oracle.check()
