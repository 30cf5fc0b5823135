"""Goal: without a key a server on loopback knows its own user and root from the others, and is not fooled by a closed socket.
Method: real sockets; children under another user where we are root.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from dfs.rpc.loopback_owners import NOBODY, LoopbackOwners
from tests.harness.program import ANYBODYS_PYTHON

OTHER_USER = 65534
CONNECT = "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2]))); print(flush=True); sys.stdin.read()"


@pytest.fixture
def owners() -> Iterator[LoopbackOwners]:
    made = LoopbackOwners()
    yield made
    made.close()


@pytest.fixture(params=["127.0.0.1", "127.8.9.10", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    try:
        sock = socket.create_server((request.param, 0), family=family)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with sock:
        yield sock


def test_own_connection_is_welcome(owners: LoopbackOwners, listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()[:2]):
        accepted, peer = listener.accept()
        with accepted:
            assert owners.owner(accepted, peer[:2]) == (os.geteuid(), True)


def test_connection_that_its_program_has_closed_is_nobodys(owners: LoopbackOwners, listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()[:2]) as client:
        client.sendall(b"request")
    accepted, peer = listener.accept()
    with accepted:
        assert accepted.recv(10) == b"request"
        assert owners.owner(accepted, peer[:2]) == (NOBODY, False)
    assert owners.owner(listener, peer[:2]) == (NOBODY, False), "there is no such connection"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_connection_of_another_user_is_not_welcome(owners: LoopbackOwners, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    command = [ANYBODYS_PYTHON, "-S", "-c", CONNECT, host, str(port)]
    child = subprocess.Popen(command, user=OTHER_USER, group=OTHER_USER, extra_groups=[], stdin=-1, stdout=-1, cwd="/")
    with child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        accepted, peer = listener.accept()
        with accepted:
            assert owners.owner(accepted, peer[:2]) == (OTHER_USER, False)
        child.stdin.close()
    assert child.returncode == 0


def test_who_can_not_be_told_is_welcome_and_that_is_said_once(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", refuse)
        owners = LoopbackOwners()
    with caplog.at_level(logging.WARNING), socket.create_connection(listener.getsockname()[:2]):
        accepted, peer = listener.accept()
        with accepted:
            for _ in range(2):
                assert owners.owner(accepted, peer[:2]).is_welcome
    assert len([record for record in caplog.records if "cannot tell whose" in record.message]) <= 1
