"""Metrics: each service declares its own in one list of literals; a registry that knows only those serves them.

A label has few values, all declared: a value outside of its declaration is counted as "other", never as a new series.
No label carries an id, an address or free text.
"""

import platform
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from threading import Lock
from typing import Any, Literal

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as PrometheusMetric
from prometheus_client.exposition import choose_encoder

from whence import __version__

Kind = Literal["counter", "gauge", "histogram"]

MAX_LABEL_VALUES = 300
"""Values of one label; only partitions (at most 256) come near."""

OTHER = "other"
"""The label value that stands for everything undeclared."""

LATENCY_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
"""For anything a client waits for: every objective (25, 50, 100, 250, 500 ms) is an edge, so shares are exact."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label and its values.

    Attributes:
        values: All values; None where they are known at start only (event types, partitions, routes), then
            `Metrics(values=…)` gives them under the label's name.
        other: What an undeclared value counts as.
    """

    name: str
    values: tuple[str, ...] | None = None
    other: str = OTHER


@dataclass(frozen=True, slots=True)
class Metric:
    """One declared metric.

    Attributes:
        name: With the unit last; `_total` for counters.
        help: What it counts or measures, for whoever reads the dashboard.
        buckets: A histogram's upper edges, in the unit of the name.
        why_buckets: Where the edges come from.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = field(default=())
    why_buckets: str = ""


BUILD_INFO = Metric(
    "whence_build_info",
    "gauge",
    "1; the labels say which version runs.",
    (Label("service"), Label("version"), Label("python")),
)
REFUSED_LABELS = Metric(
    "whence_metric_label_values_refused_total",
    "counter",
    "Observations whose label value was not declared and counted as other: a gap in the declaration.",
)


class Number:
    """A counter's or a gauge's value for one combination of labels."""

    __slots__ = ("_lock", "value")

    def __init__(self, lock: Lock, value: float = 0.0) -> None:
        self._lock = lock
        self.value = value

    def add(self, by: float = 1) -> None:
        """Count."""
        with self._lock:
            self.value += by

    def copy(self) -> "Number":
        """What it is now; the lock is held."""
        return Number(self._lock, self.value)


class Distribution:
    """A histogram's measurements for one combination of labels: how many lie between each edge and the one before."""

    __slots__ = ("_edges", "_lock", "counts", "total")

    def __init__(self, lock: Lock, edges: Sequence[float], counts: list[int], total: float = 0.0) -> None:
        self._lock = lock
        self._edges = edges
        self.counts = counts
        self.total = total

    def observe(self, value: float) -> None:
        """Take a measurement in."""
        bucket = bisect_left(self._edges, value)
        with self._lock:
            self.counts[bucket] += 1
            self.total += value

    def copy(self) -> "Distribution":
        """What it is now; the lock is held."""
        return Distribution(self._lock, self._edges, self.counts.copy(), self.total)


