"""The routes of lists that are the same for everybody, and of lists that were served."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from whence.domain.state import Horizon
from whence.kit.openapi import problem_responses
from whence.kit.parameters import PathId, Route
from whence.kit.problems import Problem, problem_response
from whence.recommend.lists import item_is_known, read_similar, read_trend
from whence.recommend.render import outcome_of
from whence.recommend.responses import json_response, raw_json
from whence.recommend.schemas import ListQuery, Recommendations, SimilarList, TrendList
from whence.recommend.served import KEPT_DAYS, served_at
from whence.recommend.service import Service, of

TRENDING_HORIZON: Horizon = "6h"
POPULAR_HORIZON: Horizon = "7d"

_PROBLEMS = problem_responses(
    {422: "A parameter is not acceptable; `errors` names each.", 503: "PostgreSQL does not serve us now."}
)
_REPLAY_PROBLEMS = problem_responses(
    {404: f"Never served or not kept (`not-found`), or served more than {KEPT_DAYS} days ago (`expired`)."}
)


def list_router(service: Service | None) -> APIRouter:
    """The routes; without a service only good for their description."""
    router = APIRouter(route_class=Route, tags=["lists"])

    @router.get("/v1/trending", response_model=TrendList, summary="What is active right now", responses=_PROBLEMS)
    async def trending(query: Annotated[ListQuery, Query()]) -> Response:
        """Items by their share of all activity, of which 6 hours halve what counts."""
        return json_response(await _trend(of(service), TRENDING_HORIZON, query))

    @router.get("/v1/popular", response_model=TrendList, summary="What was active of late", responses=_PROBLEMS)
    async def popular(query: Annotated[ListQuery, Query()]) -> Response:
        """Items by their share of all activity, of which 7 days halve what counts."""
        return json_response(await _trend(of(service), POPULAR_HORIZON, query))

    @router.get(
        "/v1/items/{item_id}/similar", response_model=SimilarList, summary="What goes with an item", responses=_PROBLEMS
    )
    async def similar(item_id: PathId, query: Annotated[ListQuery, Query()]) -> Response:
        """Items that users touched together with one, by p(other given this)."""
        return json_response(await _similar(of(service), item_id, query))

    @router.get(
        "/v1/recommendations/{recommendation_id}",
        response_model=Recommendations,
        summary="A list as it was served",
        responses=_REPLAY_PROBLEMS,
    )
    async def replay(recommendation_id: Annotated[PathId, Path()], request: Request) -> Response:
        """The answer of that id with its reasons, kept for 7 days (best effort)."""
        serving = of(service)
        problem = Problem("not-found", 404, "No list of this id was kept.")
        if (at := served_at(recommendation_id)) is None:
            return problem_response(problem, request.scope)
        if at < serving.clock.now() - timedelta(days=KEPT_DAYS):
            problem = Problem("expired", 404, f"Lists are kept for {KEPT_DAYS} days; this one is older.")
        elif answer := await serving.served.find(recommendation_id, at):
            return raw_json(answer)
        return problem_response(problem, request.scope)

    return router


async def _trend(service: Service, horizon: Horizon, query: ListQuery) -> dict[str, Any]:
    async with service.database.connection() as connection:
        items = await read_trend(connection, horizon, query.limit, query.category, service.settings.unknown_items)
    return {"horizon": horizon, **_list(service, items, query, "no_recent_activity")}


async def _similar(service: Service, item_id: str, query: ListQuery) -> dict[str, Any]:
    async with service.database.connection() as connection:
        items = await read_similar(connection, item_id, query.limit, query.category, service.settings.unknown_items)
        known = bool(items) or await item_is_known(connection, item_id)
    why_empty = "no_neighbours_known" if known else "unknown_item"
    return {"item_id": item_id, **_list(service, items, query, why_empty)}


def _list(service: Service, items: list[dict[str, Any]], query: ListQuery, why_empty: str) -> dict[str, Any]:
    outcome, why = outcome_of(len(items), query.limit, filtered=bool(query.category))
    if outcome == "empty" and not query.category:
        why = why_empty
    return {"generated_at": service.clock.now(), "outcome": outcome, "outcome_reason": why, "items": items}
