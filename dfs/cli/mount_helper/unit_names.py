"""Names that systemd and dfs make of a mount point's path (pure): units, and the file of a mount's parameters.

Unit names are escaped as systemd.unit(5) says under "String Escaping for Inclusion in Unit Names". The parameters' file is named
otherwise, because systemd takes backslashes in the names of files that units read for patterns.
"""

from __future__ import annotations

import posixpath
import urllib.parse
from pathlib import Path
from typing import Final

PARAMETERS_FOLDER: Final = Path("/run/dfs/mounts")
NAME_BYTES_MAX: Final = 255
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.")


def escape_path(path: bytes) -> str:
    """Return what `systemd-escape --path` prints for an absolute path."""
    inner = posixpath.normpath(path).strip(b"/")
    if not inner:
        return "-"
    return "".join(_escape_byte(byte, is_first=not index) for index, byte in enumerate(inner))


def mount_unit(point: bytes) -> str:
    """Return the name of the unit that systemd has for a mount at `point`."""
    return f"{escape_path(point)}.mount"


def client_unit(point: bytes) -> str:
    """Return the name of the unit that runs the client of a mount at `point`."""
    return f"dfs-mount@{escape_path(point)}.service"


def parameters_file(point: bytes, folder: Path = PARAMETERS_FOLDER) -> Path:
    """Return where the parameters of the client for `point` stand."""
    return folder / urllib.parse.quote(point, safe="")


def has_short_names(point: bytes) -> bool:
    """Tell whether the unit and the file can have their names: neither may be longer than NAME_BYTES_MAX."""
    return max(len(client_unit(point)), len(parameters_file(point).name)) <= NAME_BYTES_MAX


def _escape_byte(byte: int, *, is_first: bool) -> str:
    if byte == ord("/"):
        return "-"
    if byte not in _PLAIN or (is_first and byte == ord(".")):
        return f"\\x{byte:02x}"
    return chr(byte)
