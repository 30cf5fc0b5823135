"""GlusterFS as its manual sets it up: glusterd and a volume of two bricks with replica 2, all else at its defaults.

Its state and logs lie where namespace.furnish() has put them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.bench.namespace import ADDRESS, run
from tests.bench.peers.peer import PeerTarget
from tests.harness.program import Program
from tests.harness.waiting import wait_until

NAME: Final = "glusterfs"
VOLUME: Final = "bench"
GLUSTER: Final = ("gluster", "--mode=script")
READY_TIMEOUT_S: Final = 60.0


@contextmanager
def glusterfs_target(folder: Path) -> Iterator[PeerTarget]:
    """Start it in a folder and mount it."""
    folder.mkdir()
    log_file = folder / "glusterd.log"
    daemon = Program("glusterd", ["glusterd", "-N", "-l", str(log_file)], folder / "output.log", folder)
    try:
        daemon.start()
        wait_until(_answers, "glusterd to answer", READY_TIMEOUT_S)
        bricks = [f"{ADDRESS}:{folder}/brick{number}" for number in (1, 2)]
        run(*GLUSTER, "volume", "create", VOLUME, "replica", 2, *bricks, "force")
        run(*GLUSTER, "volume", "start", VOLUME)
        target = PeerTarget(NAME, folder, lambda path: run("mount", "-t", "glusterfs", f"{ADDRESS}:/{VOLUME}", path))
        _check_copies(folder, target)
        yield target
        run("umount", target.path)
        run(*GLUSTER, "volume", "stop", VOLUME, "force")
    finally:
        daemon.end_for_sure()


def _answers() -> bool:
    return subprocess.run([*GLUSTER, "volume", "info"], capture_output=True, check=False, timeout=60).returncode == 0


def _check_copies(folder: Path, target: PeerTarget) -> None:
    """Make sure that a file is on both bricks: a brick that is not up yet would make it look fast."""

    def is_on_both() -> bool:
        probe = target.path / "probe"
        probe.write_bytes(b"x")
        copies = [(folder / f"brick{number}" / "probe").exists() for number in (1, 2)]
        probe.unlink()
        return all(copies)

    wait_until(is_on_both, "a file to have two copies", READY_TIMEOUT_S)
