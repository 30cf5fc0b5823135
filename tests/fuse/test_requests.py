"""Goal: one search finds what every program did about one operation of a user. Method: real processes that log everything."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.harness.cluster import Cluster
from tests.harness.program import Program
from tests.harness.waiting import wait_until


def requests_of(program: Program, what: str) -> set[str]:
    """Return the request identifiers of the lines in which a program says `what`."""
    return set(re.findall(rf": {what} \(request ([^)]+)\)$", program.log_text(), re.MULTILINE))


def test_lines_about_one_operation_name_the_same_request_in_every_log(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(n=2, log_level="debug")
    cluster.start(mounts=1)
    (cluster.mount().path / "film").write_bytes(b"x" * 3000)
    (created,) = requests_of(cluster.mount(), "create")
    assert created in requests_of(cluster.meta, "create")
    written = requests_of(cluster.mount(), "write")
    assert written
    for index in range(2):
        wait_until(lambda index=index: written <= requests_of(cluster.data(index), "put"), "the write in the data servers' logs")  # type: ignore[misc]
