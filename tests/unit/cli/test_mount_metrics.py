"""Goal: each mount has a socket of its own for its metrics, and a mount whose socket can't be made serves all the same.

Method: paths of every kind; folders that can't be.
"""

from __future__ import annotations

import logging
import socket
import urllib.parse
from pathlib import Path

import pytest

from dfs.cli.monitoring import make_page
from dfs.cli.mount_metrics import shown_on_socket, socket_path
from dfs.rpc.metrics_socket import PATH_BYTES_MAX

FOLDER = Path("/run/dfs/metrics")


def test_socket_is_named_after_the_mount_point_as_urls_quote_it() -> None:
    assert socket_path(FOLDER, b"/mnt/dfs") == FOLDER / "%2Fmnt%2Fdfs.sock"
    assert socket_path(FOLDER, "/mnt/ä b".encode()) == FOLDER / "%2Fmnt%2F%C3%A4%20b.sock"


def test_long_mount_points_have_short_and_different_sockets() -> None:
    points = [b"/mnt/" + b"x" * 200 + end for end in (b"1", b"2")] + [b"/" + b"\xff" * 30 + b"/a"]
    paths = [socket_path(FOLDER, point) for point in points]
    assert len(set(paths)) == len(points)
    for path in paths:
        assert len(bytes(path)) + len(".new") <= PATH_BYTES_MAX
        assert path.suffix == ".sock"
    longest = PATH_BYTES_MAX - len(bytes(FOLDER)) - len("/.sock.new")
    exact = b"/" + b"x" * (longest - len("%2F"))
    assert socket_path(FOLDER, exact).name == urllib.parse.quote(exact, safe="") + ".sock"


def test_page_is_on_the_socket_as_long_as_the_mount_is_there(tmp_path: Path) -> None:
    path = socket_path(tmp_path, b"/mnt")
    with shown_on_socket(make_page(program="dfs-mount", kind="mount"), tmp_path, b"/mnt"), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert b'dfs_build_info{program="dfs-mount"' in answer
    assert not path.exists()


def test_socket_that_can_not_be_made_is_told_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    entered = False
    with shown_on_socket(make_page(program="dfs-mount", kind="mount"), tmp_path / "file", b"/mnt"):
        entered = True
    assert entered
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "are not shown" in record.getMessage()
