"""A rebuild beside traffic, under fire, and killed: the old state or the new one, never a mix, nothing lost."""

import itertools
import json
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conftest import Installation
from integration.aggregate.rebuilding import Clock, compacted, lively, rebuilt, state
from integration.aggregate.support import Running, Shop, event
from program import PATIENCE_SECONDS, Program, until
from whence.aggregate.compactor import Compactor
from whence.aggregate.rebuild import story, swap
from whence.aggregate.rebuild.replay import Replay
from whence.aggregate.rebuild.shadow import shadow_of
from whence.domain.errors import DependencyUnavailable, InvalidInput

KILLS = ("shadow_made", "caught_up", "fenced", "compared", "before_commit", "after_commit")


class Traffic:
    """Clients that send, and an aggregator and a compactor that work, until told to stop."""

    def __init__(self, shop: Shop, aggregator: Running) -> None:
        self.sent: Counter[tuple[str, str, str]] = Counter()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=one, args=[shop, aggregator]) for one in (self._send, self._work)]
        self._compactor = Compactor(shop.installation.connect, aggregator.metrics, Clock())
        self._threads.append(threading.Thread(target=self._compactor.run, args=[self._stopping]))

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _send(self, shop: Shop, _: Running) -> None:
        for number in itertools.count():
            fresh = [event(f"u{n}", f"i{(number + n) % 50}", f"t{number}-{n}") for n in range(20)]
            shop.append(*fresh, *fresh[:5])
            self.sent.update((one["user_id"], one["item_id"], "view") for one in fresh)
            if self._stopping.wait(0.01):
                return

    def _work(self, _: Shop, aggregator: Running) -> None:
        while not self._stopping.is_set():
            aggregator.turn()


def test_under_traffic_nothing_is_lost_or_doubled(shop: Shop, aggregator: Running) -> None:
    with Traffic(shop, aggregator) as traffic:
        done = []
        for _ in range(3):
            before = sum(shop.books())
            assert until(lambda: sum(shop.books()) > before + 500)  # noqa: B023  # called at once
            done.append(rebuilt(shop))
        assert until(lambda: sum(shop.books()) > done[-1].records + 500)
    aggregator.drain(shop)
    assert [(one.swapped, one.difference_count) for one in done] == [(True, 0)] * 3
    assert 500 < done[0].records < done[1].records < done[2].records
    assert shop.counts() == traffic.sent
    assert aggregator.metric("whence_aggregate_fenced_total") >= 1
    compacted(shop, aggregator)
    assert rebuilt(shop, swap=False).difference_count == 0


