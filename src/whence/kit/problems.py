"""Problem documents (RFC 9457): the one shape of every error body, and which error becomes which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import msgspec
from starlette.responses import Response
from starlette.types import Scope

from whence.domain.errors import (
    DependencyUnavailable,
    FieldProblem,
    InvalidEvent,
    InvalidInput,
    MalformedInput,
    OutcomeUnknown,
)

MEDIA_TYPE = "application/problem+json"

TYPE_PREFIX = "urn:whence:problem:"
"""Types are names, not addresses: nothing is to be fetched from them, and they never change."""

RETRY_AFTER_SECONDS = 1
"""What we ask a client to wait after a 503: our own connections are tried anew about once a second."""

MAX_ERRORS = 50
"""Wrong fields named in one document; a client that breaks more has seen enough to look into its code."""

TITLES = {
    "malformed": "The request cannot be read",
    "unauthenticated": "An API key is needed",
    "not-found": "There is nothing here",
    "expired": "It is no longer kept",
    "method-not-allowed": "The path does not know this method",
    "timeout": "The request took too long to arrive",
    "too-large": "The request is too large",
    "unsupported-media-type": "The content type is not one that is read here",
    "invalid-input": "A value is not acceptable",
    "invalid-event": "The event is not acceptable",
    "internal": "The service made a mistake",
    "unavailable": "Something that this service needs does not answer",
    "outcome-unknown": "Whether the request took effect is unknown",
    "overloaded": "The service has too much to do",
}
"""All problem types with their titles."""

_BY_STATUS = {
    400: "malformed",
    401: "unauthenticated",
    404: "not-found",
    405: "method-not-allowed",
    408: "timeout",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid-input",
    503: "overloaded",
}


def problem_of_status(status: int) -> str:
    """The problem type that a bare HTTP status stands for."""
    return _BY_STATUS.get(status, "malformed" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "internal")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem document.

    Attributes:
        slug: The type, a key of `TITLES`.
        status: The HTTP status.
        detail: What happened this time and what to do, for people.
        errors: The fields that are wrong.
        members: Further members, such as `event_id`.
    """

    slug: str
    status: int
    detail: str
    errors: Sequence[FieldProblem] = ()
    members: Mapping[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """The document, ready for JSON."""
        body: dict[str, object] = {
            "type": TYPE_PREFIX + self.slug,
            "title": TITLES[self.slug],
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = [problem.as_dict() for problem in self.errors[:MAX_ERRORS]]
        return body | dict(self.members)


INTERNAL = Problem("internal", 500, "This is our mistake; our log has the details under the request's id.")
"""What a client hears of an error that we did not expect."""


def input_problem(error: InvalidInput) -> Problem:
    """The problem of input that is wrong in some fields, or that cannot be read at all."""
    count = len(error.problems)
    detail = str(error) if count == 1 else f"{count} things are wrong; `errors` names each."
    if isinstance(error, MalformedInput):
        return Problem("malformed", 400, detail, error.problems)
    return Problem("invalid-event" if isinstance(error, InvalidEvent) else "invalid-input", 422, detail, error.problems)


def unavailable_problem(error: DependencyUnavailable, members: Mapping[str, object] | None = None) -> Problem:
    """The problem while a dependency is away. Names the dependency; its own words stay in our logs."""
    if isinstance(error, OutcomeUnknown):
        detail = f"{error.dependency} did not answer in time; send the same again."
        return Problem("outcome-unknown", 503, detail, members=members or {})
    detail = f"{error.dependency} does not answer now; nothing was changed; send the same again later."
    return Problem("unavailable", 503, detail, members=members or {})


def problem_response(problem: Problem, scope: Scope, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that carries a problem; a 401 names the scheme, a 503 asks to come back."""
    body = problem.as_dict() | {"request_id": scope["request_id"]}
    more = _HEADERS.get(problem.status, {}) | dict(headers or {})
    return Response(msgspec.json.encode(body), problem.status, media_type=MEDIA_TYPE, headers=more)


_HEADERS = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": str(RETRY_AFTER_SECONDS)}}
