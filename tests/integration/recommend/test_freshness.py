"""`after=`: waiting for events that the client knows of, bounded, and only for its own partitions."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from conftest import Installation
from integration.aggregate.support import Shop as Log
from integration.aggregate.support import event
from integration.aggregate.support import running as aggregating
from integration.recommend.live import Recommend
from whence.domain.partition import partition_of

LOG_ID = "0123abcd"
MINE = partition_of(b"u", 16)


def stand(database: psycopg.Connection, **next_offsets: int) -> None:
    """Say that the partitions `p<number>` of the log stand there."""
    database.execute("INSERT INTO aggregated_log (log_id, partitions) VALUES (%s, 16) ON CONFLICT DO NOTHING", [LOG_ID])
    for name, offset in next_offsets.items():
        database.execute(
            "INSERT INTO partition_position (partition, log_id, base_offset, next_offset, applied) "
            "VALUES (%(p)s, %(log)s, 0, %(n)s, %(n)s) "
            "ON CONFLICT (partition) DO UPDATE SET next_offset = %(n)s, applied = %(n)s",
            {"p": int(name[1:]), "log": LOG_ID, "n": offset},
        )


def mine(offset: int) -> dict[str, int]:
    return {f"p{MINE}": offset}


@contextmanager
def timed() -> Iterator[list[float]]:
    started, seconds = time.monotonic(), [0.0]
    yield seconds
    seconds[0] = time.monotonic() - started


def test_the_answer_carries_the_token_of_its_state(database: psycopg.Connection, recommend: Recommend) -> None:
    stand(database, **mine(7))
    database.execute("UPDATE partition_position SET last_event_at = '2026-11-27T11:00:00Z'")
    assert recommend.ask("u")["freshness"] == {
        "token": f"{LOG_ID}.{MINE}:7", "last_event_at": "2026-11-27T11:00:00Z",
    }  # fmt: skip
    session = next(f"s{n}" for n in range(100) if partition_of(f"s{n}".encode(), 16) == (MINE + 1) % 16)
    both = recommend.ask("u", f"session={session}")["freshness"]["token"]
    assert sorted(both.split(".")[1].split(",")) == sorted([f"{MINE}:7", f"{(MINE + 1) % 16}:0"])


def test_a_state_that_is_there_already_is_not_waited_for(database: psycopg.Connection, recommend: Recommend) -> None:
    stand(database, **mine(7))
    answer = recommend.ask("u", f"after={LOG_ID}.{MINE}:7")
    assert answer["degraded"] is None


def test_a_state_that_comes_is_waited_for(database: psycopg.Connection, recommend: Recommend) -> None:
    stand(database, **mine(7))

    async def ask_and_advance() -> list[str | None]:
        target = f"/v1/users/u/recommendations?after={LOG_ID}.{MINE}:9"
        asked = [asyncio.create_task(recommend.exchange("GET", target)) for _ in range(50)]
        await asyncio.sleep(0.2)
        assert not any(task.done() for task in asked)
        await asyncio.to_thread(stand, database, **mine(9))
        return [(await task).json() for task in asked]

    answers = recommend.run(ask_and_advance())
    assert {answer["degraded"] for answer in answers} == {None}  # type: ignore[index]
    assert {answer["freshness"]["token"] for answer in answers} == {f"{LOG_ID}.{MINE}:9"}  # type: ignore[index]


def test_a_state_that_does_not_come_is_marked_as_stale(database: psycopg.Connection, recommend: Recommend) -> None:
    stand(database, **mine(7))
    with timed() as seconds:
        answer = recommend.ask("u", f"after={LOG_ID}.{MINE}:8")
    assert answer["degraded"] == "stale"
    assert seconds[0] >= 2.0
    text = recommend.send("GET", "/metrics").body.decode()
    assert 'whence_recommendations_degraded_total{cause="stale"} 1.0' in text


def test_a_token_before_anything_was_aggregated_is_stale(recommend: Recommend) -> None:
    assert recommend.ask("u", f"after={LOG_ID}.{MINE}:1")["degraded"] == "stale"


def test_a_token_of_another_log_is_not_waited_for(database: psycopg.Connection, recommend: Recommend) -> None:
    stand(database, **mine(7))
    with timed() as seconds:
        answer = recommend.ask("u", f"after=ffffffff.{MINE}:8")
    assert answer["degraded"] == "token_unknown"
    assert seconds[0] < 2.0


def test_partitions_of_other_users_are_not_waited_for(database: psycopg.Connection, recommend: Recommend) -> None:
    stand(database, **mine(7))
    other = (MINE + 1) % 16
    assert recommend.ask("u", f"after={LOG_ID}.{other}:99")["degraded"] is None
    assert recommend.ask("u", f"after={LOG_ID}.{MINE}:7,{other}:99")["degraded"] is None
    session = next(f"s{n}" for n in range(1_000) if partition_of(f"s{n}".encode(), 16) == other)
    assert recommend.ask("u", f"after={LOG_ID}.{other}:99&session={session}")["degraded"] == "stale"


def test_positions_of_a_log_that_was_replaced_do_not_count(database: psycopg.Connection, recommend: Recommend) -> None:
    stand(database, **mine(7))
    database.execute("UPDATE aggregated_log SET log_id = 'aaaaaaaa'")
    answer = recommend.ask("u", f"after=aaaaaaaa.{MINE}:3")
    assert (answer["degraded"], answer["freshness"]["token"]) == ("stale", f"aaaaaaaa.{MINE}:0")


def test_an_event_changes_its_users_list(installation: Installation, recommend: Recommend) -> None:
    log = Log(installation)
    with aggregating(installation) as aggregator:
        log.append(event("u", "i1", "e1"), event("u", "i1", "e2", "purchase"), event("u", "i1", "e2", "purchase"))
        aggregator.drain(log)
        token = f"{aggregator.log.log_id}.{MINE}:3"
        answer = recommend.ask("u", f"after={token}&explain=full")
        log.append(event("u", "i1", "e3", "dismiss", occurred_at="2024-03-04T12:00:01Z"))
        aggregator.drain(log)
        hidden = recommend.ask("u", f"after={aggregator.log.log_id}.{MINE}:4")
    log.close()
    assert answer["degraded"] is None
    assert answer["freshness"]["token"] == token
    (item,) = answer["items"]
    assert {(p["event_type"], p["count"]) for p in item["evidence"]} == {("view", 1), ("purchase", 1)}
    assert hidden["items"] == []
    signals = recommend.get("/v1/users/u/signals")["signals"]
    assert {(s["event_type"], s["count"]) for s in signals} == {("view", 1), ("purchase", 1), ("dismiss", 1)}
