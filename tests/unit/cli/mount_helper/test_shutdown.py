"""Goal: at shutdown every client is told, and at no other time anybody. Method: a process table and a systemctl of our own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from dfs.cli.mount import END_WAITS, main
from dfs.cli.mount_helper.shutdown import end_waits


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Return a process table with one process of each kind, and this very one under a client's name."""
    names = {11: "dfs-mount", 12: "mount.dfs", 13: "mount.fuse.dfs", 14: "dfs-meta", 15: "mount.dfs2", os.getpid(): "dfs-mount"}
    for pid, name in names.items():
        (tmp_path / "proc" / str(pid)).mkdir(parents=True)
        (tmp_path / "proc" / str(pid) / "comm").write_text(f"{name}\n")
    (tmp_path / "proc" / "16").mkdir()  # has just ended
    (tmp_path / "proc" / "mounts").touch()
    return tmp_path / "proc"


def pretend(folder: Path, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "systemctl"
    program.write_text(f'#!/bin/sh\n[ "$1" = is-system-running ] && echo {state}; exit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_all_clients_are_told_when_the_machine_stops(proc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(tmp_path, "stopping", monkeypatch)
    told: list[tuple[int, signal.Signals]] = []

    def send(pid: int, number: signal.Signals) -> None:
        told.append((pid, number))
        if pid == 11:
            raise ProcessLookupError

    assert end_waits(send, proc) == 0
    assert sorted(told) == [(11, signal.SIGUSR1), (12, signal.SIGUSR1), (13, signal.SIGUSR1)]


@pytest.mark.parametrize("state", ["running", "degraded", "starting"])
def test_nobody_is_told_while_the_machine_stays_up(proc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    pretend(tmp_path, state, monkeypatch)
    assert end_waits(lambda pid, number: pytest.fail(f"{pid} was told"), proc) == 0
    assert main([END_WAITS]) == 0
