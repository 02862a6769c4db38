"""Ingest as an HTTP application: routes, limits, health, metrics."""

from collections.abc import Sequence
from typing import Any

from whence.domain.events import EventTypes
from whence.eventlog.port import Appender
from whence.ingest.accept import Acceptor
from whence.ingest.bodies import MAX_BATCH_BYTES
from whence.ingest.metrics import INGEST_METRICS
from whence.ingest.routes import BATCH_PATH, EVENTS_PATH, batch_short_cut, event_routers, single_short_cut
from whence.ingest.schemas import component_schemas
from whence.kit.body_limits import EdgeLimits
from whence.kit.clock import Clock
from whence.kit.health import Readiness
from whence.kit.http import About, Application, create_app, describe_api, make_metrics
from whence.kit.settings import Settings

_DESCRIPTION = (
    "Takes events. Each is checked field by field and answered when the log has it; a repeat of the same "
    "(user, event_id) counts once, so whatever was not answered can be sent again. Ids may be any text of 1 to 256 "
    "characters. All times are UTC. Of a field given twice in a JSON object the last one counts."
)

LIMITS = EdgeLimits(body_bytes_by_path={BATCH_PATH: MAX_BATCH_BYTES})


def build_app(appender: Appender, types: EventTypes, clock: Clock, keys: Sequence[str] = ()) -> Application:
    """The application over a log."""
    about = _about(types)
    metrics = make_metrics(about.service, event_routers(None), INGEST_METRICS, {"event_type": types.names})
    acceptor = Acceptor(appender, types, clock, metrics)
    short_cuts = {EVENTS_PATH: single_short_cut(acceptor), BATCH_PATH: batch_short_cut(acceptor)}
    readiness = Readiness({"log": appender.check})
    return create_app(about, event_routers(acceptor), metrics, readiness, keys, LIMITS, short_cuts)


def describe() -> dict[str, Any]:
    """The API description (OpenAPI) with the default event types, without anything behind it."""
    return describe_api(_about(Settings.model_validate({}).types()), event_routers(None)).openapi()


def _about(types: EventTypes) -> About:
    return About("ingest", "Whence ingest", _DESCRIPTION, component_schemas(types))
