"""Handing a mount's client to systemd: a service of its own, with its own control group, journal, watchdog and restarts.

A .mount unit starts its helper and never again looks after what that leaves behind; the service dfs-mount@ does. `systemctl start`
returns when the service says that it is ready: when the kernel and the client have met. Where the mount was asked for by a .mount
unit, as at boot, the service goes on trying after a failure, and the mount appears when the cluster does. Called by
dfs/cli/mount_helper/program.py.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Final

from dfs.cli.mount_helper.parameters import MountParameters, write_parameters
from dfs.cli.mount_helper.unit_names import PARAMETERS_FOLDER, client_unit, has_short_names
from dfs.core.start_errors import StartError

BOOTED: Final = Path("/run/systemd/system")
"""There if systemd runs this machine (sd_booted(3))."""
UNIT: Final = "dfs-mount@.service"
UNIT_FOLDERS: Final = (
    Path("/etc/systemd/system"),
    Path("/run/systemd/system"),
    Path("/usr/lib/systemd/system"),
    Path("/lib/systemd/system"),
)
SERVICE_PROGRAM: Final = "dfs-mount"
"""How the service's lines in the journal are marked."""


class MountFailed(StartError):
    """The service could not mount."""


def can_hand_over(point: bytes) -> bool:
    """Tell whether systemd can have the client for a mount at `point`, asked by this process: it runs, and dfs is installed."""
    is_installed = any((folder / UNIT).exists() for folder in UNIT_FOLDERS)
    return os.geteuid() == 0 and BOOTED.is_dir() and is_installed and has_short_names(point)


def is_asked_by_systemd() -> bool:
    """Tell whether this process was started for a .mount unit: those alone stay in the process group of systemd itself."""
    return os.getpgrp() == os.getpgid(1)


def hand_over(point: bytes, parameters: MountParameters, *, keeps_trying: bool, folder: Path = PARAMETERS_FOLDER) -> None:
    """Have systemd start the client, and return when the mount is live.

    Arguments: `keeps_trying`: whether the service may go on trying when its first start has failed.
    Raises: MountFailed; OSError; KeyboardInterrupt, after stopping the service.
    """
    write_parameters(point, parameters, folder)
    unit = client_unit(point)
    began_s = int(time.time())
    try:
        started = subprocess.run(["systemctl", "start", "--", unit], capture_output=True, text=True, check=False)
    except KeyboardInterrupt:
        _stop(unit)
        raise
    if started.returncode == 0:
        return
    reason = _last_words(unit, began_s) or started.stderr.strip() or f"systemctl start ended with status {started.returncode}"
    if not keeps_trying:
        _stop(unit)
    raise MountFailed(expected=f"{unit} to start", got=reason)


def _stop(unit: str) -> None:
    subprocess.run(["systemctl", "stop", "--", unit], capture_output=True, check=False)


def _last_words(unit: str, since_s: int) -> str:
    """Return the last line that the service's program left in the journal since then, "" if there is none."""
    query = ["journalctl", "--quiet", "--output=cat", "--no-pager", "--lines=1", f"--since=@{since_s}"]
    matches = [f"--unit={unit}", f"--identifier={SERVICE_PROGRAM}"]
    try:
        # What a program said last may still be on its way into the journal.
        subprocess.run(["journalctl", "--sync"], capture_output=True, check=False)
        return subprocess.run([*query, *matches], capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""  # no journalctl: systemctl's own words do
