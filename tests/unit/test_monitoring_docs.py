"""Goal: documented, alerted on, drawn and exposed are the same metrics with the same labels.

Method: docs/monitoring.md, the alert file and the dashboard are read and compared with the catalogue. That programs expose the
catalogue is shown by tests/unit/host/test_prometheus_page.py and tests/probe/test_metrics.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from dfs.core import errors
from dfs.core.events.catalogue import ALL_KINDS
from dfs.core.messages.cluster import RoleState
from dfs.core.metrics import ALL_METRICS, Metric, MetricKind
from dfs.meta.measures import STATES

DOCS = Path(__file__).resolve().parents[2] / "docs"
BY_NAME = {metric.name: metric for metric in ALL_METRICS}
OF_HISTOGRAMS = ("_bucket", "_sum", "_count")
OTHERS = {"up", "process_resident_memory_bytes"}
"""Names that Prometheus itself and prometheus_client make."""
OF_SCRAPES = {"instance", "job", "le"}
VALUES = {
    ("dfs_data_role_state", "state"): {state.value for state in RoleState},
    ("dfs_data_blocks", "state"): {"journalled", "damaged", "unreadable"},
    ("dfs_meta_state", "state"): set(STATES),
    ("dfs_events_total", "event"): {kind.name for kind in ALL_KINDS},
    ("dfs_requests_total", "result"): {"ok", *vars(errors)},
    ("dfs_calls_total", "result"): {"ok", *vars(errors)},
    ("dfs_operations_total", "result"): {"ok"},
    ("dfs_disk_seconds", "area"): {"journal", "strips"},
    ("dfs_disk_seconds", "operation"): {"read", "write", "sync", "replace"},
    ("dfs_meta_database_seconds", "operation"): {"read", "change", "commit"},
    ("dfs_operation_seconds", "operation"): {"read", "write"},
    ("dfs_request_seconds", "method"): {"heartbeat"},
    ("dfs_call_seconds", "method"): {"heartbeat"},
}
"""What a label may be compared with."""
SELECTOR = re.compile(r"(?<![\w\"])([a-z]\w*)(?:\{([^}]*)\})?(?=[\s)\[,]|$)")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
WORDS = {"sum", "count", "max", "min", "rate", "increase", "time", "vector", "histogram_quantile", "by", "or", "and", "on"}


def alerts() -> dict[str, str]:
    """Return the expression of each alert by its name."""
    text = (DOCS / "monitoring" / "dfs-alerts.yml").read_text()
    found = re.findall(r"^      - alert: (\w+)\n        expr: (.*)\n", text, re.MULTILINE)
    assert len(found) == text.count("- alert:") == text.count("summary:") == text.count("todo:") == text.count("severity:")
    return dict(found)


def drawn() -> list[str]:
    """Return the expressions of the dashboard."""
    dashboard = json.loads((DOCS / "monitoring" / "dfs-dashboard.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def metric_of(name: str) -> Metric | None:
    """Return the metric that a name in an expression means; None: there is none."""
    found = BY_NAME.get(name)
    if found is not None:
        return None if found.kind is MetricKind.HISTOGRAM else found
    for suffix in OF_HISTOGRAMS:
        found = BY_NAME.get(name.removesuffix(suffix))
        if name.endswith(suffix) and found is not None and found.kind is MetricKind.HISTOGRAM:
            return found
    return None


def selectors(expression: str) -> Iterator[tuple[str, str]]:
    """Yield the names in an expression, each with what stands in its braces."""
    grouped = re.sub(r"\bby \([^)]*\)", "", expression)
    for name, matchers in SELECTOR.findall(grouped):
        if name not in WORDS:
            yield name, matchers


def mistakes(expression: str) -> Iterator[str]:
    """Yield what is wrong with the names, labels and values of an expression."""
    labels = set(OF_SCRAPES)
    for name, matchers in selectors(expression):
        metric = metric_of(name)
        if metric is None:
            if name not in OTHERS:
                yield f"no metric {name}"
            continue
        labels |= set(metric.labels)
        for label, operator, value in MATCHER.findall(matchers):
            if label not in {*metric.labels, *OF_SCRAPES}:
                yield f"{name} has no label {label}"
            allowed = VALUES.get((metric.name, label))
            for word in value.split("|") if "~" in operator else [value]:
                if allowed is not None and word not in allowed:
                    yield f"{name} has no {label} {word}"
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        for label in group.split(","):
            if label.strip() not in labels:
                yield f"nothing in {expression} has the label {label.strip()}"


def test_the_check_finds_wrong_names_labels_and_values() -> None:
    assert list(mistakes('sum by (operation) (rate(dfs_operations_total{result!="ok"}[5m])) > 0')) == []
    for wrong in (
        "dfs_nothing > 0",
        "rate(dfs_request_seconds[5m])",
        "dfs_connections_bucket",
        'dfs_meta_state{stat="ok"}',
        'dfs_meta_state{state=~"ok|asleep"}',
        "sum by (methods) (dfs_requests_total)",
    ):
        assert list(mistakes(wrong)), wrong


def test_alerts_use_only_what_is_measured() -> None:
    for name, expression in alerts().items():
        assert list(mistakes(expression)) == [], name
        assert list(selectors(expression)), name


def test_dashboard_uses_only_what_is_measured() -> None:
    for expression in drawn():
        assert list(mistakes(expression)) == [], expression
        assert list(selectors(expression)), expression


def test_dashboard_draws_every_metric() -> None:
    shown = {found.name for expression in drawn() for name, _ in selectors(expression) if (found := metric_of(name)) is not None}
    assert shown == set(BY_NAME)


def test_every_metric_is_documented_and_no_other() -> None:
    rows = re.findall(r"^\| `(dfs_\w+)` \| (\w+) \| (.*?) \| (.*?) \| (.*) \|$", (DOCS / "monitoring.md").read_text(), re.MULTILINE)
    assert [row[0] for row in rows] == list(BY_NAME)
    for name, kind, labels, programs, text in rows:
        metric = BY_NAME[name]
        expected = (metric.kind.value, list(metric.labels), ", ".join(metric.programs), metric.help)
        assert (kind, re.findall(r"`(\w+)`", labels), programs, text) == expected, name
