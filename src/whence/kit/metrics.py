"""Metrics: each service declares its own in one list of literals; a registry that knows only those serves them.

A label has few values, all declared: a value outside of its declaration is counted as "other", never as a new series.
No label carries an id, an address or free text.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import prometheus_client
from prometheus_client import CollectorRegistry
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


class Metrics:
    """The registry of one service: holds the declared metrics and no others. Safe for use from several threads."""

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
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the series of every counter
        info = {"service": (service,), "version": (__version__,), "python": (platform.python_version(),)}
        self.service = service
        self.declared = (BUILD_INFO, REFUSED_LABELS, *declared)
        self._values = {**(values or {}), **info}
        self._registry = CollectorRegistry()
        self._families = {metric.name: self._family(metric) for metric in self.declared}
        self._allowed = {
            metric.name: [self._label_values(label) for label in metric.labels] for metric in self.declared
        }
        self._children: dict[tuple[str, ...], Any] = {}
        self._before_scrape: list[Callable[[], None]] = []
        prometheus_client.ProcessCollector(registry=self._registry)
        prometheus_client.GCCollector(registry=self._registry)
        self.set(BUILD_INFO, 1, *(values[0] for values in info.values()))

    def inc(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        child: prometheus_client.Counter = self._child(metric, labels)
        child.inc(by)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        child: prometheus_client.Gauge = self._child(metric, labels)
        child.set(value)

    def add(self, metric: Metric, by: float, *labels: str) -> None:
        """Move a gauge."""
        child: prometheus_client.Gauge = self._child(metric, labels)
        child.inc(by)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Put one measurement into a histogram."""
        child: prometheus_client.Histogram = self._child(metric, labels)
        child.observe(value)

    def forget(self, metric: Metric, *labels: str) -> None:
        """Drop one series, such as the lag of a partition that another process reads now."""
        if self._children.pop((metric.name, *labels), None) is not None:
            self._families[metric.name].remove(*labels)

    def before_scrape(self, refresh: Callable[[], None]) -> None:
        """Call *refresh* before every scrape, in the scraping thread: for gauges that are read, not counted."""
        self._before_scrape.append(refresh)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition and its media type for an `Accept` header. Takes milliseconds: call it off the event loop."""
        for refresh in self._before_scrape:
            refresh()
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type

    def _family(
        self, metric: Metric
    ) -> prometheus_client.Counter | prometheus_client.Gauge | prometheus_client.Histogram:
        names = [label.name for label in metric.labels]
        if metric.kind == "counter":
            return prometheus_client.Counter(metric.name, metric.help, names, registry=self._registry)
        if metric.kind == "gauge":
            return prometheus_client.Gauge(metric.name, metric.help, names, registry=self._registry)
        return prometheus_client.Histogram(
            metric.name, metric.help, names, registry=self._registry, buckets=metric.buckets
        )

    def _label_values(self, label: Label) -> frozenset[str]:
        values = self._values.get(label.name, ()) if label.values is None else label.values
        if not 1 <= len(values) <= MAX_LABEL_VALUES:
            raise ValueError(f"label {label.name} has {len(values)} values; 1 to {MAX_LABEL_VALUES} are possible")
        return frozenset(values)

    def _child(self, metric: Metric, labels: tuple[str, ...]) -> Any:
        key = (metric.name, *labels)
        child = self._children.get(key)
        return self._new_child(metric, labels) if child is None else child

    def _new_child(self, metric: Metric, labels: tuple[str, ...]) -> Any:
        """The series for these labels, remembered only if all values are declared."""
        family = self._families[metric.name]
        if not metric.labels:
            return self._children.setdefault((metric.name,), family)
        pairs = list(zip(metric.labels, labels, self._allowed[metric.name], strict=True))
        known = tuple(value if value in allowed else label.other for label, value, allowed in pairs)
        child = family.labels(*known)
        if known == labels:
            self._children[(metric.name, *labels)] = child
        else:
            self.inc(REFUSED_LABELS)
        return child
