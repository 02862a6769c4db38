"""The short cuts of ingest answer as the long way does, whatever comes in."""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.asgi import Answer, call, exchange
from fakes.eventlog import MemoryAppender, MemoryLog
from unit.ingest.test_routes import JSON, LINES, NOW, PARTITIONS, TYPES, StandingClock, silent_app
from whence.eventlog.port import NewRecord
from whence.ingest.app import LIMITS, build_app
from whence.kit.edge import Edge
from whence.kit.http import Application

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

texts = st.sampled_from(["u1", "ü", "", ".", "..", "a\x00b", "x" * 256, "x" * 257, 5, None, True])
fields = st.fixed_dictionaries(
    {},
    optional={
        "event_type": st.sampled_from(["view", "purchase", "wink", "", None, 3]),
        "item_id": texts,
        "user_id": texts,
        "session_id": texts,
        "event_id": texts,
        "occurred_at": st.sampled_from([NOW.isoformat(), "2026-10-02T00:00:00Z", "2026-10-03T12:00:00", "soon", None]),
        "value": st.sampled_from([1, -2.5, float("nan"), "1"]),
        "quantity": st.sampled_from([1, 0, 10**400]),
        "position": st.sampled_from([0, -1, 1.5]),
        "surface": texts,
        "context": st.sampled_from([{}, {"a": [1]}, {"a": "x" * 2_100}, [], None]),
        "more": st.just(1),
    },
)
usual = {"event_type": "view", "user_id": "u1", "item_id": "i1", "event_id": "e1"}
events: st.SearchStrategy[object] = st.one_of(
    fields, fields.map(lambda changes: usual | changes), st.just(usual), st.just([])
)
bodies = st.one_of(
    events.map(json.dumps),
    st.lists(events, max_size=4).map(lambda batch: json.dumps({"events": batch})),
    st.sampled_from(["", "{", "\ud800", '{"events": 5}', " " * 70_000, json.dumps(usual) + " " * 10_240]),
).map(lambda text: text.encode("utf-8", "surrogatepass"))
headers = st.sampled_from(
    [
        JSON,
        JSON,
        LINES,
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/json; charset=utf-8"},
        JSON | {"authorization": "Bearer key"},
        JSON | {"x-request-id": "not harmless"},
    ]
)
targets = st.sampled_from(
    ["/v1/events", "/v1/events/batch", "/v1/events?x=1", "/v1/events/batch?backfill=b", "/v1/%65vents"]
)


def outcome(
    state: str, short: bool, keys: list[str], method: str, target: str, body: bytes | list[bytes], given: dict[str, str]
) -> tuple[Any, ...]:
    """All that a request leaves behind, with ids that were made for it told apart from nothing else."""
    log = MemoryLog(PARTITIONS)
    log.log_id, log.down = "00000000", state == "down"
    app = silent_app(log) if state == "silent" else build_app(MemoryAppender(log), TYPES, StandingClock(), keys)
    outermost = app.asgi if short else Edge(app.api, app.metrics, keys, LIMITS)
    answer = call(outermost, method, target, body, given)
    return _told(answer), _counted(app), [_UUID.sub("made", record.value.decode()) for record in _records(log)]


def _told(answer: Answer) -> tuple[Any, ...]:
    request_id = answer.headers["x-request-id"]
    told = [(name, value.replace(request_id, "id")) for name, value in sorted(answer.raw_headers)]
    return answer.status, told, _UUID.sub("made", answer.body.decode().replace(request_id, "id"))


def _counted(app: Application) -> list[str]:
    lines = app.metrics.render()[0].decode().splitlines()
    return [line for line in lines if re.match(r"(whence_events|http_server).*(_total|_count|_requests)\b", line)]


def _records(log: MemoryLog) -> list[Any]:
    return [record for lane in log.records.values() for record in lane]


@pytest.mark.parametrize("state", ["up", "down", "silent"])
@given(
    method=st.sampled_from(["POST", "POST", "POST", "PUT", "GET"]),
    target=targets,
    body=bodies,
    given_headers=headers,
    keys=st.sampled_from([[], [], ["key"]]),
    pieces=st.booleans(),
)
def test_both_ways_answer_alike(
    state: str,
    method: str,
    target: str,
    body: bytes,
    given_headers: dict[str, str],
    keys: list[str],
    pieces: bool,
) -> None:
    keys = [] if state == "silent" else keys
    sent = [body[:7], body[7:]] if pieces else body
    short, long = (outcome(state, way, keys, method, target, sent, given_headers) for way in (True, False))
    assert short == long


def test_the_usual_request_takes_the_short_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the comparison above would compare the long way with itself."""
    log = MemoryLog(PARTITIONS)
    app = build_app(MemoryAppender(log), TYPES, StandingClock())
    monkeypatch.setattr(app.asgi, "_long_way", None)
    assert call(app.asgi, "POST", "/v1/events", json.dumps(usual).encode(), JSON).status == 202
    batch = json.dumps({"events": [usual, {}]}).encode()
    assert call(app.asgi, "POST", "/v1/events/batch", batch, JSON).status == 200


class SilentAppender(MemoryAppender):
    """A log that takes records and never says so."""

    def __init__(self) -> None:
        super().__init__(MemoryLog(PARTITIONS))
        self.asked = asyncio.Event()

    async def append(self, records: Sequence[NewRecord]) -> list[int]:
        """Take them."""
        self.asked.set()
        await asyncio.Event().wait()
        return [0] * len(records)


@pytest.mark.parametrize(
    ("target", "body"), [("/v1/events", usual), ("/v1/events/batch", {"events": [usual]}), ("/v1/events?", usual)]
)
def test_a_service_that_stops_gives_the_ids_of_what_the_log_may_have(target: str, body: object) -> None:
    """Sent again under another id, an event would count twice."""

    async def go() -> Answer:
        log = SilentAppender()
        app = build_app(log, TYPES, StandingClock()).asgi
        async with asyncio.TaskGroup() as tasks:
            request = tasks.create_task(exchange(app, "POST", target, [json.dumps(body).encode()], JSON, stall=False))
            await log.asked.wait()
            app.abandon()
        return request.result()

    answer = asyncio.run(go())
    document = answer.json()
    entry = document["results"][0] if "results" in document else document
    assert entry["status"] == 503
    assert entry["event_id"] == "e1"
