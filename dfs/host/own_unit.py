"""Which unit of systemd this process is part of, as its control group says.

The journal adds that to each line by itself, but looks it up when it comes to the line: of a program that told why it ends, and has
ended, there is nothing left to look up. Called by dfs/host/journal.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

CONTROL_GROUPS: Final = Path("/proc/self/cgroup")
_UNIT: Final = re.compile(r"_?(.+\.(?:service|mount|scope|socket|swap))")
"""In a path of control groups; one whose name could be taken for a file of the kernel's has a low line before it."""


def own_unit() -> str:
    """Return its name; "" if there is none, or no systemd."""
    try:
        return unit_in(CONTROL_GROUPS.read_text())
    except OSError:
        return ""


def unit_in(control_groups: str) -> str:
    """Return the unit that the lines of a /proc/PID/cgroup (cgroups(7)) name; "" for none. Pure."""
    for line in control_groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "name=systemd"):
            below_slices = [part for part in path.split("/") if part and not part.endswith(".slice")]
            found = _UNIT.fullmatch(below_slices[0]) if below_slices else None
            if found is not None:
                return found[1]
    return ""
