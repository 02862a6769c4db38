"""`/livez`, `/readyz` and `/metrics` of an ASGI application."""

import asyncio

from fastapi import Request, Response
from fastapi.routing import APIRoute

from whence.kit.health import ALIVE, HEALTH_PATHS, HealthAnswer, Readiness, scrape
from whence.kit.metrics import Metrics


def health_routes(readiness: Readiness, metrics: Metrics) -> list[APIRoute]:
    """The three routes for an ASGI application."""

    async def livez(_: Request) -> Response:
        return _response(ALIVE)

    async def readyz(_: Request) -> Response:
        return _response(await readiness.report())

    async def metrics_page(request: Request) -> Response:
        return _response(await asyncio.to_thread(scrape, metrics, request.headers.get("accept", "")))

    answers = zip(HEALTH_PATHS, (livez, readyz, metrics_page), strict=True)
    return [APIRoute(path, answer, include_in_schema=False) for path, answer in answers]


def _response(answer: HealthAnswer) -> Response:
    headers = {"cache-control": "no-store", "content-type": answer.media_type}
    if answer.status == 503:
        headers["retry-after"] = "1"
    return Response(answer.body, answer.status, headers=headers)
