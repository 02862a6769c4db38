"""From the log to the list: late history, clocks that jump, items without an entry, withdrawn and put back."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta

import pytest

from conftest import Installation
from integration.aggregate.support import Fields, event
from integration.aggregate.support import Running as Aggregator
from integration.aggregate.support import Shop as Log
from integration.aggregate.support import running as aggregating
from integration.recommend.live import Recommend, SetClock, running
from integration.recommend.states import NOW
from whence.aggregate.compactor import Compactor

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@pytest.fixture
def log(installation: Installation) -> Iterator[Log]:
    with closing(Log(installation)) as one:
        yield one


class Pipeline:
    """Aggregator and compactor, turned by hand."""

    def __init__(self, installation: Installation, log: Log, aggregator: Aggregator) -> None:
        self.clock = SetClock()
        self._log = log
        self._aggregator = aggregator
        self._compactor = Compactor(installation.connect, aggregator.metrics, self.clock)

    def take(self, *events: Fields) -> None:
        """Append events, apply them, and bring the lists up to date."""
        self._log.append(*events)
        self._aggregator.drain(self._log)
        self.compact()

    def compact(self) -> None:
        """Fold, rank and clean now, by the clock as it stands; the log's clock stands."""
        while self._compactor.turn():
            pass
        with self._log.installation.connect() as connection:
            connection.execute("UPDATE partition_position SET last_appended_at = %s", [NOW])
            self._compactor.rank(connection, self.clock.now())
            self._compactor.clean(connection, self.clock.now())

    def close(self) -> None:
        """Let go of the compactor's connection."""
        self._compactor.close()


@pytest.fixture
def pipeline(installation: Installation, log: Log) -> Iterator[Pipeline]:
    with aggregating(installation) as aggregator, closing(Pipeline(installation, log, aggregator)) as one:
        yield one


def at(user: str, item: str, moment: datetime, event_type: str = "view", **more: object) -> Fields:
    """An event that happened and was received at a moment; a backfill if that is long ago."""
    times: Fields = {"occurred_at": moment.isoformat(), "received_at": NOW.isoformat()}
    if moment < NOW - DAY / 2:
        times["backfill"] = "history"
    return event(user, item, f"{user} {item} {event_type} {moment.timestamp()}", event_type, **times | more)


HISTORY = [at("u", f"old{n}", NOW - (30 + n) * DAY, "purchase") for n in range(3)]
LIVE = [at("u", f"new{n}", NOW - (1 + n) * MINUTE) for n in range(3)]


@pytest.mark.parametrize("order", [[*HISTORY, *LIVE], [*LIVE, *HISTORY]], ids=["before", "after"])
def test_history_lies_behind_what_is_newer_whenever_it_is_imported(
    pipeline: Pipeline, recommend: Recommend, order: Sequence[Fields]
) -> None:
    crowd = [at(f"h{n}", "old0", NOW - 40 * DAY) for n in range(20)]
    pipeline.take(*crowd, *order)
    assert [held["item_id"] for held in recommend.get("/v1/users/u/signals")["signals"]] == [
        "new0", "new1", "new2", "old0", "old1", "old2",
    ]  # fmt: skip
    answer = recommend.ask("u", "limit=1&explain=full")
    assert answer["items"][0]["item_id"] == "new0"
    (newest,) = [part for part in answer["items"][0]["evidence"] if part["code"] == "own_signal"]
    assert newest["contribution"] > 0.3 * 0.24 * 0.4  # the short memory is of the newest item by time, not by arrival
    assert {item["item_id"] for item in recommend.get("/v1/trending?limit=3")["items"]} == {"new0", "new1", "new2"}
    assert recommend.get("/v1/popular?limit=4")["items"][3]["item_id"] == "old0"


def test_a_late_import_leaves_the_same_signals_as_an_early_one(
    pipeline: Pipeline, recommend: Recommend, log: Log
) -> None:
    early = [fields | {"user_id": "early"} for fields in (*HISTORY, *LIVE)]
    late = [fields | {"user_id": "late"} for fields in (*LIVE, *HISTORY)]
    pipeline.take(*early, *late)
    one, other = (recommend.get(f"/v1/users/{name}/signals")["signals"] for name in ("early", "late"))
    assert one == other
    recents = "SELECT rank, item_id, last_at FROM user_recent_item JOIN user_ref ON id = user_id WHERE external_id = %s"
    assert log.rows(recents, "early") == log.rows(recents, "late")


