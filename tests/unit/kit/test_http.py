"""The edge and the error answers that every HTTP service shares."""

import asyncio
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pytest
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from fakes.asgi import Answer, call
from whence.domain.errors import BrokenInvariant, DependencyUnavailable, FieldProblem, InvalidEvent, OutcomeUnknown
from whence.kit.body_limits import EdgeLimits
from whence.kit.health import Readiness
from whence.kit.http import About, Application, create_app, make_metrics
from whence.kit.parameters import PathId, Route

router = APIRouter(prefix="/v1", route_class=Route)


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str = Field(max_length=5)
    tags: list[str] = []


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: int = Field(10, ge=1, le=50)
    tag: list[str] = []


@router.get("/users/{user_id}/things")
async def things(user_id: PathId, options: Annotated[Options, Query()]) -> dict[str, object]:
    return {"user_id": user_id, "limit": options.limit, "tag": options.tag}


@router.put("/things/{thing_id}")
async def put_thing(thing_id: PathId, thing: Thing) -> dict[str, str]:
    return {"thing_id": thing_id, "title": thing.title}


@router.delete("/things/{thing_id}")
async def delete_thing(thing_id: PathId) -> dict[str, str]:
    return {"thing_id": thing_id}


@router.post("/raw")
async def raw(request: Request) -> dict[str, int]:
    return {"bytes": len(await request.body())}


@router.get("/hangs")
async def hangs() -> None:
    await asyncio.Event().wait()


@router.get("/fails/{how}")
async def fails(how: Literal["unavailable", "unknown", "event", "bug", "crash"]) -> None:
    raise {
        "unavailable": DependencyUnavailable("postgresql", "secret host and password"),
        "unknown": OutcomeUnknown("postgresql", "secret host and password"),
        "event": InvalidEvent([FieldProblem("user_id", "is missing", 3)]),
        "bug": BrokenInvariant("secret"),
        "crash": RuntimeError("secret"),
    }[how]


async def _fine() -> None:
    """A check that passes."""


def service(keys: Sequence[str] = (), limits: EdgeLimits | None = None) -> Application:
    about = About("thing", "Things", "A service for tests.")
    return create_app(about, [router], make_metrics("thing", [router], []), Readiness({"store": _fine}), keys, limits)


def series(app: Application) -> str:
    return app.metrics.render()[0].decode()


def fields(answer: Answer) -> dict[str, str]:
    return {error["field"]: error["problem"] for error in answer.json()["errors"]}


