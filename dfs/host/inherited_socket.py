"""The socket that systemd listens on for a service and hands to it (sd_listen_fds(3)), so that no call is refused between two runs.

Owns the environment variables LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES. Called by dfs/cli/meta_serving.py for the meta-server.
Never binds anything: where nothing is handed over, the server listens by itself.
"""

from __future__ import annotations

import os
import socket
import stat
from typing import Final

from dfs.core.start_errors import StateError

FIRST_FD: Final = 3
"""The first descriptor that is handed over."""
_VARIABLES: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


def take_inherited_socket() -> int | None:
    """Return the descriptor of the listening socket that was handed to this process, or None if there is none.

    It is not passed on to children, and found only once. Raises: StateError if what was handed over is not one listening socket.
    """
    count, pid = (os.environ.get(name, "") for name in _VARIABLES[:2])
    for name in _VARIABLES:
        os.environ.pop(name, None)
    if pid != str(os.getpid()) or not count.isdecimal() or int(count) == 0:
        return None
    if int(count) != 1:
        raise StateError("one listening socket from the socket unit", f"{count} descriptors")
    try:
        os.set_inheritable(FIRST_FD, False)
        listens = _listens(FIRST_FD)
    except OSError as error:
        raise StateError("a listening TCP socket from the socket unit", f"descriptor {FIRST_FD}: {error.strerror}") from error
    if not listens:
        raise StateError("a listening TCP socket from the socket unit", f"descriptor {FIRST_FD}, which is something else")
    return FIRST_FD


def _listens(fd: int) -> bool:
    """Tell whether a descriptor is a TCP socket that listens. It stays open."""
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return False
    with socket.socket(fileno=os.dup(fd)) as sock:
        is_tcp = sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM
        return is_tcp and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
