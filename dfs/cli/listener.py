"""Which process listens on a port of this machine, and the state folder that it works in. Reads /proc and asks nobody.

Called by dfs/cli/corrupt.py; needs the rights to look at the process, so the same user or root.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dfs.core.start_errors import PeerStartError, StateError
from dfs.data.disk.superblock import NAME as SUPERBLOCK_NAME
from dfs.host.state_folder import LOCK_NAME

_LISTENING: Final = "0A"
"""TCP_LISTEN in /proc/net/tcp."""
_SOCKET: Final = re.compile(r"socket:\[([0-9]+)\]")


def find_state_folder(port: int) -> Path:
    """Return the state folder of the data server that listens on `port` of this machine.

    Raises: PeerStartError if nobody listens there; StateError if it is no data server, or another user's.
    """
    sockets = _listening_sockets(port)
    if not sockets:
        raise PeerStartError(f"a data server at port {port} of this machine", "nobody listening there")
    pid = _find_process(sockets)
    if pid is None:
        raise StateError(f"to see the process at port {port}", "one of another user")
    for name in _open_files(pid):
        path = Path(name)
        if path.name == LOCK_NAME and (path.parent / SUPERBLOCK_NAME).exists():
            return path.parent
    raise StateError(f"a data server at port {port}", f"process {pid}, which has no data server's state folder")


def _listening_sockets(port: int) -> set[str]:
    """Return the inode numbers of the sockets that listen on a port."""
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _lines(table)[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except FileNotFoundError:
        return []  # a kernel without that protocol


def _find_process(sockets: set[str]) -> int | None:
    """Return the process that has one of the sockets open."""
    for folder in Path("/proc").glob("[0-9]*"):
        for name in _open_files(int(folder.name)):
            match = _SOCKET.fullmatch(name)
            if match is not None and match[1] in sockets:
                return int(folder.name)
    return None


def _open_files(pid: int) -> Iterator[str]:
    """Yield what the descriptors of a process stand for; nothing of a process that is gone or another user's."""
    folder = f"/proc/{pid}/fd"
    try:
        numbers = os.listdir(folder)
    except OSError:
        return
    for number in numbers:
        try:
            yield os.readlink(f"{folder}/{number}")
        except OSError:
            continue  # closed meanwhile
