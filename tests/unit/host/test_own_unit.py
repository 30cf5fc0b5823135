"""Goal: a program knows which unit it is part of, on whatever kernel. Method: what /proc/PID/cgroup says on such machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfs.host import own_unit


@pytest.mark.parametrize(
    ("control_groups", "unit"),
    [
        ("0::/system.slice/system-dfs\\x2ddata.slice/dfs-data@1.service\n", "dfs-data@1.service"),
        ("0::/system.slice/mnt-on\\x20demand.mount\n", "mnt-on\\x20demand.mount"),
        ("9:name=systemd:/dfs.slice/dfs-meta.service\n4:memory:/other.service\n0::/\n", "dfs-meta.service"),
        ("0::/user.slice/user-0.slice/session-3.scope\n", "session-3.scope"),
        ("0::/system.slice/dfs-meta.service/payload.scope\n", "dfs-meta.service"),
        ("0::/system.slice/_cpu.service\n", "cpu.service"),
        ("0::/init.scope\n", "init.scope"),
        ("9:name=systemd:/\n4:memory:/process/7\n0::/\n", ""),
        ("0::/docker/4711\n", ""),
        ("", ""),
    ],
)
def test_unit_is_the_first_below_the_slices(control_groups: str, unit: str) -> None:
    assert own_unit.unit_in(control_groups) == unit


def test_machine_without_control_groups_has_no_unit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(own_unit, "CONTROL_GROUPS", tmp_path / "cgroup")
    assert own_unit.own_unit() == ""
    (tmp_path / "cgroup").write_text("0::/dfs.slice/dfs-meta.service\n")
    assert own_unit.own_unit() == "dfs-meta.service"
