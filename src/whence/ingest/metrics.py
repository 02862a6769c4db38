"""What ingest counts."""

from whence.kit.metrics import LATENCY_BUCKETS_SECONDS, Label, Metric

_TRANSPORT = Label("transport", ("single", "batch"))

ACCEPTED = Metric(
    "whence_events_accepted_total",
    "counter",
    "Events that the log has taken; each was answered 202.",
    (Label("event_type"), _TRANSPORT),
)
REFUSED = Metric(
    "whence_events_refused_total",
    "counter",
    "Events not answered 202: invalid, log unavailable (not logged), or outcome unknown (perhaps logged).",
    (_TRANSPORT, Label("reason", ("invalid", "unavailable", "unknown"))),
)
APPEND_DURATION = Metric(
    "whence_append_duration_seconds",
    "histogram",
    "From handing records to the log until it has them, or has failed.",
    (),
    LATENCY_BUCKETS_SECONDS,
    "part of what a client waits for",
)
INGEST_METRICS = (ACCEPTED, REFUSED, APPEND_DURATION)
