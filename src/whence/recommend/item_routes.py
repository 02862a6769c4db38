"""The routes of the catalogue."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from whence.catalogue.checks import ITEMS_MAX, Item, check_batch_entry, check_item
from whence.catalogue.items import delete_item, get_item, put_items
from whence.domain.errors import FieldProblem, InvalidInput
from whence.domain.event_checks import read_json
from whence.kit.openapi import problem_responses, request_body
from whence.kit.parameters import JSON, PathId, Route, check_content_type
from whence.kit.problems import Problem, input_problem, problem_response
from whence.recommend.responses import json_response
from whence.recommend.schemas import BatchAnswer, CatalogueItem, Deleted
from whence.recommend.service import Service, of

BATCH_PATH = "/v1/items/batch"

BATCH_BYTES_MAX = 16 * 1024 * 1024
"""A thousand items of 16 KiB each."""

_UNAVAILABLE = "PostgreSQL does not serve us now; nothing was changed."
_BODY_PROBLEMS = {
    400: "The body is not JSON.",
    413: "The body is too large.",
    415: "The body is of another content type.",
    422: "A value is not acceptable; `errors` names each field.",
    503: _UNAVAILABLE,
}
_PUT_RESPONSES = problem_responses(_BODY_PROBLEMS) | {201: {"model": CatalogueItem, "description": "It is new."}}


def item_router(service: Service | None) -> APIRouter:
    """The routes; without a service only good for their description."""
    router = APIRouter(route_class=Route, tags=["catalogue"])

    @router.post(
        BATCH_PATH,
        response_model=BatchAnswer,
        summary="Put up to 1,000 items",
        openapi_extra=request_body("ItemBatch"),
        responses=problem_responses(_BODY_PROBLEMS),
    )
    async def put_batch(request: Request) -> Response:
        """Judges each item on its own: a bad one never spoils the others. Of an id given twice the last one stays."""
        check_content_type(request, [JSON])
        entries = _entries(read_json(await request.body()))
        return json_response(await _put_batch(of(service), entries))

    @router.put(
        "/v1/items/{item_id}",
        response_model=CatalogueItem,
        summary="Put an item",
        openapi_extra=request_body("Item"),
        responses=_PUT_RESPONSES,
    )
    async def put_item(item_id: PathId, request: Request) -> Response:
        """In place of what was there; a deleted item is back."""
        check_content_type(request, [JSON])
        item = check_item(read_json(await request.body()))
        async with of(service).database.connection() as connection:
            new = await put_items(connection, {item_id: item})
            stored = await get_item(connection, item_id)
        return json_response(stored or {"item_id": item_id, **item.model_dump()}, 201 if new else 200)

    @router.get(
        "/v1/items/{item_id}",
        response_model=CatalogueItem,
        summary="An item as the catalogue has it",
        responses=problem_responses({404: "The catalogue does not have it, or it was deleted.", 503: _UNAVAILABLE}),
    )
    async def read_item(item_id: PathId, request: Request) -> Response:
        """Items known from events alone have no entry."""
        async with of(service).database.connection() as connection:
            stored = await get_item(connection, item_id)
        if stored is None:
            return problem_response(Problem("not-found", 404, "The catalogue has no such item."), request.scope)
        return json_response(stored)

    @router.delete(
        "/v1/items/{item_id}",
        response_model=Deleted,
        summary="Withdraw an item",
        responses=problem_responses({503: _UNAVAILABLE}),
    )
    async def remove_item(item_id: PathId) -> Response:
        """From now on it is in no list, until it is put back. Users' signals on it stay."""
        async with of(service).database.connection() as connection:
            await delete_item(connection, item_id)
        return json_response({"item_id": item_id, "deleted": True})

    return router


def _entries(document: object) -> list[Any]:
    if not isinstance(document, dict):
        raise InvalidInput([FieldProblem("", 'a batch must be a JSON object, {"items": […]}')])
    problems = [
        FieldProblem(repr(name)[1:-1], "there is no such field; a batch has only `items`")
        for name in document
        if name != "items"
    ]
    entries = document.get("items")
    if "items" not in document:
        problems.append(FieldProblem("items", "is missing; it is required"))
    elif not isinstance(entries, list) or not entries:
        problems.append(FieldProblem("items", f"must be a list of 1 to {ITEMS_MAX} items", 1))
    if problems or not isinstance(entries, list):
        raise InvalidInput(problems)
    if len(entries) > ITEMS_MAX:
        raise HTTPException(413, f"The batch has {len(entries)} items; send at most {ITEMS_MAX} at once.")
    return entries


async def _put_batch(service: Service, entries: list[Any]) -> dict[str, Any]:
    items: dict[str, Item] = {}
    results: list[dict[str, Any]] = []
    for index, entry in enumerate(entries):
        try:
            item_id, item = check_batch_entry(entry)
        except InvalidInput as error:
            results.append({"index": index, "status": 422, "problem": input_problem(error).as_dict()})
            continue
        items[item_id] = item
        results.append({"index": index, "status": 200, "item_id": item_id})
    new = set()
    if items:
        async with service.database.connection() as connection:
            new = await put_items(connection, items)
    for result in results:
        if result.get("item_id") in new:
            result["status"] = 201
    rejected = sum(result["status"] == 422 for result in results)
    return {"accepted": len(results) - rejected, "rejected": rejected, "results": results}
