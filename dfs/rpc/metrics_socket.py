"""GET /metrics on a Unix socket: what a mount, which listens nowhere else, shows of itself.

Owns the socket's file, and one thread that answers one request after the other. Promises: nobody but the owner of the process and
root may connect (the file's mode); a client that says nothing holds the others up for ANSWER_TIMEOUT_S and no longer; the file is
replaced, not tripped over, if a client that was killed has left one. Composed by dfs/cli/mount.py.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from pathlib import Path
from typing import Final

from dfs.core.interfaces import POLL_S
from dfs.core.peers import THIS_PROCESS
from dfs.rpc.framing import BadMessage, Head, MessageReader, answer_head, parse_request_head
from dfs.rpc.metrics_page import Answer, MetricsPage

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT_S: Final = 2.0
"""From a connection to the end of its answer."""
STOP_TIMEOUT_S: Final = 2 * ANSWER_TIMEOUT_S
BACKLOG: Final = 8
SOCKET_MODE: Final = 0o600
FOLDER_MODE: Final = 0o755
PATH_BYTES_MAX: Final = 107
"""What a socket's address can hold (unix(7)), but for the NUL."""
_NEW: Final = ".new"
_SCRATCH_BYTES: Final = 64 << 10


class MetricsSocket:
    """Shows one page."""

    def __init__(self, path: Path, page: MetricsPage) -> None:
        """Make the folder if it is missing, and listen. Raises: OSError."""
        self._path = path
        self._page = page
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._inode = _bind(self._listener, path)
        except OSError:
            self._listener.close()
            raise
        self._waker, self._wake = socket.socketpair()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics-socket", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more, and remove the file unless another mount has put its own there."""
        self._stopping.set()
        self._wake.send(b"x")
        self._thread.join(STOP_TIMEOUT_S)
        self._listener.close()
        try:
            if os.stat(self._path, follow_symlinks=False).st_ino == self._inode:
                os.unlink(self._path)
        except OSError as error:  # somebody was quicker; nothing is left
            logger.debug("%s: %s", self._path, error)

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self._listener, select.POLLIN)
        poller.register(self._waker, select.POLLIN)
        while not self._stopping.is_set():
            poller.poll()
            try:
                sock, _ = self._listener.accept()
            except OSError as error:  # it went away again, or there are no more descriptors: whoever asks asks again
                logger.debug("no connection: %s", error)
                self._stopping.wait(POLL_S)
                continue
            try:
                self._serve(sock)
            except OSError as error:
                logger.debug("connection ended: %s", error)
            finally:
                sock.close()

    def _serve(self, sock: socket.socket) -> None:
        ends_s = time.monotonic() + ANSWER_TIMEOUT_S
        try:
            _receive(sock, ends_s)
            answer = self._page.answer(THIS_PROCESS)
        except BadMessage as refusal:
            answer = Answer(refusal.status, b"text/plain", str(refusal).encode() + b"\n")
        headers = b"Content-Type: %s\r\nConnection: close\r\n" % answer.content_type
        if answer.status == 405:
            headers += b"Allow: GET\r\n"
        sock.settimeout(max(0.001, ends_s - time.monotonic()))
        sock.sendall(answer_head(answer.status, headers, len(answer.body)) + answer.body)
        # Closing with bytes unread would destroy the answer on its way.
        sock.shutdown(socket.SHUT_WR)
        while (left_s := ends_s - time.monotonic()) > 0:
            sock.settimeout(left_s)
            if not sock.recv(_SCRATCH_BYTES):
                break


def _bind(listener: socket.socket, path: Path) -> int:
    """Listen at `path`, in the place of what a killed client left; return the file's inode."""
    new = f"{path}{_NEW}"
    Path(new).unlink(missing_ok=True)
    listener.bind(new)
    try:
        os.chmod(new, SOCKET_MODE)
        inode = os.stat(new).st_ino
        listener.listen(BACKLOG)
        listener.setblocking(False)
        os.rename(new, path)
    except OSError:
        os.unlink(new)
        raise
    return inode


def _receive(sock: socket.socket, ends_s: float) -> None:
    """Take the head of a GET. Raises: BadMessage; OSError: there is none in time."""
    reader = MessageReader(_parse_head)
    while True:
        sock.settimeout(max(0.001, ends_s - time.monotonic()))
        count = sock.recv_into(reader.space())
        if not count:
            raise ConnectionResetError("closed by the client")
        if reader.received(count):
            return


def _parse_head(raw: bytes) -> Head:
    head = parse_request_head(raw)
    if head.start[0] != b"GET":
        raise BadMessage(405, "expected GET /metrics: nothing else is here")
    return head
