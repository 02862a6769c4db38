"""The metrics of `aggregate`: declared in one list, counted through methods that say what happened."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter

import numpy as np

from whence.aggregate.batch import Batch, Reason
from whence.aggregate.dedupe import IDS_MAX
from whence.kit.metrics import Label, Metric, Metrics

FRESHNESS_SAMPLES_MAX = 64
"""Events of a batch whose freshness is measured, evenly spread: exact while traffic is light, cheap when it is not."""

_PARTITION = Label("partition")
_EVENT_TYPE = Label("event_type")
_OUTCOME = Label("outcome", ("applied", "duplicate"))
_REASON = Label("reason", tuple(Reason))
_STAGE = Label("stage", ("poll", "decode", "write", "take_over", "fold", "rank", "clean", "refine"))
_TABLE = Label("table", ("batch_segment", "pair_count", "trend_bucket"))

CONSUMED = Metric(
    "whence_aggregate_events_consumed_total", "counter", "Events by what became of them.", (_EVENT_TYPE, _OUTCOME)
)
DEAD_LETTERS = Metric("whence_aggregate_dead_letters_total", "counter", "Records set aside for good.", (_REASON,))
DEAD_LETTERS_PENDING = Metric(
    "whence_aggregate_dead_letters_pending", "gauge", "Dead letters that nobody has replayed or discarded."
)
BATCH_SIZE = Metric(
    "whence_aggregate_batch_size_records",
    "histogram",
    "Records of one transaction.",
    buckets=(1, 10, 100, 500, 1_000, 2_500, 5_000),
    why_buckets="1 is idle, 5,000 is the limit of one poll.",
)
STAGE_DURATION = Metric(
    "whence_aggregate_stage_duration_seconds",
    "histogram",
    "One step of the consumer (poll, decode, write, take_over) or of the roles beside it (fold, rank, clean, refine).",
    (_STAGE,),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    why_buckets="A small batch takes some milliseconds, a full one some hundred; 30 s is the statement timeout.",
)
FRESHNESS = Metric(
    "whence_aggregate_event_freshness_seconds",
    "histogram",
    "From accepted at ingest to visible in a read, live events only, sampled in large batches.",
    (_EVENT_TYPE,),
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1_800),
    why_buckets="50, 100, 250 and 500 ms and 5 s are objectives.",
)
LAG_RECORDS = Metric(
    "whence_aggregate_lag_records", "gauge", "Records of the partition not yet applied.", (_PARTITION,)
)
LAG_SECONDS = Metric(
    "whence_aggregate_lag_seconds",
    "gauge",
    "At most this long has the partition's next record been waiting; 0 if none waits.",
    (_PARTITION,),
)
ASSIGNED = Metric("whence_aggregate_assigned_partitions", "gauge", "Partitions that this process reads.")
TAKEOVERS = Metric("whence_aggregate_takeovers_total", "counter", "Partitions taken over.")
FENCED = Metric(
    "whence_aggregate_fenced_total", "counter", "Batches refused because another process owned the partition by then."
)
RETRIES = Metric(
    "whence_aggregate_retries_total", "counter", "Turns that ended because the log or PostgreSQL did not answer."
)
HALTED = Metric(
    "whence_aggregate_partition_halted",
    "gauge",
    "1 while the partition has stopped for good; see the log.",
    (_PARTITION,),
)
DEDUPE_IDS = Metric(
    "whence_aggregate_dedupe_ids", "gauge", f"Ids held to recognise repeats; more than {IDS_MAX} alarm."
)
LAST_PROGRESS = Metric(
    "whence_aggregate_last_progress_timestamp_seconds",
    "gauge",
    "When a batch was last committed, seconds since the epoch.",
)
UNACCOUNTED = Metric(
    "whence_aggregate_events_unaccounted",
    "gauge",
    "Offsets below the positions that are neither applied, duplicate, dead nor absent: 0, always.",
)
COMPACTOR_BEHIND = Metric(
    "whence_aggregate_compactor_behind_records", "gauge", "Offsets that the trend does not yet know."
)
COMPACTOR_FOLDED = Metric(
    "whence_aggregate_compactor_folded_segments_total", "counter", "Segments folded into the trend."
)
CLEANED = Metric("whence_aggregate_cleaned_rows_total", "counter", "Old rows removed by housekeeping.", (_TABLE,))

DECLARED: Sequence[Metric] = (
    CONSUMED,
    DEAD_LETTERS,
    DEAD_LETTERS_PENDING,
    BATCH_SIZE,
    STAGE_DURATION,
    FRESHNESS,
    LAG_RECORDS,
    LAG_SECONDS,
    ASSIGNED,
    TAKEOVERS,
    FENCED,
    RETRIES,
    HALTED,
    DEDUPE_IDS,
    LAST_PROGRESS,
    UNACCOUNTED,
    COMPACTOR_BEHIND,
    COMPACTOR_FOLDED,
    CLEANED,
)


class AggregateMetrics:
    """What the consumer and the compactor report."""

    def __init__(self, type_codes: Mapping[str, int], partitions: int) -> None:
        self._type_names = {code: name for name, code in type_codes.items()}
        values = {"event_type": list(type_codes), "partition": [str(number) for number in range(partitions)]}
        self.registry = Metrics("aggregate", DECLARED, values)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure one step."""
        start = perf_counter()
        yield
        self.registry.observe(STAGE_DURATION, perf_counter() - start, name)

    def committed(self, batch: Batch, now_us: int, dedupe_ids: int) -> None:
        """A batch has been committed and is visible; the process now holds *dedupe_ids* ids."""
        registry = self.registry
        for (name, outcome), number in self._by_outcome(batch):
            registry.inc(CONSUMED, name, outcome, by=number)
        for letter in batch.dead:
            registry.inc(DEAD_LETTERS, letter.reason.value)
        registry.observe(BATCH_SIZE, batch.counts.offsets - batch.counts.absent)
        registry.set(LAST_PROGRESS, now_us / 1e6)
        registry.set(DEDUPE_IDS, dedupe_ids)
        for code, accepted_us in _freshness_samples(batch):
            registry.observe(FRESHNESS, max(now_us - accepted_us, 0) / 1e6, self._type_names[code])

    def lag(self, partition: int, records: int, seconds: float) -> None:
        """How far a partition is behind."""
        self.registry.set(LAG_RECORDS, records, str(partition))
        self.registry.set(LAG_SECONDS, seconds, str(partition))

    def released(self, partition: int) -> None:
        """Another process speaks for the partition from now on."""
        for metric in (LAG_RECORDS, LAG_SECONDS):
            self.registry.forget(metric, str(partition))

    def taken_over(self) -> None:
        """A partition has become ours."""
        self.registry.inc(TAKEOVERS)

    def assigned(self, partitions: int) -> None:
        """This many partitions are being read."""
        self.registry.set(ASSIGNED, partitions)

    def fenced(self) -> None:
        """A batch was refused: another process owns its partition."""
        self.registry.inc(FENCED)

    def retried(self) -> None:
        """A turn ended because something did not answer."""
        self.registry.inc(RETRIES)

    def halted(self, partition: int) -> None:
        """A partition has stopped until a restart."""
        self.registry.set(HALTED, 1, str(partition))

    def resumed(self, partition: int) -> None:
        """A partition that had stopped is no longer ours."""
        self.registry.forget(HALTED, str(partition))

    def folded(self, segments: int) -> None:
        """The compactor has folded segments."""
        self.registry.inc(COMPACTOR_FOLDED, by=segments)

    def cleaned(self, table: str, rows: int) -> None:
        """Housekeeping has removed rows."""
        self.registry.inc(CLEANED, table, by=rows)

    def books(self, unaccounted: int, behind: int, pending_letters: int) -> None:
        """What the database says about all partitions."""
        self.registry.set(UNACCOUNTED, unaccounted)
        self.registry.set(COMPACTOR_BEHIND, behind)
        self.registry.set(DEAD_LETTERS_PENDING, pending_letters)

    def _by_outcome(self, batch: Batch) -> Iterator[tuple[tuple[str, str], int]]:
        for outcome, applied in (("applied", True), ("duplicate", False)):
            codes, numbers = np.unique(batch.observed.type_code[batch.observed.applied == applied], return_counts=True)
            for code, number in zip(codes.tolist(), numbers.tolist(), strict=True):
                yield (self._type_names[code], outcome), number


def _freshness_samples(batch: Batch) -> list[tuple[int, int]]:
    """(type code, accepted at) of some applied live events."""
    seen = batch.observed
    places = np.flatnonzero(seen.applied & (seen.accepted_us >= 0))
    places = places[:: max(1, -(-places.size // FRESHNESS_SAMPLES_MAX))]
    return list(zip(seen.type_code[places].tolist(), seen.accepted_us[places].tolist(), strict=True))
