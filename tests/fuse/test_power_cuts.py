"""Goal: a data server whose machine lost power is not trusted before it has got back from its neighbours what the power cut took.

Method: real processes and a real mount. A power cut is played by putting the state folder back to what it was a while before, under
the mark of another boot; then every file is read while each neighbour in turn is dead, so that the server by itself answers.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.fuse.test_rebuild import (
    REBUILD_TIMEOUT_S,
    REBUILT,
    assert_reads_with_each_neighbour_dead,
    dfsctl,
    digests,
    make_files,
    server_states,
    wait_rebuilt,
)
from tests.fuse.test_rules import DOWN
from tests.harness.cluster import Cluster
from tests.harness.waiting import wait_until

SERVER = 1
UNCLEAN = "the last stop was not clean"


def keep_folder(cluster: Cluster, kept: Path) -> None:
    """Copy a server's folder while nothing writes there."""
    cluster.data(SERVER).kill()
    shutil.copytree(cluster.state_folder(SERVER), kept)
    cluster.restart(cluster.data(SERVER))


def power_cut(cluster: Cluster, kept: Path) -> None:
    """Leave of a server's disk what was there a while ago, and let another kernel run."""
    cluster.data(SERVER).kill()
    folder = cluster.state_folder(SERVER)
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)
    mark = folder / "running"
    members = json.loads(mark.read_bytes())
    assert not members["clean"]
    members["boot_id"] = "00000000-0000-0000-0000-000000000000"
    mark.write_bytes(json.dumps(members).encode().ljust(511) + b"\n")


def test_server_whose_machine_lost_power_gets_back_what_it_lost(cluster: Cluster, tmp_path: Path) -> None:
    cluster.allow(DOWN, REBUILT, UNCLEAN)
    root = cluster.mount().path
    make_files(root)
    moments = cluster.state_folder(SERVER) / "synced"
    roles = {"primary", "secondary"}
    wait_until(lambda: moments.exists() and roles <= json.loads(moments.read_bytes()).keys(), "both roles to be synced")
    keep_folder(cluster, tmp_path / "kept")
    for number in range(0, 40, 3):
        path = root / f"folder{number % 4}" / f"file{number}"
        path.write_bytes(path.read_bytes()[::-1] + b"more")
        path.with_suffix(".new").write_bytes(b"new" * (1 + 3000 * number))
    with (root / "large").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"over" * 50_000)
    expected = digests(root)
    power_cut(cluster, tmp_path / "kept")
    next_server = (SERVER + 1) % cluster.n
    cluster.data(next_server).kill()  # so that one role of it can't be compared yet
    cluster.restart(cluster.data(SERVER))
    wait_until(lambda: server_states(cluster)[SERVER] == ("suspect", "complete"), "one role to be compared", REBUILD_TIMEOUT_S)
    assert "primary suspect" in dfsctl(cluster, "status").stdout
    cluster.restart(cluster.data(next_server))
    wait_rebuilt(cluster)
    assert digests(root) == expected
    assert_reads_with_each_neighbour_dead(cluster, SERVER, expected)
    assert "the machine stopped" in cluster.data(SERVER).log_text()
