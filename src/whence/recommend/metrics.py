"""What `recommend` counts."""

from whence.kit.metrics import LATENCY_BUCKETS_SECONDS, Label, Metric

STRATEGIES = ("personal", "trending", "catalogue", "none")
"""Where a list comes from: the user's own signals, what is active now, the bare catalogue, or nothing at all."""

OUTCOMES = ("full", "short", "empty")
DEGRADED = ("stale", "token_unknown")
STAGES = ("wait", "read", "render")
DROPPED = ("queue_full", "write_failed")

SERVED = Metric(
    "whence_recommendations_served_total",
    "counter",
    "Lists answered, by where they come from and whether they are as long as asked for.",
    (Label("strategy", STRATEGIES), Label("outcome", OUTCOMES)),
)
DEGRADED_ANSWERS = Metric(
    "whence_recommendations_degraded_total",
    "counter",
    "Lists answered that are not what they should be, by cause.",
    (Label("cause", DEGRADED),),
)
STAGE_DURATION = Metric(
    "whence_stage_duration_seconds",
    "histogram",
    "How long each stage of an answer takes: waiting for a freshness token, the read statement, rendering.",
    (Label("stage", STAGES),),
    LATENCY_BUCKETS_SECONDS,
    "the edges of the requests' own durations",
)
DB_CONNECTIONS = Metric(
    "whence_db_pool_connections",
    "gauge",
    "Connections to PostgreSQL.",
    (Label("state", ("busy", "idle")),),
)
DB_WAITING = Metric("whence_db_pool_requests_waiting", "gauge", "Requests that wait for a connection now.")
KEPT = Metric("whence_served_lists_kept_total", "counter", "Lists written down for a replay.")
NOT_KEPT = Metric(
    "whence_served_lists_dropped_total",
    "counter",
    "Lists that can not be replayed, since keeping them is best effort.",
    (Label("reason", DROPPED),),
)
HOUSEKEEPING = Metric(
    "whence_served_list_housekeeping_total",
    "counter",
    "Rounds of making and dropping the days of served lists.",
    (Label("result", ("done", "elsewhere", "failed")),),
)
DECLARED = (
    SERVED,
    DEGRADED_ANSWERS,
    STAGE_DURATION,
    DB_CONNECTIONS,
    DB_WAITING,
    KEPT,
    NOT_KEPT,
    HOUSEKEEPING,
)
"""All of them."""
