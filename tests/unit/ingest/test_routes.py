"""Ingest's API over a log in memory: what is answered, and what then lies in the log."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from fakes.asgi import Answer, call
from fakes.eventlog import MemoryAppender, MemoryLog
from whence.domain.errors import OutcomeUnknown, PartlyAppended
from whence.domain.events import LoggedEvent, parse_event_types
from whence.domain.partition import partition_of
from whence.domain.tokens import parse_token
from whence.eventlog.port import NewRecord, Record
from whence.ingest.app import LIMITS, build_app
from whence.ingest.bodies import MAX_BATCH_BYTES
from whence.kit.edge import Edge
from whence.kit.http import Application

NOW = datetime(2026, 10, 3, 12, 0, tzinfo=UTC)
TYPES = parse_event_types("view=1,purchase=5")
JSON = {"content-type": "application/json"}
LINES = {"content-type": "application/x-ndjson"}
PARTITIONS = 4


class StandingClock:
    """Always noon."""

    def now(self) -> datetime:
        return NOW


class Silent(MemoryAppender):
    """Takes records and never says so."""

    async def append(self, records: Sequence[NewRecord]) -> list[int]:
        await super().append(records)
        raise OutcomeUnknown("postgresql", "the answer was lost")


class Halving(MemoryAppender):
    """Takes every second record and does not know what became of the others."""

    async def append(self, records: Sequence[NewRecord]) -> list[int]:
        taken = await super().append(records[::2])
        offsets: list[int | None] = [None] * len(records)
        offsets[::2] = taken
        raise PartlyAppended("kafka", "half of it", offsets)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(PARTITIONS)


@pytest.fixture
def app(log: MemoryLog) -> Application:
    return build_app(MemoryAppender(log), TYPES, StandingClock())


def silent_app(log: MemoryLog) -> Application:
    return build_app(Silent(log), TYPES, StandingClock())


def event(**changes: Any) -> dict[str, Any]:
    return {"event_type": "view", "user_id": "u1", "item_id": "i1"} | changes


def post(app: Application, document: object, headers: dict[str, str] | None = None) -> Answer:
    return call(app.asgi, "POST", "/v1/events", json.dumps(document).encode(), headers or JSON)


def post_batch(app: Application, events: Sequence[object], query: str = "") -> Answer:
    return call(app.asgi, "POST", f"/v1/events/batch{query}", json.dumps({"events": events}).encode(), JSON)


def post_lines(app: Application, *lines: bytes) -> Answer:
    return call(app.asgi, "POST", "/v1/events/batch", b"\n".join(lines), LINES)


def records(log: MemoryLog) -> list[Record]:
    return [record for lane in log.records.values() for record in lane]


def logged(log: MemoryLog) -> list[LoggedEvent]:
    return [msgspec.json.decode(record.value, type=LoggedEvent) for record in records(log)]


def statuses(answer: Answer) -> list[int]:
    return [result["status"] for result in answer.json()["results"]]


def test_an_event_is_in_the_log_when_it_is_answered(app: Application, log: MemoryLog) -> None:
    answer = post(app, event(event_id="e1", context={"a": 1}))
    assert answer.status == 202
    partition = partition_of(b"u1", PARTITIONS)
    assert answer.json() == {"event_id": "e1", "token": f"{log.log_id}.{partition}:1"}
    (record,) = log.records[partition]
    assert record.key == b"u1"
    assert json.loads(record.value) == event(event_id="e1", context={"a": 1}, received_at="2026-10-03T12:00:00Z")


def test_the_token_says_that_everything_below_is_in(app: Application, log: MemoryLog) -> None:
    for number in (1, 2, 3):
        token = parse_token(post(app, event()).json()["token"])
        assert token.offsets == {partition_of(b"u1", PARTITIONS): number}


def test_an_event_without_an_id_gets_one_of_its_own(app: Application, log: MemoryLog) -> None:
    given = {post(app, event()).json()["event_id"] for _ in range(10)}
    assert given == {event.event_id for event in logged(log)}
    assert len(given) == 10


def test_a_user_is_the_key_before_the_session(app: Application, log: MemoryLog) -> None:
    post(app, event(session_id="s1"))
    post(app, {"event_type": "view", "session_id": "s1", "item_id": "i1"})
    assert sorted(record.key for record in records(log)) == [b"s1", b"u1"]


def test_an_invalid_event_writes_nothing(app: Application, log: MemoryLog) -> None:
    answer = post(app, {"event_type": "look", "item_id": "x" * 257})
    assert answer.status == 422
    assert answer.json()["type"] == "urn:whence:problem:invalid-event"
    assert [(error["field"], error.get("limit")) for error in answer.json()["errors"]] == [
        ("user_id", None),
        ("event_type", None),
        ("item_id", 256),
    ]
    assert records(log) == []


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", JSON, 400),
        (b"\xff", JSON, 400),
        (b"[" * 60_000, JSON, 400),
        (b"", JSON, 400),
        (b"{}", {}, 415),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", LINES, 415),
        (b"{}", {"content-type": "application/json; charset=latin-1"}, 415),
        (b"{}", {"content-type": "application/json; charset=UTF-8"}, 422),
        (b'{"value": NaN}', JSON, 422),
        (b" " * 65_537, JSON, 413),
    ],
)
def test_bodies_that_are_no_event(
    app: Application, log: MemoryLog, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = call(app.asgi, "POST", "/v1/events", body, headers)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert records(log) == []


def test_a_log_that_is_down_is_a_503_with_the_id_to_send_again(app: Application, log: MemoryLog) -> None:
    log.down = True
    answer = post(app, event(event_id="e1"))
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["type"] == "urn:whence:problem:unavailable"
    assert answer.json()["event_id"] == "e1"
    made = post(app, event()).json()["event_id"]
    log.down = False
    assert post(app, event(event_id=made)).json()["event_id"] == made


def test_a_lost_answer_is_a_503_that_says_so(log: MemoryLog) -> None:
    answer = post(silent_app(log), event())
    assert answer.status == 503
    assert answer.json()["type"] == "urn:whence:problem:outcome-unknown"
    assert answer.json()["event_id"] == logged(log)[0].event_id


def test_a_bad_entry_never_spoils_the_others(app: Application, log: MemoryLog) -> None:
    answer = post_batch(app, [event(event_id="a"), event(quantity=0), 5, event(event_id="b", user_id="u2")])
    assert answer.status == 200
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (2, 2)
    assert statuses(answer) == [202, 422, 422, 202]
    assert [result["index"] for result in body["results"]] == [0, 1, 2, 3]
    assert [result.get("event_id") for result in body["results"]] == ["a", None, None, "b"]
    assert body["results"][1]["problem"]["errors"] == [{"field": "quantity", "problem": "must be above 0", "limit": 0}]
    touched = {partition_of(key, PARTITIONS) for key in (b"u1", b"u2")}
    assert parse_token(body["token"]).offsets == dict.fromkeys(touched, 2 if len(touched) == 1 else 1)
    assert sorted(str(event.event_id) for event in logged(log)) == ["a", "b"]


def test_the_token_of_a_batch_covers_its_last_event_in_each_partition(app: Application, log: MemoryLog) -> None:
    answer = post_batch(app, [event(user_id=f"u{number % 20}") for number in range(100)])
    assert parse_token(answer.json()["token"]).offsets == {
        partition: len(lane) for partition, lane in log.records.items() if lane
    }


def test_a_batch_without_a_valid_event_has_no_token(app: Application, log: MemoryLog) -> None:
    answer = post_batch(app, [{}, None])
    assert (answer.status, answer.json()["token"], statuses(answer)) == (200, None, [422, 422])
    assert records(log) == []


def test_json_lines_are_judged_line_by_line(app: Application, log: MemoryLog) -> None:
    good = json.dumps(event()).encode()
    answer = post_lines(app, good, b"", b'{"user_id', b"\xff", b" \r", good + b"\r", b'{"value": NaN}', b"")
    assert statuses(answer) == [202, 422, 422, 202, 422]
    assert "must be JSON" in answer.json()["results"][1]["problem"]["errors"][0]["problem"]
    assert len(records(log)) == 2


def test_a_nan_in_one_event_of_a_batch_is_that_events_problem(app: Application, log: MemoryLog) -> None:
    body = b'{"events": [%s, {"value": NaN}, %s]}' % ((json.dumps(event()).encode(),) * 2)
    answer = call(app.asgi, "POST", "/v1/events/batch", body, JSON)
    assert statuses(answer) == [202, 422, 202]
    assert len(records(log)) == 2


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{}", 422, "events"),
        (b"[]", 422, ""),
        (b'{"events": []}', 422, "events"),
        (b'{"events": {}}', 422, "events"),
        (b'{"events": null}', 422, "events"),
        (b'{"events": [{}], "more": 1}', 422, "more"),
        (b'{"events": [', 400, ""),
        (b'{"events": [' + b"[" * 100_000, 400, ""),
    ],
)
def test_bodies_that_are_no_batch(app: Application, body: bytes, status: int, field: str) -> None:
    answer = call(app.asgi, "POST", "/v1/events/batch", body, JSON)
    assert answer.status == status
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_no_lines_are_no_batch(app: Application) -> None:
    assert post_lines(app, b"", b" ").status == 422


def test_a_batch_has_at_most_1000_events(app: Application, log: MemoryLog) -> None:
    lines = [json.dumps(event()).encode()] * 1001
    assert post_batch(app, [event()] * 1001).status == 413
    assert post_lines(app, *lines).status == 413
    assert "1000" in post_lines(app, *lines).json()["detail"]
    assert records(log) == []
    assert post_batch(app, [event()] * 1000).json()["accepted"] == 1000
    assert post_lines(app, *lines[1:]).json()["accepted"] == 1000


def test_the_largest_batch_of_the_largest_events_fits(app: Application) -> None:
    largest = event(context={"x": "y" * 2000}, recommendation_id="🎁" * 256, event_id="é" * 256, surface="🎁" * 256)
    padded = json.dumps(largest, ensure_ascii=False).encode()
    padded += b" " * (10_240 - len(padded))
    assert post_lines(app, *[padded] * 1000).json()["accepted"] == 1000


@pytest.mark.parametrize("unit", [b"1,", b"[],", b"{},", b"\n"])
def test_a_batch_cannot_unfold_into_much_memory(app: Application, unit: bytes) -> None:
    body = b'{"events": [' + unit * ((MAX_BATCH_BYTES - 20) // len(unit)) + b"1]}"
    headers = LINES if unit == b"\n" else JSON
    assert call(app.asgi, "POST", "/v1/events/batch", body, headers).status == 413
    assert call(app.asgi, "POST", "/v1/events/batch", b" " * (MAX_BATCH_BYTES + 1), headers).status == 413


def test_a_backfill_keeps_its_name_and_needs_ids(app: Application, log: MemoryLog) -> None:
    old = event(occurred_at="2020-01-01T00:00:00Z")
    answer = post_batch(app, [old | {"event_id": "e1"}, old], "?backfill=march%202020.csv")
    assert statuses(answer) == [202, 422]
    assert [entry.backfill for entry in logged(log)] == ["march 2020.csv"]
    assert statuses(post_batch(app, [old | {"event_id": "e1"}])) == [422]
    for name in ("", "x" * 65, "%0A", "%00"):
        answer = post_batch(app, [old], f"?backfill={name}")
        assert answer.status == 422
        assert answer.json()["errors"][0]["field"] == "backfill"


def test_a_batch_is_503_as_a_whole_only_if_nothing_was_logged(app: Application, log: MemoryLog) -> None:
    log.down = True
    answer = post_batch(app, [event(event_id="a"), {}, event()])
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert statuses(answer) == [503, 422, 503]
    assert answer.json()["results"][0]["event_id"] == "a"
    assert answer.json()["results"][2]["event_id"]
    assert post_batch(app, [{}, {}]).status == 200


def test_a_batch_whose_outcome_is_unknown_is_answered_event_by_event(log: MemoryLog) -> None:
    answer = post_batch(silent_app(log), [event(event_id="a"), {}])
    assert answer.status == 200
    assert (answer.json()["accepted"], answer.json()["token"]) == (0, None)
    assert statuses(answer) == [503, 422]
    assert answer.json()["results"][0]["event_id"] == "a"
    assert answer.json()["results"][0]["problem"]["type"] == "urn:whence:problem:outcome-unknown"


def test_a_batch_that_is_partly_logged_is_answered_event_by_event(log: MemoryLog) -> None:
    app = build_app(Halving(log), TYPES, StandingClock())
    answer = post_batch(app, [event(event_id="a"), event(event_id="b"), {}, event(event_id="c")])
    assert answer.status == 200
    body = answer.json()
    assert (body["accepted"], body["rejected"], statuses(answer)) == (2, 2, [202, 503, 422, 202])
    assert [result.get("event_id") for result in body["results"]] == ["a", "b", None, "c"]
    assert body["results"][1]["problem"]["type"] == "urn:whence:problem:outcome-unknown"
    assert body["token"] == f"{log.log_id}.{partition_of(b'u1', PARTITIONS)}:2"
    assert sorted(str(entry.event_id) for entry in logged(log)) == ["a", "c"]
    series = app.metrics.render()[0].decode().splitlines()
    assert 'whence_events_accepted_total{event_type="view",transport="batch"} 2.0' in series
    assert 'whence_events_refused_total{reason="unknown",transport="batch"} 1.0' in series


def test_events_are_counted_as_they_were_answered(app: Application, log: MemoryLog) -> None:
    post(app, event(event_type="purchase"))
    post(app, {})
    post_batch(app, [event(), event(), {}])
    log.down = True
    post(app, event())
    series = app.metrics.render()[0].decode().splitlines()
    for line in (
        'whence_events_accepted_total{event_type="purchase",transport="single"} 1.0',
        'whence_events_accepted_total{event_type="view",transport="batch"} 2.0',
        'whence_events_refused_total{reason="invalid",transport="single"} 1.0',
        'whence_events_refused_total{reason="invalid",transport="batch"} 1.0',
        'whence_events_refused_total{reason="unavailable",transport="single"} 1.0',
        "whence_append_duration_seconds_count 3.0",
        'http_server_request_rejected_total{reason="invalid",route="/v1/events"} 1.0',
    ):
        assert line in series


@pytest.mark.parametrize(
    ("method", "target", "body", "headers"),
    [
        ("POST", "/v1/events", json.dumps(event(event_id="e1")).encode(), JSON),
        ("POST", "/v1/events", b"{}", JSON),
        ("POST", "/v1/events", b"{", JSON),
        ("POST", "/v1/events", b"{}", {}),
        ("POST", "/v1/events", b" " * 70_000, JSON),
        ("POST", "/v1/events?x=1&x=2", b"{}", JSON),
        ("POST", "/v1/%65vents", b"{}", JSON),
        ("POST", "/v1/events/", b"{}", JSON),
        ("GET", "/v1/events", b"", {}),
    ],
)
@pytest.mark.parametrize("state", ["up", "down", "silent", "broken"])
def test_the_direct_way_answers_as_fastapi_does(
    method: str, target: str, body: bytes, headers: dict[str, str], state: str
) -> None:
    def answer(direct: bool) -> tuple[Answer, list[str]]:
        log = MemoryLog(PARTITIONS)
        log.log_id, log.down = "00000000", state == "down"
        app = silent_app(log) if state == "silent" else build_app(MemoryAppender(log), TYPES, StandingClock())
        if state == "broken":
            log.records.clear()
        outermost = app.asgi if direct else Edge(app.api, app.metrics, [], LIMITS)
        given = call(outermost, method, target, body, headers | {"x-request-id": "same"})
        series = [line for line in app.metrics.render()[0].decode().splitlines() if "_total" in line and "http" in line]
        return given, series

    assert answer(direct=True) == answer(direct=False)


def test_ready_while_the_log_answers(app: Application, log: MemoryLog) -> None:
    log.down = True
    assert call(app.asgi, "GET", "/readyz").status == 503
    assert call(app.asgi, "GET", "/livez").status == 200
