"""Goal: an operator sees with dfsctl what is wrong, also when servers are dead or hang, and scripts can rely on its exit status.
Method: the program itself against real servers that are stopped, killed and paused.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.cluster import Cluster
from tests.harness.leftovers import marked_environment
from tests.harness.program import ROOT, module_command
from tests.harness.waiting import wait_until

ANSWER_S_MAX = 9.0
"""A server that hangs is given up after 5 s; meta and data servers are asked one after the other."""


def dfsctl(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = marked_environment() | {"PYTHONPATH": str(ROOT)} | environment
    command = module_command("dfs.cli.dfsctl", *arguments)
    return subprocess.run(command, check=False, env=variables, capture_output=True, text=True, timeout=60)


def json_status(cluster: Cluster) -> tuple[int, Any]:
    done = dfsctl("status", "--json", "--config", cluster.config_file)
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def healthy(make_cluster: Callable[..., Cluster]) -> Cluster:
    cluster = make_cluster(n=4, block_size=1024)
    cluster.start()
    wait_until(lambda: json_status(cluster)[0] == 0, "the cluster to be healthy")
    return cluster


def test_status_of_a_healthy_cluster_is_0_and_names_all_its_parts(healthy: Cluster) -> None:
    status, shown = json_status(healthy)
    assert status == 0
    assert list(shown) == ["cluster", "meta", "servers", "mounts"]
    assert (shown["cluster"]["n"], shown["cluster"]["block_size"]) == (4, 1024)
    assert shown["meta"] == {"address": healthy.meta_address, "state": "ok"}
    for index, server in enumerate(shown["servers"]):
        assert (server["index"], server["address"]) == (index, f"127.0.0.1:{healthy.data_ports[index]}")
        assert (server["state"], server["primary"], server["secondary"]) == ("ok", "complete", "complete")
        assert 0 < server["free_bytes"] <= server["total_bytes"]
    assert shown["mounts"] == []


def test_status_takes_the_meta_server_from_an_option_or_the_environment(healthy: Cluster) -> None:
    assert dfsctl("status", "--meta", healthy.meta_address).returncode == 0
    assert dfsctl("status", DFS_CONFIG=str(healthy.config_file)).returncode == 0


def test_status_with_servers_down_is_1_until_two_neighbours_are(healthy: Cluster) -> None:
    healthy.data(0).kill()
    healthy.data(2).stop()
    status, shown = json_status(healthy)
    assert status == 1
    assert [server["state"].partition(":")[0] for server in shown["servers"]] == ["unreachable", "ok", "unreachable", "ok"]
    healthy.data(1).kill()
    assert json_status(healthy)[0] == 2
    human = dfsctl("status", "--config", healthy.config_file)
    assert human.returncode == 2
    assert "DATA AT RISK" in human.stdout
    healthy.allow("the last stop was not clean")


def test_status_with_a_server_that_hangs_is_bounded_in_time_and_shows_it(healthy: Cluster) -> None:
    healthy.data(3).pause()
    began = time.monotonic()
    status, shown = json_status(healthy)
    assert time.monotonic() - began < ANSWER_S_MAX
    assert status == 1
    assert shown["servers"][3]["state"].startswith("unreachable: no answer")
    healthy.data(3).resume()
    assert json_status(healthy)[0] == 0


def test_status_without_meta_is_5_and_one_line(healthy: Cluster) -> None:
    healthy.meta.stop()
    done = dfsctl("status", "--config", healthy.config_file)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.count("\n") == 1
    assert healthy.meta_address in done.stderr


def test_status_of_a_meta_that_hangs_is_5_in_bounded_time(healthy: Cluster) -> None:
    healthy.meta.pause()
    began = time.monotonic()
    assert dfsctl("status", "--config", healthy.config_file).returncode == 5
    assert time.monotonic() - began < ANSWER_S_MAX
    healthy.meta.resume()


def test_safe_to_stop_is_true_to_what_readers_then_see(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(n=4)
    cluster.start(mounts=1)
    path, content = cluster.mount().path / "file", bytes(range(256)) * 100
    path.write_bytes(content)
    config = ("--config", cluster.config_file)
    assert dfsctl("safe-to-stop", 4, *config).returncode == 2
    safe = dfsctl("safe-to-stop", 1, *config)
    assert (safe.returncode, safe.stderr) == (0, "")
    cluster.data(1).stop()
    cluster.allow("does not answer", "waiting for meta-server")
    assert path.read_bytes() == content
    assert dfsctl("safe-to-stop", 3, *config).returncode == 0
    unsafe = dfsctl("safe-to-stop", 2, "--json", *config)
    assert unsafe.returncode == 1
    assert [loss["twin"] for loss in json.loads(unsafe.stdout)["losses"]] == [1]
    cluster.data(3).stop()
    assert path.read_bytes() == content
    assert dfsctl("safe-to-stop", 0, *config).returncode == 1
    cluster.data(1).start()
    cluster.data(3).start()
    cluster.wait_ready()
    wait_until(lambda: dfsctl("safe-to-stop", 2, *config).returncode == 0, "the neighbours to be back")
    cluster.meta.stop()
    assert dfsctl("safe-to-stop", 2, *config).returncode == 5
    cluster.meta.start()
