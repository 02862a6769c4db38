"""Parameters of HTTP routes: ids in paths, query strings without unknown names, and problems that name the fix."""

import re
from collections.abc import Callable, Coroutine, Iterable, Sequence
from email.message import Message
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

from fastapi import Path, Request, Response
from fastapi.routing import APIRoute
from pydantic import BeforeValidator
from starlette.exceptions import HTTPException

from whence.domain.errors import FieldProblem, InvalidInput
from whence.domain.events import MAX_ID_LENGTH

JSON = "application/json"

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

MAX_QUERY_PARAMETERS = 200
"""`exclude_item` may be repeated; more than this is no question that a page asks."""


def decode_id(segment: str) -> str:
    """The id that one segment of an undecoded path stands for.

    Raises:
        ValueError: With a sentence that says what is wrong with it.
    """
    if _BROKEN_ESCAPE.search(segment):
        raise ValueError("a % must be followed by two hex digits; write a plain % as %25")
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("must be percent-encoded UTF-8") from None
    if problem := id_problem(text):
        raise ValueError(problem)
    return text


def id_problem(text: str) -> str | None:
    """What is wrong with an id, if anything."""
    if not 1 <= len(text) <= MAX_ID_LENGTH:
        return f"must have 1 to {MAX_ID_LENGTH} characters, not {len(text)}"
    if "\x00" in text:
        return "must not contain NUL characters"
    if text in (".", ".."):
        return "must not be . or .., which paths cannot carry"
    return None


PathId = Annotated[str, BeforeValidator(decode_id), Path(min_length=1, max_length=MAX_ID_LENGTH)]
"""An id in a path, percent-encoded UTF-8; it may contain an encoded slash."""


class Route(APIRoute):
    """A route that refuses undeclared query parameters, single ones given twice, and bodies that are not JSON.

    Use it as `APIRouter(route_class=Route)`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler behind the check."""
        handle = super().get_route_handler()
        repeatable = query_parameters(self)
        has_body = self.body_field is not None

        async def handler(request: Request) -> Response:
            if has_body:
                check_content_type(request, [JSON])
            if request.scope["query_string"]:
                check_names([name for name, _ in request.query_params.multi_items()], repeatable)
            return await handle(request)

        return handler


class DirectRoute(Route):
    """A route on a fixed path that reads its request by itself: FastAPI describes it, but need not run it.

    The edge goes straight to its function, which saves about half of the time of a small request. The function takes
    the request alone; it has no parameters, dependencies or body that FastAPI would read.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The function itself behind the check of query parameters."""

        async def handler(request: Request) -> Response:
            if request.scope["query_string"]:
                check_names([name for name, _ in request.query_params.multi_items()], {})
            response: Response = await self.endpoint(request)
            return response

        return handler


def check_content_type(request: Request, allowed: Sequence[str]) -> str:
    """The media type of a request's body.

    Raises:
        HTTPException: 415 if it is none of the allowed ones, or not UTF-8.
    """
    given = request.headers.get("content-type", "")
    if given in allowed:
        return given
    message = Message()
    message["content-type"] = given
    media_type = message.get_content_type() if given else ""
    charset = message.get_content_charset("utf-8")
    if media_type not in allowed or charset not in ("utf-8", "us-ascii"):
        raise HTTPException(415, f"Send the body as `Content-Type: {' or '.join(allowed)}`, in UTF-8.")
    return media_type


def query_parameters(route: APIRoute) -> dict[str, bool]:
    """The names of a route's query parameters, each with whether it may be repeated."""
    found: dict[str, bool] = {}
    for field in route.dependant.query_params:
        model = getattr(field.field_info.annotation, "model_fields", None)
        if model is None:
            found[field.alias] = _is_list(field.field_info.annotation)
        else:
            found |= {info.alias or name: _is_list(info.annotation) for name, info in model.items()}
    return found


def _is_list(annotation: object) -> bool:
    origin = getattr(annotation, "__origin__", annotation)
    return origin in (list, tuple, set, frozenset)


def check_names(given: Iterable[str], repeatable: dict[str, bool]) -> None:
    """Refuse query parameters that do not exist or that may come only once.

    Raises:
        InvalidInput: With one problem for each.
    """
    names = list(given)
    if len(names) > MAX_QUERY_PARAMETERS:
        raise InvalidInput([FieldProblem("", "too many query parameters", MAX_QUERY_PARAMETERS)])
    problems = []
    for name in dict.fromkeys(names):
        if name not in repeatable:
            known = ", ".join(sorted(repeatable)) or "none"
            problems.append(FieldProblem(name, f"there is no such query parameter here; known: {known}"))
        elif names.count(name) > 1 and not repeatable[name]:
            problems.append(FieldProblem(name, "is given more than once; give it once", 1))
    if problems:
        raise InvalidInput(problems)


def field_problems(errors: Iterable[dict[str, Any]]) -> list[FieldProblem]:
    """Pydantic's errors in our words: the field as the client wrote it, what would be right, and the limit."""
    return [FieldProblem(_field(error["loc"]), _sentence(error), _limit(error.get("ctx", {}))) for error in errors]


def _field(location: tuple[str | int, ...]) -> str:
    """`("body", "items", 3, "title")` as `items[3].title`."""
    parts = location[1:] if location and location[0] in ("body", "query", "path", "header") else location
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _sentence(error: dict[str, Any]) -> str:
    kind = error["type"]
    if kind == "missing":
        return "is missing; it is required"
    if kind == "extra_forbidden":
        return "there is no such field; remove it"
    message = str(error["msg"]).removeprefix("Value error, ").replace("valid list", "list", 1)
    # pydantic speaks of "Input" or of the kind of value ("String should have at least 1 character").
    _, should, wish = message.partition(" should ")
    return f"must {wish}" if should else message


def _limit(context: dict[str, Any]) -> int | float | str | None:
    for name in ("le", "lt", "ge", "gt", "max_length", "min_length", "expected", "multiple_of"):
        if name in context:
            limit = context[name]
            return limit if isinstance(limit, int | float | str) else str(limit)
    return None