@pytest.mark.parametrize("name", ["make_shadow", "analyze", "differences", "swap"])
def test_an_error_at_any_step_leaves_the_old_state(
    name: str, shop: Shop, aggregator: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    lively(shop, aggregator)
    before = state(shop)
    honest = getattr(story, name)

    def fails(*given: Any) -> None:
        honest(*given)
        raise psycopg.OperationalError("the server is on fire")

    with monkeypatch.context() as patch:
        patch.setattr(story, name, fails)
        with pytest.raises(DependencyUnavailable, match="on fire"):
            rebuilt(shop)
    assert {name: rows for name, rows in state(shop).items() if name in before} == before | folded(shop)
    assert not made(shop)
    assert rebuilt(shop).difference_count == 0


def folded(shop: Shop) -> dict[str, list[tuple[Any, ...]]]:
    """What the serving side's own folding may have brought forward meanwhile, as it would have at any moment."""
    now = state(shop)
    return {name: now[name] for name in ("pair_count", "trend_bucket", "item_neighbours", "trend_list")}


def test_who_holds_the_tables_is_waited_for_and_then_given_up_on(
    shop: Shop, installation: Installation, aggregator: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    lively(shop, aggregator)
    monkeypatch.setattr(story, "FENCES_MAX", 2)
    monkeypatch.setattr(story, "FENCE_REST_SECONDS", 0.01)
    monkeypatch.setattr(swap, "LOCK_TRIES_MAX", 2)
    monkeypatch.setattr(swap, "LOCK_WAIT_MS", 20)
    with installation.connect() as reader, reader.transaction():
        reader.execute("SELECT FROM signal")
        with pytest.raises(DependencyUnavailable, match="run it again later"):
            rebuilt(shop)
        assert rebuilt(shop, swap=False).difference_count == 0
        shop.append(event("u3", "new", "fresh"))
        aggregator.drain(shop)
    assert rebuilt(shop).swapped


def test_stopped_by_hand_it_leaves_nothing_behind(shop: Shop, aggregator: Running, program: Program) -> None:
    lively(shop, aggregator)
    halt = {"WHENCE_FAILPOINTS": "rebuild.caught_up:1=stop"}
    process = program.start("rebuild", **shop.installation.settings, **halt)
    stat = Path(f"/proc/{process.pid}/stat")
    assert until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
    assert made(shop)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    assert process.wait(PATIENCE_SECONDS) == 130
    assert not made(shop)


def made(shop: Shop) -> bool:
    """Whether there is a shadow."""
    return bool(shop.value("SELECT to_regnamespace(%s) IS NOT NULL", shadow_of(shop.installation.namespace)))


def test_one_that_freezes_behind_the_fence_loses_it(
    shop: Shop, aggregator: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    lively(shop, aggregator)
    before = state(shop)["signal"]
    monkeypatch.setattr(swap, "FROZEN_SECONDS", 1)
    frozen, go_on = threading.Event(), threading.Event()

    def freeze(_: Replay) -> None:
        frozen.set()
        assert go_on.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(Replay, "rank", freeze)
    with ThreadPoolExecutor() as pool:
        doomed = pool.submit(rebuilt, shop)
        assert frozen.wait(PATIENCE_SECONDS)
        shop.append(event("u3", "new", "fresh"))
        aggregator.drain(shop)
        go_on.set()
        with pytest.raises(DependencyUnavailable, match="idle-in-transaction"):
            doomed.result()
    assert len(state(shop)["signal"]) == len(before) + 1


def test_a_migration_meanwhile_is_noticed(shop: Shop, aggregator: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    lively(shop, aggregator)
    later = "INSERT INTO schema_migration (set_name, version, name) VALUES ('scores', 9000, 'later')"
    monkeypatch.setattr(Replay, "rank", lambda _: None)
    monkeypatch.setattr(story, "analyze", lambda _: shop.connection.execute(later))
    with pytest.raises(InvalidInput, match="tables are of version 9000"):
        rebuilt(shop)


def test_what_is_lost_with_the_former_tables_is_said(shop: Shop, aggregator: Running) -> None:
    shop.append(event("u1", "a", "1"))
    aggregator.drain(shop)
    shop.connection.execute("CREATE INDEX by_item ON signal (item_id)")
    said: list[str] = []
    rebuilt(shop, progress=said.append)
    assert "will not be carried over: index by_item on signal" in said


def test_a_second_rebuild_says_so(shop: Shop, installation: Installation) -> None:
    with installation.connect() as first:
        first.execute("SELECT pg_advisory_lock(hashtextextended('whence rebuild ' || current_schema(), 0))")
        with pytest.raises(DependencyUnavailable, match="another rebuild is under way"):
            rebuilt(shop)


def test_killed_anywhere_the_scores_are_whole_and_the_next_one_starts_over(
    shop: Shop, aggregator: Running, program: Program
) -> None:
    lively(shop, aggregator)
    compacted(shop, aggregator)
    expected = shop.counts()
    for place in KILLS:
        killed = program.run("rebuild", **shop.installation.settings, WHENCE_FAILPOINTS=f"rebuild.{place}")
        assert killed.returncode == -9, place
        assert shop.counts() == expected, place
        shop.append(event("u3", "i1", place))
        aggregator.drain(shop)
        expected["u3", "i1", "view"] += 1
        assert shop.counts() == expected, place
    done = program.run("rebuild", "--json", **shop.installation.settings)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["differences"] == 0
    assert shop.counts() == expected
