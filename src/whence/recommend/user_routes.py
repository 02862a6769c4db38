"""The routes about a user: the list, what is held, and why an item has its score."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from whence.domain.errors import FieldProblem, InvalidInput
from whence.domain.tokens import parse_token
from whence.kit.openapi import problem_responses
from whence.kit.parameters import PathId, Route
from whence.recommend.question import Question
from whence.recommend.recipe import recipe_in_force
from whence.recommend.responses import json_response, raw_json
from whence.recommend.schemas import (
    RecommendationQuery,
    Recommendations,
    SignalsPage,
    SignalsQuery,
    Why,
    WhyQuery,
)
from whence.recommend.service import Service, of
from whence.recommend.signals import parse_cursor, read_page

CACHE_HEADER = "x-whence-cache"
_UNAVAILABLE = "PostgreSQL does not serve us now; come back after `Retry-After`."
_PROBLEMS = problem_responses(
    {422: "A parameter is not acceptable; `errors` names each.", 503: _UNAVAILABLE},
)


def user_router(service: Service | None) -> APIRouter:
    """The routes; without a service only good for their description."""
    router = APIRouter(route_class=Route, tags=["users"])

    @router.get(
        "/v1/users/{user_id}/recommendations",
        response_model=Recommendations,
        summary="What to show a user",
        responses=_PROBLEMS,
    )
    async def recommendations(user_id: PathId, query: Annotated[RecommendationQuery, Query()]) -> Response:
        """The best items for a user now, each with its score and reasons. A user who is not known gets what is
        active now. `X-Whence-Cache` says where the list came from."""
        serving = of(service)
        answer = await serving.answers.recommend(question_of(user_id, query, serving.surfaces))
        return raw_json(answer, {CACHE_HEADER: "bypass"})

    @router.get(
        "/v1/users/{user_id}/signals", response_model=SignalsPage, summary="What is held of a user", responses=_PROBLEMS
    )
    async def signals(user_id: PathId, query: Annotated[SignalsQuery, Query()]) -> Response:
        """Exact counts of a user's events by item and type, newest first. Of a user with more than 5,000 of them only
        those on the 64 newest items come so, then all others by item. An unknown user has an empty list."""
        serving = of(service)
        after = parse_cursor(query.cursor) if query.cursor is not None else None
        async with serving.database.connection() as connection:
            # First the recipe: one that is published meanwhile may be newer than the page, never older.
            weights = (await recipe_in_force(connection)).over(serving.settings.initial_weights)
            page = await read_page(connection, user_id, weights, serving.clock.now(), query.limit, after)
        return json_response(page)

    @router.get(
        "/v1/users/{user_id}/items/{item_id}/why",
        response_model=Why,
        summary="Why an item has its score for a user",
        responses=_PROBLEMS,
    )
    async def why_item(user_id: PathId, item_id: PathId, query: Annotated[WhyQuery, Query()]) -> Response:
        """Every signal and aggregate behind one item's score with its arithmetic, and why it is listed or not."""
        serving = of(service)
        question = Question(user_id, serving.surfaces[0], exclude=query.exclude, session=query.session)
        return json_response(await serving.answers.why(question, item_id))

    return router


def question_of(user_id: str, query: RecommendationQuery, surfaces: tuple[str, ...]) -> Question:
    """The question that a request asks.

    Raises:
        InvalidInput: If the surface is not declared or the token is none.
    """
    surface = surfaces[0] if query.surface is None else query.surface
    if surface not in surfaces:
        known = ", ".join(surfaces)
        raise InvalidInput([FieldProblem("surface", f"{surface!r} is not declared in WHENCE_SURFACES; known: {known}")])
    return Question(
        user_id=user_id,
        surface=surface,
        limit=query.limit,
        exclude=query.exclude,
        categories=tuple(query.category),
        excluded_items=tuple(query.exclude_item),
        session=query.session,
        after=parse_token(query.after) if query.after is not None else None,
        explain=query.explain,
    )
