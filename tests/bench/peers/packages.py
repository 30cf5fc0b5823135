"""Debian's packages of the peers: installed if absent, without starting any service.

Whoever installs them finds policy-rc.d forbidding services to start, as long as apt runs and in apt's own mount namespace alone.
The packages stay; their units are not enabled by us, and those that installing enabled are disabled again.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

POLICY: Final = Path("/usr/sbin/policy-rc.d")
APT_TIMEOUT_S: Final = 600.0
APT: Final = "apt-get -qq -o DPkg::Lock::Timeout=120"
INSTALL: Final = """
set -e
[ -e {policy} ] || {{ touch {policy}; trap 'rm -f {policy}' EXIT; }}
printf '#!/bin/sh\\nexit 101\\n' >"$1"
chmod 755 "$1"
mount --bind "$1" {policy}
trap 'umount {policy}; [ -s {policy} ] || rm -f {policy}' EXIT
shift
export DEBIAN_FRONTEND=noninteractive
{apt} install -y --no-install-recommends "$@" || {{ {apt} update && {apt} install -y --no-install-recommends "$@"; }}
"""
"""Arguments: a file for the policy, then packages. An empty policy-rc.d, should it remain, forbids nothing."""


class Needs(NamedTuple):
    """What a peer needs of this machine."""

    programs: tuple[str, ...]
    packages: tuple[str, ...]
    services: tuple[str, ...]


NEEDS: Final = {
    "moosefs": Needs(
        ("mfsmaster", "mfschunkserver", "mfsmount", "mfssetgoal", "mfssettrashtime"),
        ("moosefs-master", "moosefs-chunkserver", "moosefs-client"),
        ("moosefs-master", "moosefs-chunkserver"),
    ),
    "glusterfs": Needs(
        ("glusterd", "glusterfsd", "gluster", "mount.glusterfs"), ("glusterfs-server", "glusterfs-client"), ("glusterd",)
    ),
}


def install_absent(peer: str) -> str:
    """Install what a peer needs; return in words why it can't be used here, nothing if it can."""
    needs = NEEDS[peer]
    if not missing(needs):
        return ""
    if shutil.which("apt-get") is None:
        return f"no {', '.join(missing(needs))}, and no apt-get to install {', '.join(needs.packages)}"
    script = INSTALL.format(policy=POLICY, apt=APT)
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    try:
        with tempfile.TemporaryDirectory(prefix="dfs-bench-") as folder:
            done = subprocess.run(
                [*command, f"{folder}/policy", *needs.packages],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=APT_TIMEOUT_S,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"installing {', '.join(needs.packages)} failed: {error}"
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()
        return f"installing {', '.join(needs.packages)} failed: {said[-1]}"
    _leave_disabled(needs)
    return f"no {', '.join(missing(needs))} after installing {', '.join(needs.packages)}" if missing(needs) else ""


def missing(needs: Needs) -> list[str]:
    """Return the programs that are not there."""
    return [program for program in needs.programs if shutil.which(program) is None]


def _leave_disabled(needs: Needs) -> None:
    """Let no service that was installed here start at the next boot. They were absent before, so nobody had enabled them."""
    if Path("/run/systemd/system").exists():
        subprocess.run(["systemctl", "disable", *needs.services], check=False, capture_output=True, timeout=60)
