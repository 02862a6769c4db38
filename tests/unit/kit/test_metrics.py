"""The registry: only what was declared."""

import pytest

from whence import __version__
from whence.kit.metrics import Label, Metric, Metrics

SEEN = Metric("seen_total", "counter", "Seen.", (Label("kind", ("a", "b")), Label("event_type")))
DEPTH = Metric("depth", "gauge", "Depth.", (Label("partition"),))
WAIT = Metric("wait_seconds", "histogram", "Wait.", buckets=(0.1, 1), why_buckets="a test")
PLAIN = Metric("plain_total", "counter", "Plain.")

VALUES = {"event_type": ("view",), "partition": ("0", "1")}


def metrics() -> Metrics:
    return Metrics("thing", [SEEN, DEPTH, WAIT, PLAIN], VALUES)


def lines(registry: Metrics) -> list[str]:
    return registry.render()[0].decode().splitlines()


def test_a_counter_counts_under_its_labels() -> None:
    registry = metrics()
    registry.inc(SEEN, "a", "view")
    registry.inc(SEEN, "a", "view", by=2)
    registry.inc(PLAIN)
    assert 'seen_total{event_type="view",kind="a"} 3.0' in lines(registry)
    assert "plain_total 1.0" in lines(registry)


def test_an_undeclared_label_value_becomes_other_and_is_counted() -> None:
    registry = metrics()
    for user in range(1000):
        registry.inc(SEEN, "a", f"user {user}")
    assert 'seen_total{event_type="other",kind="a"} 1000.0' in lines(registry)
    assert "whence_metric_label_values_refused_total 1000.0" in lines(registry)
    assert not any("user 1" in line for line in lines(registry))


def test_a_histogram_has_the_declared_edges() -> None:
    registry = metrics()
    registry.observe(WAIT, 0.1)
    registry.observe(WAIT, 5)
    assert 'wait_seconds_bucket{le="0.1"} 1.0' in lines(registry)
    assert 'wait_seconds_bucket{le="1.0"} 1.0' in lines(registry)
    assert 'wait_seconds_bucket{le="+Inf"} 2.0' in lines(registry)


def test_a_gauge_is_set_moved_and_forgotten() -> None:
    registry = metrics()
    registry.set(DEPTH, 5, "0")
    registry.add(DEPTH, -2, "0")
    registry.set(DEPTH, 7, "1")
    registry.forget(DEPTH, "1")
    registry.forget(DEPTH, "1")
    assert [line for line in lines(registry) if line.startswith("depth")] == ['depth{partition="0"} 3.0']


def test_gauges_can_be_read_when_asked_for() -> None:
    registry = metrics()
    registry.before_scrape(lambda: registry.add(DEPTH, 1, "0"))
    lines(registry)
    assert 'depth{partition="0"} 2.0' in lines(registry)


def test_no_creation_times_and_one_line_about_the_build() -> None:
    registry = metrics()
    registry.inc(PLAIN)
    assert not any("_created" in line for line in lines(registry))
    (build,) = [line for line in lines(registry) if line.startswith("whence_build_info{")]
    assert 'service="thing"' in build
    assert f'version="{__version__}"' in build


def test_openmetrics_is_answered_to_who_asks_for_it() -> None:
    assert metrics().render("application/openmetrics-text")[1].startswith("application/openmetrics-text")
    assert metrics().render("")[1].startswith("text/plain")


def test_a_label_without_values_is_a_mistake_at_start() -> None:
    with pytest.raises(ValueError, match="event_type"):
        Metrics("thing", [SEEN])
    with pytest.raises(ValueError, match="partition"):
        Metrics("thing", [DEPTH], {"partition": tuple(map(str, range(301)))})
