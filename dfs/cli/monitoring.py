"""What a server shows to a monitoring system, put together: the page, and who may ask for it.

Called by what puts servers and mounts together, which add their sources. What is measured is each part's own business.
"""

from __future__ import annotations

import dfs
from dfs.core.config import MetricsConfig
from dfs.host.prometheus_page import PrometheusPage
from dfs.rpc.metrics_page import NO_METRICS, MetricsPage


def make_page(*, program: str, kind: str) -> PrometheusPage:
    """Return the page of a program, to which its sources are yet to be added; `kind`: meta, data or mount."""
    return PrometheusPage(program=program, kind=kind, version=dfs.__version__)


def served(page: PrometheusPage, config: MetricsConfig, *, is_on: bool) -> MetricsPage:
    """Return what a server answers to GET /metrics."""
    return MetricsPage(page.render, config.networks_allowed) if is_on else NO_METRICS
