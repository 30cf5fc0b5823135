"""Goal: a program that can't start, or ends, says why in the journal with an event of its own, and in one line without a journal.
Method: real programs that meet real obstacles, with a journal that is a file.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dfs.core.events.event import EventKind
from dfs.core.events.programs import (
    CONFIG_WRONG,
    FOLDER_NOT_MOUNTED,
    FOLDER_UNUSABLE,
    MOUNT_POINT_UNUSABLE,
    PEER_MISSING,
    PORT_TAKEN,
    STATE_TOO_NEW,
)
from tests.harness.cluster import Cluster
from tests.harness.leftovers import marked_environment
from tests.harness.patched import journalled_command, read_journal
from tests.harness.program import ROOT, module_command

Start = Callable[[Cluster], tuple[object, ...]]


def edit(cluster: Cluster, old: str, new: str) -> None:
    text = cluster.config_file.read_text()
    assert old in text
    cluster.config_file.write_text(text.replace(old, new, 1))


def taken_port(cluster: Cluster) -> tuple[object, ...]:
    cluster.data(0).start()
    cluster.data(0).wait_for_log("ready")
    return ("dfs.cli.data", 0)


def missing_disk(cluster: Cluster) -> tuple[object, ...]:
    edit(cluster, "[data:0]", "[data]\nrequire_mount = yes\n[data:0]")
    return ("dfs.cli.data", 0)


def folder_in_use(cluster: Cluster) -> tuple[object, ...]:
    taken_port(cluster)
    edit(cluster, str(cluster.data_ports[0]), str(cluster.meta_port + 5000))
    return ("dfs.cli.data", 0)


def wrong_value(cluster: Cluster) -> tuple[object, ...]:
    edit(cluster, "block_size = 512", "block_size = 7")
    return ("dfs.cli.meta",)


def no_meta(cluster: Cluster) -> tuple[object, ...]:
    return ("dfs.cli.dfsctl", "status")


def no_mount_point(cluster: Cluster) -> tuple[object, ...]:
    return ("dfs.cli.mount", cluster.folder / "missing")


def newer_state(cluster: Cluster) -> tuple[object, ...]:
    cluster.state_folder(0).mkdir()
    (cluster.state_folder(0) / "superblock").write_text(json.dumps({"format": 2, "crc32": 0}))
    return ("dfs.cli.data", 0)


OBSTACLES: list[tuple[Start, EventKind, str]] = [
    (taken_port, PORT_TAKEN, "another process listens there"),
    (missing_disk, FOLDER_NOT_MOUNTED, "to be a mount point"),
    (folder_in_use, FOLDER_UNUSABLE, "is in use by process"),
    (wrong_value, CONFIG_WRONG, "[cluster] block_size"),
    (no_meta, PEER_MISSING, "does not answer"),
    (no_mount_point, MOUNT_POINT_UNUSABLE, "missing"),
    (newer_state, STATE_TOO_NEW, "newer release"),
]


@pytest.mark.parametrize(("obstacle", "kind", "words"), OBSTACLES, ids=[kind.name for _, kind, _ in OBSTACLES])
def test_program_that_meets_an_obstacle_tells_of_it_by_its_own_event(
    make_cluster: Callable[..., Cluster], tmp_path: Path, obstacle: Start, kind: EventKind, words: str
) -> None:
    cluster = make_cluster(n=2)
    module, *arguments = obstacle(cluster)
    journal, options = tmp_path / "journal", ("--config", cluster.config_file)
    environment = marked_environment() | {"PYTHONPATH": str(ROOT)}
    told, plain = (
        subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=60)
        for command in (
            journalled_command(journal, str(module), *arguments, *options),
            module_command(str(module), *arguments, *options),
        )
    )
    assert told.stderr == ""
    entry = read_journal(journal)[-1]
    assert entry["MESSAGE_ID"] == kind.message_id
    assert entry["PRIORITY"] == "3"
    assert words in entry["DFS_REASON"]
    assert entry["DFS_PROGRAM"] == entry["SYSLOG_IDENTIFIER"]
    assert plain.stderr == f"{entry['DFS_PROGRAM']}: {entry['DFS_REASON']}\n"
    assert (told.returncode, plain.returncode) == (plain.returncode, told.returncode)
    assert told.returncode != 0
