"""Dead letters are listed, shown, replayed once and discarded, by the real program."""

import base64
import json
from typing import Any

from integration.aggregate.support import Running, Shop, event, record
from program import Program
from whence.eventlog.port import NewRecord

TYPES = "view=1,click=2,cart=3,purchase=5,dismiss=0"


def settings(shop: Shop) -> dict[str, str]:
    return {"WHENCE_DATABASE_URL": shop.installation.url, "WHENCE_NAMESPACE": shop.installation.namespace}


def told(program: Program, shop: Shop, *words: str, code: int = 0, types: str = TYPES) -> dict[str, Any]:
    done = program.run("dead-letters", *words, "--json", **settings(shop), WHENCE_EVENT_TYPES=types)
    assert done.returncode == code, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def place_of(shop: Shop, reason: str) -> str:
    partition, offset = shop.rows('SELECT partition, "offset" FROM dead_letter WHERE reason = %s', reason)[0]
    return f"{partition}:{offset}"


def test_letters_are_listed_shown_replayed_once_and_discarded(
    shop: Shop, aggregator: Running, program: Program
) -> None:
    good = record(event("u1", "a", "1"))
    wink = record(event("u1", "a", "2", "wink"))
    shop.append_records(
        [
            NewRecord((good.partition + 1) % 16, good.key, good.value),
            wink,
            NewRecord(good.partition, b"u1", b"\xff\x1b[31m broken"),
            record({**event("u2", "a", ""), "received_at": "2024-03-04T12:00:00Z"}),
        ]
    )
    aggregator.drain(shop)
    assert shop.books() == (0, 0, 4, 0)

    listed = told(program, shop, "list")
    assert listed["total"] == 4
    plain = program.run("dead-letters", "list", **settings(shop))
    assert "wrong_partition" in plain.stdout
    assert "4 of 4" in plain.stdout
    broken = told(program, shop, "show", place_of(shop, "undecodable"))
    assert base64.b64decode(str(broken["value_base64"])) == b"\xff\x1b[31m broken"
    shown = program.run("dead-letters", "show", place_of(shop, "undecodable"), **settings(shop)).stdout
    assert "\x1b" not in shown
    assert "broken" in shown

    refused = told(program, shop, "replay", "--all", code=1)
    assert len(refused["replayed"]) == 2
    assert len(refused["refused"]) == 2
    aggregator.drain(shop)
    assert shop.counts() == {("u1", "a", "view"): 1, ("u2", "a", "view"): 1}
    assert shop.value("SELECT max(last_event_at)::text FROM partition_position") == "2024-03-04 12:00:00+00"

    shop.append(event("u1", "a", "1"))
    aggregator.drain(shop)
    assert shop.counts()["u1", "a", "view"] == 1, "the replay carries the event's own id"

    wider = "view=1,wink=1"
    again = told(program, shop, "replay", place_of(shop, "unknown_event_type"), types=wider)
    assert len(again["replayed"]) == 1
    told(program, shop, "replay", place_of(shop, "unknown_event_type"), code=1, types=wider)
    told(program, shop, "discard", place_of(shop, "undecodable"))
    assert told(program, shop, "list")["total"] == 0
    assert told(program, shop, "list", "--of", "all")["total"] == 4


def test_a_replay_that_was_cut_off_counts_once(shop: Shop, aggregator: Running, program: Program) -> None:
    good = record(event("u1", "a", "1"))
    shop.append_records([NewRecord((good.partition + 1) % 16, good.key, good.value)])
    aggregator.drain(shop)
    place = place_of(shop, "wrong_partition")
    for _ in range(2):
        told(program, shop, "replay", place)
        shop.connection.execute("UPDATE dead_letter SET state = 'pending'")
    aggregator.drain(shop)
    assert shop.counts() == {("u1", "a", "view"): 1}


def test_wrong_use_is_named(shop: Shop, program: Program) -> None:
    for words, says in [
        (["show", "3"], "partition:offset"),
        (["show", "3:5"], "no dead letter at 3:5"),
        (["replay"], "--all"),
        (["discard", "1:1", "--all"], "--all"),
    ]:
        done = program.run("dead-letters", *words, **settings(shop))
        assert done.returncode == 2, words
        assert says in done.stderr
        assert "Traceback" not in done.stderr


def test_reconcile_answers_with_the_rows_and_exit_codes(shop: Shop, aggregator: Running, program: Program) -> None:
    shop.append(event("u1", "a", "1"), event("u2", "a", "1"))
    aggregator.drain(shop)
    fine = program.run("reconcile", "--json", **settings(shop))
    assert (fine.returncode, json.loads(fine.stdout)["differences"]) == (0, 0)
    shop.connection.execute("UPDATE signal SET count = 7")
    bad = program.run("reconcile", "--user", "u1", "--json", **settings(shop))
    answer = json.loads(bad.stdout)
    assert (bad.returncode, answer["differences"]) == (1, 1)
    assert answer["rows"] == [
        {"kind": "signal", "where": "user 'u1', item 'a', view", "field": "count", "expected": 1, "found": 7}
    ]
    plain = program.run("reconcile", "--sample", "5", **settings(shop))
    assert plain.returncode == 1
    assert "count is 7, the log says 1" in plain.stdout
    assert program.run("reconcile", "--sample", "5", "--user", "u1", **settings(shop)).returncode == 2
