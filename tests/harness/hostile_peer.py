"""A peer that means harm: many connections to a server, each of which keeps it busy in the same way for as long as it can.

Runs as a process of its own, `python -m tests.harness.hostile_peer HOST:PORT KIND COUNT SOURCE`, so that what it costs is not
counted as the server's or the client's; says "ready" when all connections are there, and goes on until its standard input ends.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tests.harness.leftovers import marked_environment
from tests.harness.program import ROOT

BYTE_INTERVAL_S: Final = 1.0
HEAD: Final = b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
LISTING: Final = b"<methodCall><methodName>system.listMethods</methodName></methodCall>"
REQUEST: Final = HEAD % len(LISTING) + LISTING


def silent(sock: socket.socket, turn: int) -> None:
    """Send nothing."""


def trickle(sock: socket.socket, turn: int) -> None:
    """Send a byte of a head a second."""
    sock.send(REQUEST[turn % 40 : turn % 40 + 1])


def announce(sock: socket.socket, turn: int) -> None:
    """Announce the largest body there may be, and send a byte of it a second."""
    sock.send(HEAD % (16 << 20) if turn == 0 else b"<")


def announce_more(sock: socket.socket, turn: int) -> None:
    """Announce 64 MiB, and send nothing of them."""
    if turn == 0:
        sock.send(HEAD % (64 << 20))


KINDS: Final[dict[str, Callable[[socket.socket, int], None]]] = {
    kind.__name__: kind for kind in (silent, trickle, announce, announce_more)
}


def main() -> None:
    """Open the connections and keep them busy; one that the server ends is opened anew a turn later."""
    address, kind, count, source = sys.argv[1:]
    host, _, port = address.rpartition(":")
    behave = KINDS[kind]
    crowd: dict[socket.socket, int] = {}
    is_ready = False
    while True:
        missing = int(count) - len(crowd)
        for _ in range(missing):
            sock = socket.create_connection((host, int(port)), timeout=10, source_address=(source, 0))
            sock.setblocking(False)
            crowd[sock] = 0
        for sock, turn in list(crowd.items()):
            crowd[sock] = turn + 1
            if not _goes_on(behave, sock, turn):
                del crowd[sock]
                sock.close()
        if not is_ready:
            is_ready = True
            print("ready", flush=True)
        ends_s = time.monotonic() + BYTE_INTERVAL_S
        while (left_s := ends_s - time.monotonic()) > 0:
            if select.select([sys.stdin], [], [], left_s)[0] and not sys.stdin.read(1):
                return


def _goes_on(behave: Callable[[socket.socket, int], None], sock: socket.socket, turn: int) -> bool:
    """Take the next turn on a connection; tell whether the server still has it."""
    try:
        behave(sock, turn)
        return sock.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


@contextmanager
def crowd_at(address: str, kind: str, count: int, source: str = "127.0.0.2") -> Iterator[None]:
    """Have `count` connections to `address` misbehave; they come from another address of loopback than good clients."""
    command = [sys.executable, "-m", "tests.harness.hostile_peer", address, kind, str(count), source]
    environment = marked_environment() | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            assert process.stdin is not None
            process.stdin.close()
            if process.wait(20) != 0:
                raise AssertionError(f"the hostile peer ended with {process.returncode}")


if __name__ == "__main__":
    main()