@pytest.mark.parametrize("jump", [-400 * DAY, -MINUTE, DAY, 3_000 * DAY])
def test_lists_are_as_before_when_a_clock_has_jumped_and_come_back(
    pipeline: Pipeline, recommend: Recommend, log: Log, jump: timedelta
) -> None:
    pipeline.take(*LIVE, *(at(f"v{n}", item, NOW - n * MINUTE) for n in range(4) for item in ("new0", "other")))
    before = [(item["item_id"], item["score"]) for item in recommend.ask("u")["items"]]
    counted = [log.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in ("pair_count", "trend_bucket")]
    assert all(counted)
    pipeline.clock.moment = recommend.clock.moment = NOW + jump
    pipeline.compact()
    jumped = recommend.ask("u", "explain=full")["items"]
    assert {item["item_id"] for item in jumped} == {item for item, _ in before}
    for item in jumped:
        assert item["score"] == pytest.approx(sum(part["contribution"] for part in item["evidence"]), abs=1e-9)
    pipeline.clock.moment = recommend.clock.moment = NOW
    pipeline.compact()
    assert counted == [log.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in ("pair_count", "trend_bucket")]
    after = recommend.ask("u")["items"]
    assert [item["item_id"] for item in after] == [item for item, _ in before]
    assert [item["score"] for item in after] == pytest.approx([score for _, score in before], abs=1e-9)


def test_an_event_from_a_clock_that_runs_ahead_soon_lies_behind_newer_ones(
    pipeline: Pipeline, recommend: Recommend
) -> None:
    """A foreign producer's event of next year counts as of its receipt, at most a minute later."""
    later = NOW + 2 * MINUTE
    pipeline.take(at("u", "ahead", NOW + 365 * DAY), at("u", "now", later, received_at=later.isoformat()))
    held = recommend.get("/v1/users/u/signals")["signals"]
    assert [(signal["item_id"], signal["last_at"]) for signal in held] == [
        ("now", "2026-11-27T12:02:00Z"),
        ("ahead", "2026-11-27T12:01:00Z"),
    ]


def test_an_item_without_an_entry_is_listed_then_named_then_withdrawn_then_put_back(
    pipeline: Pipeline, recommend: Recommend, installation: Installation
) -> None:
    pipeline.take(*(at(f"u{n}", item, NOW - MINUTE + timedelta(seconds=n)) for n in range(3) for item in ("a", "b")))
    pipeline.take(at("u", "a", NOW))

    def shown() -> dict[str, object]:
        return {item["item_id"]: item["item"] and item["item"]["title"] for item in recommend.ask("u")["items"]}

    assert shown() == {"a": None, "b": None}
    with running(installation, unknown_items="hide") as hiding:
        assert hiding.ask("u")["outcome_reason"] == "no_items_available"
        recommend.send("PUT", "/v1/items/b", {"title": "Bee"})
        assert shown() == {"a": None, "b": "Bee"}
        assert hiding.ids("u") == ["b"]
        recommend.send("DELETE", "/v1/items/b")
        assert shown() == {"a": None}
        assert hiding.ids("u") == []
        (reason,) = recommend.get("/v1/users/u/items/b/why")["not_listed_because"]
        assert reason["code"] == "deleted"
        pipeline.take(at("u", "b", NOW + timedelta(seconds=1), "purchase"))
        assert shown() == {"a": None}
        recommend.send("PUT", "/v1/items/b", {"title": "Bee again"})
        assert shown() == {"b": "Bee again", "a": None}
        assert [(s["event_type"], s["count"]) for s in recommend.get("/v1/users/u/items/b/why")["signals"]] == [
            ("purchase", 1)
        ]


def test_weights_below_zero_take_an_item_out_of_the_long_memory_alone(
    pipeline: Pipeline, recommend: Recommend, installation: Installation
) -> None:
    """One view, and one purchase that counts against it: the strength is 0, not below; what is new stays new."""
    pipeline.take(at("u", "a", NOW - 20 * DAY), at("u", "a", NOW - 20 * DAY, "purchase"), at("u", "b", NOW - 20 * DAY))
    assert own(recommend, "a") > own(recommend, "b") > 0
    with running(installation, event_types="view=1,purchase=-3") as negative:
        assert own(negative, "b") > 0.1
        assert own(negative, "a") == pytest.approx(0, abs=1e-12)
        parts = negative.get("/v1/users/u/items/a/why")["parts"]
        assert min(part["contribution"] for part in parts) >= 0


def own(service: Recommend, item: str) -> float:
    """What an item's score has from the user's own signals on it."""
    parts = service.get(f"/v1/users/u/items/{item}/why")["parts"]
    return float(sum(part["contribution"] for part in parts if part["code"] == "own_signal"))
