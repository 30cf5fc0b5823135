"""Goal: the units of a mount say what its programs mean, and no directive hides the mount. Method: read them as text."""

from __future__ import annotations

import re
from pathlib import Path

from dfs.cli.mount import END_WAITS
from dfs.core.config import SHUTDOWN_GRACE_S_MAX
from dfs.core.errors import ExitCode

UNITS = Path(__file__).resolve().parents[4] / "packaging" / "systemd"
HIDING = re.compile(
    r"^(Protect(System|Home|KernelTunables|ControlGroups|KernelLogs|KernelModules|Proc)|Private\w+|ProcSubset|Bind\w*Paths|"
    r"ReadWritePaths|ReadOnlyPaths|InaccessiblePaths|TemporaryFileSystem|RootDirectory|RootImage|DynamicUser|ExecPaths|NoExecPaths)=",
    re.MULTILINE,
)
"""Directives that give a service a mount namespace of its own: the client would run, and nobody would see its mount."""


def test_client_has_no_mounts_of_its_own() -> None:
    assert not HIDING.search((UNITS / "dfs-mount@.service").read_text())


def test_client_is_not_started_again_where_that_is_no_use() -> None:
    hopeless = (ExitCode.USAGE, ExitCode.CONFIGURATION, ExitCode.STATE, ExitCode.MOUNT_POINT)
    line = "RestartPreventExitStatus=" + " ".join(str(int(code)) for code in hopeless)
    assert line in (UNITS / "dfs-mount@.service").read_text().splitlines()


def test_client_has_time_for_the_longest_grace() -> None:
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)s$", (UNITS / "dfs-mount@.service").read_text(), re.MULTILINE)
    assert int(stop_s) > SHUTDOWN_GRACE_S_MAX


def test_shutdown_tells_clients_at_once_and_in_no_order() -> None:
    unit = (UNITS / "dfs-shutdown.service").read_text()
    assert f"ExecStop=/usr/bin/dfs-mount {END_WAITS}\n" in unit
    assert not re.search(r"^(After|Before)=", unit, re.MULTILINE)
