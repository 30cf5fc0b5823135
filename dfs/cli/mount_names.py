"""What files that belong to a mount are called, and where they are: names that no other mount of this machine has.

Called by mount_metrics.py and mount.py.
"""

from __future__ import annotations

import hashlib
import os
import urllib.parse
from pathlib import Path
from typing import Final

SESSIONS: Final = Path("/run/dfs/sessions")
NAME_BYTES_MAX: Final = 255
_SUM_DIGITS: Final = 16


def file_name(point: bytes, suffix: str, room: int = NAME_BYTES_MAX) -> str:
    """Return the name of a file of the mount at `point`, percent-encoded, of at most `room` bytes.

    One that would be longer is cut and ends with a checksum.
    """
    quoted = urllib.parse.quote(point, safe="")
    room -= len(suffix)
    if len(quoted) > room:
        sum_of_all = hashlib.sha256(point).hexdigest()[:_SUM_DIGITS]
        quoted = f"{quoted[: max(0, room - _SUM_DIGITS - 1)]}~{sum_of_all}"
    return quoted + suffix


def diary_path(point: bytes) -> Path | None:
    """Return where the mount at `point` keeps its diary of sessions; None: this user has no folder that a restart empties."""
    if os.geteuid() == 0:
        return SESSIONS / file_name(point, "")
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(folder, "dfs", "sessions", file_name(point, "")) if folder else None
