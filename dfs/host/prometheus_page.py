"""A program's metrics as a document for Prometheus.

The one place that knows prometheus_client. Promises: every metric of the catalogue that the program tells is on the page, with its
explanation, from the first time on; a source that can't tell is left out, and that is told; one page is made at a time. The
library is loaded when the page is asked for first: programs that nobody asks pay nothing. Composed by dfs/cli.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, cast

from dfs.core.errors import DfsError
from dfs.core.metrics import (
    ALL_METRICS,
    BUILD_INFO,
    LATENCY_BOUNDS_S,
    SOURCES_FAILED,
    Distribution,
    Measured,
    Metric,
    MetricKind,
    MetricsDocument,
    Sample,
)

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric as Family
    from prometheus_client.registry import Collector

LOG = logging.getLogger(__name__)

_BOUNDS: Final = (*(repr(bound) for bound in LATENCY_BOUNDS_S), "+Inf")


class PrometheusPage:
    """The metrics of one program. Safe for any number of threads."""

    def __init__(self, *, program: str, kind: str, version: str) -> None:
        """Arguments: the program's name, its kind in the catalogue (meta, data or mount), and the release."""
        self._info = Sample(BUILD_INFO, (version, program), 1)
        self._metrics = [metric for metric in ALL_METRICS if kind in metric.programs]
        self._sources: list[Measured] = []
        self._mutex = threading.Lock()
        self._registry: CollectorRegistry | None = None

    def add(self, *sources: Measured) -> None:
        """Show what they tell, too; before the page is asked for."""
        self._sources += sources

    def render(self) -> MetricsDocument:
        """Return the document."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        with self._mutex:
            if self._registry is None:
                self._registry = self._make_registry()
            return MetricsDocument(CONTENT_TYPE_LATEST.encode(), generate_latest(self._registry))

    def collect(self) -> Iterator[Family]:
        """Yield all values; called by prometheus_client."""
        values: dict[str, list[Sample]] = {metric.name: [] for metric in self._metrics}
        for sample in self._samples():
            values[sample.metric.name].append(sample)
        for metric in self._metrics:
            yield _family(metric, values[metric.name])

    def _samples(self) -> Iterator[Sample]:
        yield self._info
        failed = 0
        for source in self._sources:
            try:
                yield from source.measures()
            except DfsError as error:
                LOG.debug("left out: %s", error)
                failed += 1
        yield Sample(SOURCES_FAILED, (), failed)

    def _make_registry(self) -> CollectorRegistry:
        from prometheus_client import CollectorRegistry, ProcessCollector

        registry = CollectorRegistry()
        registry.register(cast("Collector", self))  # it asks for nothing but collect()
        ProcessCollector(registry=registry)
        return registry


def _family(metric: Metric, samples: list[Sample]) -> Family:
    """Return a metric with its values, in the library's form."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    if metric.kind is MetricKind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for sample in samples:
            assert isinstance(sample.value, Distribution)
            histogram.add_metric(sample.labels, _summed(sample.value), sample.value.sum_s)
        return histogram
    make = CounterMetricFamily if metric.kind is MetricKind.COUNTER else GaugeMetricFamily
    family = make(metric.name, metric.help, labels=metric.labels)
    for sample in samples:
        assert not isinstance(sample.value, Distribution)
        family.add_metric(sample.labels, float(sample.value))
    return family


def _summed(value: Distribution) -> list[tuple[str, float]]:
    """Return the buckets as Prometheus has them: each counts what the smaller ones do, too."""
    total, buckets = 0, []
    for bound, count in zip(_BOUNDS, value.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets
