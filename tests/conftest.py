"""Fixtures for tests with real processes, and two rules for all: nothing is left behind, and in CI a skip is a failure."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.harness.cluster import Cluster
from tests.harness.leftovers import remove_leftovers


def pytest_configure() -> None:
    """Let tests and programs under test begin with the usual umask and signals, whoever runs us.

    What runs in the background (nohup, a shell's &) has some of them ignored, and ignoring is inherited. A handler is not.
    """
    os.umask(0o022)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    hypothesis.settings.register_profile("dfs", deadline=None)  # how long an example takes says nothing on a busy machine
    hypothesis.settings.load_profile("dfs")


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Make clusters, not yet started; afterwards their logs must be quiet (Cluster.allow) and nothing of them is left."""
    made: list[Cluster] = []

    def make(**options: Any) -> Cluster:
        made.append(Cluster(tmp_path / f"cluster{len(made)}", **options))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()
        print(cluster.logs())  # pytest shows it if the test failed
    for cluster in made:
        cluster.assert_quiet()


@pytest.fixture
def cluster(make_cluster: Callable[..., Cluster]) -> Cluster:
    """Return a running cluster of four data servers with one mount."""
    made = make_cluster()
    made.start(mounts=1)
    return made


@pytest.fixture(autouse=True, scope="session")
def nothing_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the run if a process or a mount of ours outlives its test; remove it all the same."""
    yield
    left = remove_leftovers(tmp_path_factory.getbasetemp())
    assert not left, "left behind by tests: " + "; ".join(left)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where CI is set: a test that can't run there checks nothing."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {item.nodeid}: {report.longrepr}"
    return report
