"""The routes of ingest: take the body as bytes, hand it to the acceptor, answer when the log has it."""

from collections.abc import Awaitable, Sequence
from http import HTTPStatus
from typing import Annotated

import msgspec
import structlog
from fastapi import APIRouter, Query, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import Scope

from whence.domain.errors import InvalidInput, OutcomeUnknown
from whence.domain.event_checks import MAX_BACKFILL_NAME_LENGTH, check_backfill_name
from whence.domain.events import LoggedEvent
from whence.ingest.accept import Acceptor, BatchOutcome, Entry, NotLogged
from whence.ingest.bodies import JSON_LINES, batch_entries
from whence.ingest.schemas import BatchAnswer, EventAccepted
from whence.kit.openapi import problem_responses, request_body
from whence.kit.parameters import JSON, DirectRoute, Route, check_content_type
from whence.kit.problems import input_problem, problem_response, unavailable_problem
from whence.kit.short_cut import Take

EVENTS_PATH = "/v1/events"
BATCH_PATH = "/v1/events/batch"

_NOT_LOGGED = "The log does not take it now, or its answer was lost (`outcome-unknown`): send it again"
_BACKFILL_NOTE = (
    "The name of the backfill that these events belong to. Its events may be of any age and need an event_id; a "
    "repeat under the same name is recognised for good."
)

_encode = msgspec.json.Encoder().encode


def event_routers(acceptor: Acceptor | None) -> list[APIRouter]:
    """The routes; without an acceptor only good for their description."""
    return [_single_router(acceptor), _batch_router(acceptor)]


def _single_router(acceptor: Acceptor | None) -> APIRouter:
    router = APIRouter(route_class=DirectRoute)

    @router.post(
        EVENTS_PATH,
        status_code=202,
        response_model=EventAccepted,
        summary="Take one event",
        openapi_extra=request_body("Event"),
        responses=problem_responses(
            {
                400: "The body is not JSON.",
                413: "The body is too large.",
                415: "The body is of another content type.",
                422: "The event breaks a rule; `errors` names each field.",
                503: f"{_NOT_LOGGED} with the `event_id` of this problem.",
            }
        ),
    )
    async def take_event(request: Request) -> Response:
        """Answers when the log has the event: from then on it is not lost, and a list read with `after` knows it."""
        check_content_type(request, [JSON])
        ready = _ready(acceptor)
        answer = await _take(ready, ready.check(await request.body()), request.scope)
        return answer if isinstance(answer, Response) else Response(answer, 202, media_type=JSON)

    return router


def single_short_cut(acceptor: Acceptor) -> Take:
    """What takes one valid event without FastAPI; the answers are the same."""

    def take(raw: bytes, scope: Scope) -> Awaitable[bytes | Response] | None:
        event = acceptor.valid(raw)
        return None if event is None else _take(acceptor, event, scope)

    return take


async def _take(acceptor: Acceptor, event: LoggedEvent, scope: Scope) -> bytes | Response:
    """The body of a 202, or the answer that the event is not logged."""
    try:
        accepted = await acceptor.accept(event)
    except NotLogged as error:
        structlog.get_logger().warning("not logged", reason=str(error), request_id=scope["request_id"])
        return problem_response(unavailable_problem(error.cause, {"event_id": error.event_id}), scope)
    return _encode(accepted)


def _batch_router(acceptor: Acceptor | None) -> APIRouter:
    router = APIRouter(route_class=Route)

    @router.post(
        BATCH_PATH,
        response_model=BatchAnswer,
        response_model_exclude_unset=True,
        summary="Take up to 1,000 events",
        openapi_extra=request_body("Batch", JSON_LINES),
        responses=problem_responses(
            {
                400: "The body is not JSON.",
                413: "Too many events or bytes at once.",
                415: "The body is of another content type.",
                422: "The body is not a batch. (An event that breaks a rule is named in the answer.)",
                503: f"No event was logged; send the batch again with the ids of `results`. {_NOT_LOGGED}.",
            }
        ),
    )
    async def take_batch(
        request: Request,
        backfill: Annotated[
            str | None, Query(min_length=1, max_length=MAX_BACKFILL_NAME_LENGTH, description=_BACKFILL_NOTE)
        ] = None,
    ) -> Response:
        """Judges each event on its own: a bad one never spoils the others. As JSON or as JSON lines."""
        media_type = check_content_type(request, [JSON, JSON_LINES])
        name = check_backfill_name(backfill) if backfill is not None else None
        entries = batch_entries(await request.body(), media_type)
        return await _take_batch(_ready(acceptor), entries, name, request.scope)

    return router


def batch_short_cut(acceptor: Acceptor) -> Take:
    """What takes a batch of live events as JSON without FastAPI; the answers are the same."""

    def take(raw: bytes, scope: Scope) -> Awaitable[Response] | None:
        try:
            entries = batch_entries(raw, JSON)
        except (InvalidInput, HTTPException):
            return None
        return _take_batch(acceptor, entries, None, scope)

    return take


async def _take_batch(acceptor: Acceptor, entries: Sequence[Entry], backfill: str | None, scope: Scope) -> Response:
    return _batch_answer(await acceptor.accept_batch(entries, backfill), scope)


def _ready(acceptor: Acceptor | None) -> Acceptor:
    if acceptor is None:
        raise RuntimeError("these routes were made for their description only")
    return acceptor


def _batch_answer(outcome: BatchOutcome, scope: Scope) -> Response:
    results = [_result(index, entry, outcome) for index, entry in enumerate(outcome.checked)]
    if failure := outcome.failure:
        structlog.get_logger().warning("not logged", reason=str(failure), request_id=scope["request_id"])
        if not isinstance(failure, OutcomeUnknown):
            return problem_response(unavailable_problem(failure, {"results": results}), scope)
    accepted = [result["status"] for result in results].count(HTTPStatus.ACCEPTED)
    rejected = len(results) - accepted
    body = {"accepted": accepted, "rejected": rejected, "token": outcome.token, "results": results}
    return Response(_encode(body), 200, media_type=JSON)


def _result(index: int, entry: LoggedEvent | InvalidInput, outcome: BatchOutcome) -> dict[str, object]:
    if isinstance(entry, InvalidInput):
        problem = input_problem(entry)
        return {"index": index, "status": problem.status, "problem": problem.as_dict()}
    if outcome.failure is not None and index in outcome.missing:
        problem = unavailable_problem(outcome.failure)
        return {"index": index, "status": 503, "event_id": entry.event_id, "problem": problem.as_dict()}
    return {"index": index, "status": 202, "event_id": entry.event_id}