class Metrics:
    """The registry of one service: holds the declared metrics and no others. Safe for use from several threads.

    It keeps the numbers itself, since it counts several times for each request, and tells them at a scrape.
    """

    def __init__(
        self, service: str, declared: Sequence[Metric], values: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Make the registry.

        Args:
            service: The service's name.
            declared: Everything that it will ever count, besides what the kit adds.
            values: For each label declared without values, its values.

        Raises:
            ValueError: If a label has no values, or too many.
        """
        info = {"service": (service,), "version": (__version__,), "python": (platform.python_version(),)}
        self.service = service
        self.declared = (BUILD_INFO, REFUSED_LABELS, *declared)
        self._values = {**(values or {}), **info}
        self._allowed = {
            metric.name: [self._label_values(label) for label in metric.labels] for metric in self.declared
        }
        self._lock = Lock()
        self._series: dict[tuple[str, ...], Any] = {}
        for metric in self.declared:
            if not metric.labels:
                self._series[(metric.name,)] = self._new_series(metric)
        self._before_scrape: list[Callable[[], None]] = []
        self._registry = CollectorRegistry()
        self._registry.register(self)
        prometheus_client.ProcessCollector(registry=self._registry)
        prometheus_client.GCCollector(registry=self._registry)
        self.set(BUILD_INFO, 1, *(values[0] for values in info.values()))

    def inc(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        number: Number = self._series_of(metric, labels)
        number.add(by)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        number: Number = self._series_of(metric, labels)
        number.value = value

    def add(self, metric: Metric, by: float, *labels: str) -> None:
        """Move a gauge."""
        self.inc(metric, *labels, by=by)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Put one measurement into a histogram."""
        distribution: Distribution = self._series_of(metric, labels)
        distribution.observe(value)

    def number(self, metric: Metric, *labels: str) -> Number:
        """A counter's or a gauge's series, to be kept by what counts on every request. Never `forget` it."""
        number: Number = self._series_of(metric, labels)
        return number

    def distribution(self, metric: Metric, *labels: str) -> Distribution:
        """A histogram's series, likewise."""
        distribution: Distribution = self._series_of(metric, labels)
        return distribution

    def forget(self, metric: Metric, *labels: str) -> None:
        """Drop one series, such as the lag of a partition that another process reads now."""
        with self._lock:
            self._series.pop((metric.name, *labels), None)

    def before_scrape(self, refresh: Callable[[], None]) -> None:
        """Call *refresh* before every scrape, in the scraping thread: for gauges that are read, not counted."""
        self._before_scrape.append(refresh)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition and its media type for an `Accept` header. Takes milliseconds: call it off the event loop."""
        for refresh in self._before_scrape:
            refresh()
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type

    def collect(self) -> Iterator[PrometheusMetric]:
        """What has been counted, as the exposition wants it: the collector's side of this registry."""
        with self._lock:
            by_metric: dict[str, list[tuple[list[str], Any]]] = {metric.name: [] for metric in self.declared}
            for (name, *labels), series in self._series.items():
                by_metric[name].append((labels, series.copy()))
        for metric in self.declared:
            yield _family(metric, by_metric[metric.name])

    def _label_values(self, label: Label) -> frozenset[str]:
        values = self._values.get(label.name, ()) if label.values is None else label.values
        if not 1 <= len(values) <= MAX_LABEL_VALUES:
            raise ValueError(f"label {label.name} has {len(values)} values; 1 to {MAX_LABEL_VALUES} are possible")
        return frozenset(values)

    def _series_of(self, metric: Metric, labels: tuple[str, ...]) -> Any:
        series = self._series.get((metric.name, *labels))
        return self._declared_series(metric, labels) if series is None else series

    def _declared_series(self, metric: Metric, labels: tuple[str, ...]) -> Any:
        """The series for these labels, with "other" in place of values that are not declared."""
        pairs = list(zip(metric.labels, labels, self._allowed[metric.name], strict=True))
        known = tuple(value if value in allowed else label.other for label, value, allowed in pairs)
        if known != labels:
            self.inc(REFUSED_LABELS)
        with self._lock:
            return self._series.setdefault((metric.name, *known), self._new_series(metric))

    def _new_series(self, metric: Metric) -> Number | Distribution:
        if metric.kind == "histogram":
            return Distribution(self._lock, metric.buckets, [0] * (len(metric.buckets) + 1))
        return Number(self._lock)


def _family(metric: Metric, found: Sequence[tuple[Sequence[str], Any]]) -> PrometheusMetric:
    """A metric with its series as the exposition wants it."""
    names = [label.name for label in metric.labels]
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=names)
        edges = [*map(str, map(float, metric.buckets)), "+Inf"]
        for labels, series in found:
            histogram.add_metric(labels, list(zip(edges, accumulate(series.counts), strict=True)), series.total)
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    numbers = kind(metric.name, metric.help, labels=names)
    for labels, series in found:
        numbers.add_metric(labels, series.value)
    return numbers
