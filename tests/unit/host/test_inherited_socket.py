"""Goal: a socket that systemd hands over is found once, and nothing else is taken for one. Method: a child process with descriptors
and variables as sd_listen_fds(3) has them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CHILD = """\
import os, sys
fd, count, pid = sys.argv[1:]
os.dup2(int(fd), 3)
os.environ.update(LISTEN_FDS=count, LISTEN_PID=pid.replace("self", str(os.getpid())), LISTEN_FDNAMES="x")
from dfs.core.start_errors import StateError
from dfs.host.inherited_socket import take_inherited_socket
try:
    found = take_inherited_socket()
except StateError as error:
    print(error)
else:
    print(found, take_inherited_socket(), found is not None and os.get_inheritable(3), [n for n in os.environ if "LISTEN" in n])
"""


def run_child(fd: int, count: str = "1", pid: str = "self") -> str:
    """Return what a process says that has `fd` as its descriptor 3."""
    command = [sys.executable, "-c", CHILD, str(fd), count, pid]
    done = subprocess.run(command, cwd=ROOT, pass_fds=[fd], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_listening_socket_is_found_once_and_kept_from_children() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert run_child(listener.fileno()) == "3 None False []"


def test_socket_that_was_meant_for_another_process_is_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert run_child(listener.fileno(), pid="1") == "None None False []"


def test_without_a_socket_unit_there_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert run_child(listener.fileno(), count="0") == "None None False []"


def test_two_sockets_are_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert run_child(listener.fileno(), count="2") == "expected one listening socket from the socket unit, got 2 descriptors"


def test_what_does_not_listen_is_refused() -> None:
    with socket.socket() as quiet, open(os.devnull) as null:
        for fd in (quiet.fileno(), null.fileno()):
            assert "expected a listening TCP socket from the socket unit" in run_child(fd)
