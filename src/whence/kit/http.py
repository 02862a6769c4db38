"""One way to make the HTTP application of a service: FastAPI inside, the edge outside, problems for every error."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from whence import __version__
from whence.domain.errors import DependencyUnavailable, InvalidInput
from whence.kit.body_limits import EdgeLimits
from whence.kit.docs_page import DOCS_PATHS, docs_routes
from whence.kit.edge import EDGE_METRICS, Edge
from whence.kit.health import HEALTH_PATHS, Readiness
from whence.kit.health_routes import health_routes
from whence.kit.metrics import Metric, Metrics
from whence.kit.openapi import complete
from whence.kit.parameters import DirectRoute, field_problems
from whence.kit.problems import (
    INTERNAL,
    Problem,
    input_problem,
    problem_of_status,
    problem_response,
    unavailable_problem,
)
from whence.kit.requests import route_values
from whence.kit.short_cut import Take

OPENAPI_PATH = "/openapi.json"


@dataclass(frozen=True, slots=True)
class About:
    """What a service says of itself in its API description.

    Attributes:
        schemas: Component schemas of bodies that routes read by themselves.
    """

    service: str
    title: str
    description: str
    schemas: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Application:
    """A service's HTTP application.

    Attributes:
        asgi: What a server runs.
        api: The FastAPI application inside, for its description.
        metrics: Where the service counts.
        readiness: What `/readyz` asks.
    """

    asgi: Edge
    api: FastAPI
    metrics: Metrics
    readiness: Readiness


def make_metrics(
    service: str,
    routers: Sequence[APIRouter],
    declared: Sequence[Metric],
    values: Mapping[str, Sequence[str]] | None = None,
) -> Metrics:
    """The registry of an HTTP service: its own metrics and those of the edge, with a label value for each route."""
    templates = [route.path for router in routers for route in router.routes if isinstance(route, APIRoute)]
    templates += [OPENAPI_PATH, *HEALTH_PATHS, *DOCS_PATHS]
    return Metrics(service, [*EDGE_METRICS, *declared], {**(values or {}), **route_values(templates)})


def describe_api(about: About, routers: Sequence[APIRouter]) -> FastAPI:
    """The FastAPI application of some routers, without anything that it would need to answer.

    The routers' routes are taken over as they are: `include_router` would wrap each in a context of its own, which
    costs time on every request and hides the prefix from the route label. So a prefix belongs on the router object.
    """
    api = FastAPI(
        title=about.title,
        description=about.description,
        version=__version__,
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        exception_handlers=_HANDLERS,
        routes=[route for router in routers for route in router.routes],
    )
    api.router.routes.extend(docs_routes(about.title))
    complete(api, about.schemas)
    return api


def create_app(
    about: About,
    routers: Sequence[APIRouter],
    metrics: Metrics,
    readiness: Readiness,
    keys: Sequence[str] = (),
    limits: EdgeLimits | None = None,
    short_cuts: Mapping[str, Take] | None = None,
) -> Application:
    """The whole HTTP application of a service.

    Args:
        about: Its name and description.
        routers: Its routes; make them with `route_class=whence.kit.parameters.Route`.
        metrics: From `make_metrics`.
        readiness: What `/readyz` asks.
        keys: The API keys, any of which opens all routes; none leaves them open.
        limits: Of bodies, where the defaults do not fit.
        short_cuts: Functions that answer the usual POSTs to a path themselves, as its route would.
    """
    api = describe_api(about, routers)
    api.router.routes.extend(health_routes(readiness, metrics))
    edge = Edge(api, metrics, keys, limits or EdgeLimits(), direct_answers(api), short_cuts)
    return Application(edge, api, metrics, readiness)


def direct_answers(api: FastAPI) -> dict[tuple[str, str], ASGIApp]:
    """The way past FastAPI to each `DirectRoute`, by method and path; errors become the same answers there."""
    handlers = {kind: handler for kind, handler in _HANDLERS.items() if kind is not Exception}  # the edge logs the rest
    return {
        (method, route.path): ExceptionMiddleware(_direct(api, route), handlers)
        for route in api.router.routes
        if isinstance(route, DirectRoute)
        for method in route.methods or ()
    }


def _direct(api: FastAPI, route: DirectRoute) -> ASGIApp:
    answer = route.get_route_handler()

    async def direct(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"], scope["route"] = api, route
        response = await answer(Request(scope, receive, send))
        await response(scope, receive, send)

    return direct


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidInput)  # noqa: S101  # Starlette's handlers are typed for any error
    return problem_response(input_problem(error), request.scope)


async def _invalid_parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        problem = Problem("malformed", 400, f"The body is not JSON: {first['ctx']['error']}.")
    else:
        problem = input_problem(InvalidInput(field_problems(error.errors())))
    return problem_response(problem, request.scope)


async def _unavailable(request: Request, error: Exception) -> Response:
    assert isinstance(error, DependencyUnavailable)  # noqa: S101
    structlog.get_logger().warning("dependency unavailable", reason=str(error), request_id=request.scope["request_id"])
    return problem_response(unavailable_problem(error), request.scope)


async def _status(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    detail = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"No route answers this path; {OPENAPI_PATH} lists all."
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = ", ".join(_allowed_methods(request))
        detail = f"The path does not know {request.method}; it knows {headers['allow']}."
    problem = Problem(problem_of_status(error.status_code), error.status_code, detail)
    return problem_response(problem, request.scope, headers)


async def _cut_short(request: Request, _: Exception) -> Response:
    return problem_response(Problem("malformed", 400, "The body ended too early."), request.scope)


async def _internal(request: Request, _: Exception) -> Response:
    return problem_response(INTERNAL, request.scope)


def _allowed_methods(request: Request) -> list[str]:
    """What the path of this request does answer; FastAPI itself names one route's methods only."""
    routes: list[BaseRoute] = request.app.router.routes
    methods: set[str] = set()
    for route in routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return sorted(methods)


_HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    InvalidInput: _invalid,
    RequestValidationError: _invalid_parameters,
    DependencyUnavailable: _unavailable,
    HTTPException: _status,
    ClientDisconnect: _cut_short,
    Exception: _internal,
}