def assert_problem(answer: Answer, status: int, slug: str) -> None:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:whence:problem:{slug}"
    assert answer.json()["status"] == status
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_request_id_is_made_or_taken_over_if_harmless() -> None:
    app = service().asgi
    assert re.fullmatch("[0-9a-f]{16}", call(app, "GET", "/livez").headers["x-request-id"])
    assert call(app, "GET", "/livez", headers={"X-Request-ID": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"
    assert call(app, "GET", "/nowhere", headers={"X-Request-ID": "abc"}).headers["x-request-id"] == "abc"
    assert call(app, "GET", "/livez", headers={"X-Request-ID": "a b"}).headers["x-request-id"] != "a b"
    assert len(call(app, "GET", "/livez", headers={"X-Request-ID": "a" * 65}).headers["x-request-id"]) == 16


@pytest.mark.parametrize(
    ("segment", "user_id"), [("u1", "u1"), ("a%2Fb", "a/b"), ("a%3Fb%23", "a?b#"), ("%C3%A9", "é"), ("%2525", "%25")]
)
def test_an_id_in_a_path_is_decoded_after_the_path_is_split(segment: str, user_id: str) -> None:
    assert call(service().asgi, "GET", f"/v1/users/{segment}/things").json()["user_id"] == user_id


@pytest.mark.parametrize("segment", ["%", "%4", "%zz", "%ff", "%00", ".", "..", "%2e%2E", "x" * 257, "%ed%a0%80"])
def test_an_id_that_cannot_be_one_is_named(segment: str) -> None:
    answer = call(service().asgi, "GET", f"/v1/users/{segment}/things")
    assert_problem(answer, 422, "invalid-input")
    assert list(fields(answer)) == ["user_id"]


def test_256_characters_of_four_bytes_are_an_id() -> None:
    assert call(service().asgi, "GET", "/v1/users/" + "%F0%9F%8E%81" * 256 + "/things").status == 200


def test_query_parameters_are_checked_one_by_one() -> None:
    app = service().asgi
    answer = call(app, "GET", "/v1/users/u/things?limit=51&lmit=1&tag=a&tag=b")
    assert list(fields(answer)) == ["lmit"]
    assert "limit, tag" in fields(answer)["lmit"]
    answer = call(app, "GET", "/v1/users/u/things?limit=51")
    assert answer.json()["errors"] == [{"field": "limit", "problem": "must be less than or equal to 50", "limit": 50}]
    assert list(fields(call(app, "GET", "/v1/users/u/things?limit=1&limit=2"))) == ["limit"]
    assert call(app, "GET", "/v1/users/u/things?tag=a&tag=b").json()["tag"] == ["a", "b"]
    assert list(fields(call(app, "DELETE", "/v1/things/t?force=1"))) == ["force"]


def test_a_body_is_checked_field_by_field() -> None:
    app = service().asgi
    json = {"content-type": "application/json"}
    answer = call(app, "PUT", "/v1/things/t", b'{"title": "123456", "tags": ["a", 1], "more": 1}', json)
    assert_problem(answer, 422, "invalid-input")
    assert list(fields(answer)) == ["title", "tags[1]", "more"]
    assert_problem(call(app, "PUT", "/v1/things/t", b'{"title"', json), 400, "malformed")
    assert_problem(call(app, "PUT", "/v1/things/t", b"\xff", json), 400, "malformed")


def test_nothing_there_and_wrong_methods_are_problems() -> None:
    app = service().asgi
    assert_problem(call(app, "GET", "/v2"), 404, "not-found")
    assert_problem(call(app, "GET", "/v1/raw/"), 404, "not-found")
    answer = call(app, "POST", "/v1/things/t")
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "DELETE, PUT"
    assert [name for name, _ in answer.raw_headers].count("allow") == 1


def test_a_dependency_that_is_away_is_a_503_without_its_secrets() -> None:
    answer = call(service().asgi, "GET", "/v1/fails/unavailable")
    assert_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert b"secret" not in answer.body
    assert_problem(call(service().asgi, "GET", "/v1/fails/unknown"), 503, "outcome-unknown")


def test_an_invalid_event_names_its_fields() -> None:
    answer = call(service().asgi, "GET", "/v1/fails/event")
    assert_problem(answer, 422, "invalid-event")
    assert answer.json()["errors"] == [{"field": "user_id", "problem": "is missing", "limit": 3}]


@pytest.mark.parametrize("how", ["bug", "crash"])
def test_our_own_mistakes_say_nothing_but_that(how: str) -> None:
    answer = call(service().asgi, "GET", f"/v1/fails/{how}")
    assert_problem(answer, 500, "internal")
    assert b"secret" not in answer.body


def test_api_keys_open_everything_but_the_probes() -> None:
    app = service(keys=["first", "second"]).asgi
    answer = call(app, "GET", "/v1/users/u/things")
    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
    for header in ("Bearer third", "Basic first", "Bearer", "first", "Bearer first second"):
        assert call(app, "GET", "/v1/users/u/things", headers={"Authorization": header}).status == 401
    for header in ("Bearer first", "bearer second"):
        assert call(app, "GET", "/v1/users/u/things", headers={"Authorization": header}).status == 200
    assert call(app, "GET", "/docs").status == 401
    for path in ("/livez", "/readyz", "/metrics"):
        assert call(app, "GET", path).status == 200


def test_a_body_may_be_as_large_as_its_limit_however_it_is_cut() -> None:
    app = service(limits=EdgeLimits(body_bytes=10, body_bytes_by_path={"/v1/raw": 20})).asgi
    assert call(app, "POST", "/v1/raw", b"x" * 20).json() == {"bytes": 20}
    assert call(app, "POST", "/v1/raw", [b"x" * 7] * 2 + [b"x" * 6]).json() == {"bytes": 20}
    assert_problem(call(app, "POST", "/v1/raw", b"x" * 21), 413, "too-large")
    assert_problem(call(app, "POST", "/v1/raw", [b"x" * 7] * 3), 413, "too-large")
    assert_problem(call(app, "POST", "/v1/raw", [b"x" * 7] * 3, stall=True), 413, "too-large")
    json = {"content-type": "application/json"}
    assert_problem(call(app, "PUT", "/v1/things/t", b'{"title": "1"}', json), 413, "too-large")


def test_a_body_that_never_ends_is_given_up() -> None:
    app = service(limits=EdgeLimits(body_timeout_seconds=0.05)).asgi
    assert_problem(call(app, "POST", "/v1/raw", [b"x"], stall=True), 408, "timeout")


def test_bodies_together_have_a_limit_that_is_given_back() -> None:
    app = service(limits=EdgeLimits(buffered_bytes=10)).asgi
    for _ in range(3):
        assert call(app, "POST", "/v1/raw", b"x" * 10).status == 200
        answer = call(app, "POST", "/v1/raw", [b"x" * 6] * 2)
        assert_problem(answer, 503, "overloaded")
        assert answer.headers["retry-after"] == "1"


def test_requests_are_counted_by_route_template_and_never_by_id() -> None:
    app = service()
    for target in ("/v1/users/u1/things", "/v1/users/u2/things", "/v1/users/%/things", "/v1/nothing", "/livez"):
        call(app.asgi, "GET", target)
    call(app.asgi, "BREW", "/v1/raw")
    found = re.findall(r"http_server_request_duration_seconds_count\{(.*?)\} (\S+)", series(app))
    assert sorted(found) == [
        ('http_request_method="GET",http_response_status_code="200",http_route="/livez"', "1.0"),
        ('http_request_method="GET",http_response_status_code="200",http_route="/v1/users/{user_id}/things"', "2.0"),
        ('http_request_method="GET",http_response_status_code="404",http_route="unmatched"', "1.0"),
        ('http_request_method="GET",http_response_status_code="422",http_route="/v1/users/{user_id}/things"', "1.0"),
        ('http_request_method="_OTHER",http_response_status_code="405",http_route="/v1/raw"', "1.0"),
    ]
    rejected = 'http_server_request_rejected_total{reason="invalid",route="/v1/users/{user_id}/things"} 1.0'
    assert rejected in series(app)
    assert "http_server_active_requests 0.0" in series(app)


def test_the_documentation_page_needs_no_other_host() -> None:
    app = service().asgi
    page = call(app, "GET", "/docs")
    assert page.status == 200
    for source in re.findall(r'(?:src|href)="(.*?)"', page.body.decode()):
        assert call(app, "GET", source).status == 200
    assert b"http" not in page.body
    assert b"SwaggerUIBundle" in call(app, "GET", "/docs/swagger-ui-bundle.js").body
    assert list(call(app, "GET", "/openapi.json").json()["paths"]) == [
        "/v1/users/{user_id}/things",
        "/v1/things/{thing_id}",
        "/v1/raw",
        "/v1/hangs",
        "/v1/fails/{how}",
    ]


def test_a_client_that_leaves_is_no_error_of_ours() -> None:
    app = service()

    async def leave() -> list[int]:
        statuses: list[int] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.disconnect"}

        async def send(message: dict[str, object] | object) -> None:
            assert isinstance(message, dict)
            if message["type"] == "http.response.start":
                statuses.append(int(str(message["status"])))

        scope = {"type": "http", "method": "POST", "path": "/v1/raw", "raw_path": b"/v1/raw", "query_string": b""}
        await app.asgi(scope | {"headers": [], "http_version": "1.1", "scheme": "http"}, receive, send)
        return statuses

    assert asyncio.run(leave()) == [400]


def test_a_stop_that_takes_too_long_answers_what_still_runs() -> None:
    app = service()

    async def stop() -> list[tuple[int, bytes]]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/v1/hangs", "raw_path": b"/v1/hangs", "query_string": b""}
        request = asyncio.ensure_future(
            app.asgi(scope | {"headers": [], "http_version": "1.1", "scheme": "http"}, receive, send)
        )
        while "http_server_active_requests 1.0" not in series(app):
            await asyncio.sleep(0)
        app.asgi.abandon()
        await request
        return [(sent[0]["status"], sent[1]["body"])]

    ((status, body),) = asyncio.run(stop())
    assert status == 503
    assert b"send it again" in body
