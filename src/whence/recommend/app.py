"""Recommend as an HTTP application: routes, limits, health, metrics."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from whence.kit.body_limits import EdgeLimits
from whence.kit.health import Readiness
from whence.kit.http import About, Application, create_app, describe_api, make_metrics
from whence.kit.metrics import Metrics
from whence.recommend.item_routes import BATCH_BYTES_MAX, BATCH_PATH, item_router
from whence.recommend.list_routes import list_router
from whence.recommend.metrics import DB_CONNECTIONS, DB_WAITING, DECLARED
from whence.recommend.schemas import component_schemas
from whence.recommend.service import Service
from whence.recommend.user_routes import user_router

ABOUT = About(
    "recommend",
    "Whence recommend",
    "Gives lists with reasons, and keeps the catalogue. Every score is the sum of its evidence: what this user did, "
    "what others touched together, and what is active now. Ids may be any text of 1 to 256 characters and are "
    "percent-encoded in paths, `/` too. All times are UTC.",
    component_schemas(),
)
LIMITS = EdgeLimits(body_bytes_by_path={BATCH_PATH: BATCH_BYTES_MAX})


def app_metrics() -> Metrics:
    """The registry of this service."""
    return make_metrics(ABOUT.service, _routers(None), DECLARED)


def build_app(service: Service, metrics: Metrics, keys: Sequence[str] = ()) -> Application:
    """The application over a service; *metrics* from `app_metrics`."""
    metrics.before_scrape(lambda: _read_pool(service, metrics))
    return create_app(
        ABOUT, _routers(service), metrics, Readiness({"postgresql": service.database.check}), keys, LIMITS
    )


def describe() -> dict[str, Any]:
    """The API description (OpenAPI), without anything behind it."""
    return describe_api(ABOUT, _routers(None)).openapi()


def _routers(service: Service | None) -> list[APIRouter]:
    return [user_router(service), list_router(service), item_router(service)]


def _read_pool(service: Service, metrics: Metrics) -> None:
    usage = service.database.usage()
    for state in ("busy", "idle"):
        metrics.set(DB_CONNECTIONS, usage[state], state)
    metrics.set(DB_WAITING, usage["waiting"])
