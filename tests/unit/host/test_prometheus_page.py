"""Goal: what programs measured is on the page, as Prometheus reads it. Method: sources made by hand, the page read by
prometheus_client's own parser.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dfs.core.errors import DiskFailed
from dfs.core.events.catalogue import ALL_KINDS
from dfs.core.events.copies import COPY_REPAIRED, SCRUB_REPAIRED
from dfs.core.events.data_server import CORRUPT_RECORD
from dfs.core.events.event import Event
from dfs.core.meters import OK, CallMeter
from dfs.core.metrics import ALL_METRICS, CONNECTIONS, DATA_BLOCKS, REQUEST_SECONDS, REQUESTS, MetricKind, Sample
from dfs.host.event_counts import DAMAGE, CountedEvents
from dfs.host.prometheus_page import PrometheusPage
from tests.harness.recorded_events import RecordedEvents

PROGRAMS = ("meta", "data", "mount")
Shown = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Source:
    """Tells what a test gave it; then fails, if it is told to."""

    def __init__(self, *samples: Sample, fails: bool = False) -> None:
        self.samples = samples
        self.fails = fails

    def measures(self) -> Iterator[Sample]:
        yield from self.samples
        if self.fails:
            raise DiskFailed("stat", "/", "gone")


def page_of(*sources: Source | CountedEvents, kind: str = "data") -> PrometheusPage:
    page = PrometheusPage(program="dfs-data", kind=kind, version="1.2")
    page.add(*sources)
    return page


def shown(page: PrometheusPage) -> Shown:
    """Return all values by name and labels."""
    families = text_string_to_metric_families(page.render().body.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_every_metric_of_a_program_is_on_its_page_before_anything_happened(kind: str) -> None:
    families = {family.name: family for family in text_string_to_metric_families(page_of(kind=kind).render().body.decode())}
    expected = {metric.name.removesuffix("_total"): metric for metric in ALL_METRICS if kind in metric.programs}
    assert {name for name in families if name.startswith("dfs_")} == set(expected)
    for name, metric in expected.items():
        assert families[name].type == metric.kind.value
        assert families[name].documentation == metric.help


def test_counters_gauges_and_histograms_read_as_they_were_told() -> None:
    meter = CallMeter(threading.Lock())
    meter.note(("put",), OK, 0.002)
    meter.note(("put",), OK, 0.3)
    (counts,) = meter.read()
    page = page_of(
        Source(Sample(REQUESTS, ("put", "ok"), 2), Sample(REQUEST_SECONDS, ("put",), counts.duration), Sample(CONNECTIONS, (), 5))
    )
    values = shown(page)
    put = ("method", "put")
    assert values["dfs_requests_total", (put, ("result", "ok"))] == 2
    assert values["dfs_connections", ()] == 5
    buckets = {dict(labels)["le"]: value for (name, labels), value in values.items() if name == "dfs_request_seconds_bucket"}
    assert (buckets["0.001"], buckets["0.0025"], buckets["0.25"], buckets["0.5"], buckets["+Inf"]) == (0, 1, 1, 2, 2)
    assert values["dfs_request_seconds_count", (put,)] == 2
    assert values["dfs_request_seconds_sum", (put,)] == pytest.approx(0.302)
    assert values["dfs_build_info", (("program", "dfs-data"), ("version", "1.2"))] == 1
    assert values["process_resident_memory_bytes", ()] > 1 << 20


def test_source_that_fails_is_left_out_from_there_on_and_counted() -> None:
    failing = Source(Sample(DATA_BLOCKS, ("damaged",), 1), fails=True)
    values = shown(page_of(failing, Source(Sample(CONNECTIONS, (), 2))))
    assert values["dfs_metrics_sources_failed", ()] == 1
    assert values["dfs_connections", ()] == 2
    failing.fails = False
    assert shown(page_of(failing))["dfs_metrics_sources_failed", ()] == 0


def test_events_are_passed_on_and_counted_with_what_they_say_of_damage_and_repairs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sink = RecordedEvents()
    events = CountedEvents(sink)
    kinds = (CORRUPT_RECORD, COPY_REPAIRED, SCRUB_REPAIRED, COPY_REPAIRED)
    told = [Event(kind, details=dict.fromkeys(kind.names(), "x") | {"count": 7}) for kind in kinds]
    for event in told:
        events.emit(event)
    assert sink.events == told
    values = shown(page_of(events))
    assert {dict(labels)["event"]: value for (name, labels), value in values.items() if name == "dfs_events_total"} == {
        **{kind.name: 0.0 for kind in ALL_KINDS},
        "CORRUPT_RECORD": 1.0,
        "COPY_REPAIRED": 2.0,
        "SCRUB_REPAIRED": 1.0,
    }
    found = {dict(labels)["what"]: value for (name, labels), value in values.items() if name == "dfs_corruption_found_total"}
    assert found == {**dict.fromkeys(DAMAGE.values(), 0.0), "record": 1.0}
    repaired = {dict(labels)["by"]: value for (name, labels), value in values.items() if name == "dfs_copies_repaired_total"}
    assert repaired == {"read": 2.0, "scrub": 7.0}


def test_catalogue_follows_prometheus_rules_for_names() -> None:
    names = [metric.name for metric in ALL_METRICS]
    assert len(names) == len(set(names))
    for metric in ALL_METRICS:
        assert metric.name.startswith("dfs_")
        assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER)
        assert metric.kind is not MetricKind.HISTOGRAM or metric.name.endswith("_seconds")
        assert metric.help.endswith(".")
        assert set(metric.programs) <= set(PROGRAMS)
        assert not {"le", "instance", "job"} & set(metric.labels)
