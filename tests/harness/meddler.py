"""Somebody in the middle: takes a server's place, passes requests and answers on, and changes, keeps or swaps what he likes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType

Change = Callable[[bytes], bytes]


def same(message: bytes) -> bytes:
    """Change nothing."""
    return message


class Meddler:
    """Listens on a loopback port until closed. Use it in a `with`. One message at a time on each connection."""

    def __init__(self, server_address: str) -> None:
        host, _, port = server_address.rpartition(":")
        self.requests: list[bytes] = []
        self.answers: list[bytes] = []
        self.on_request: Change = same
        self.on_answer: Change = same
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, name="meddler", daemon=True)]

    def __enter__(self) -> Meddler:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return  # closed: the test is over
            self._threads.append(threading.Thread(target=self._meddle, args=(peer,), name="meddler", daemon=True))
            self._threads[-1].start()

    def _meddle(self, peer: socket.socket) -> None:
        with ExitStack() as stack, suppress(OSError):
            stack.enter_context(peer).settimeout(2)
            server = stack.enter_context(socket.create_connection(self._server, timeout=5))
            while request := read_message(peer):
                self.requests.append(request)
                server.sendall(self.on_request(request))
                answer = read_message(server)
                self.answers.append(answer)
                peer.sendall(self.on_answer(answer))


def read_message(sock: socket.socket) -> bytes:
    """Return the next HTTP message, or nothing at the end of the connection."""
    message = b""
    while b"\r\n\r\n" not in message:
        part = sock.recv(1 << 16)
        if not part:
            return b""
        message += part
    head, _, body = message.partition(b"\r\n\r\n")
    [length] = [int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    while len(body) < length:
        part = sock.recv(1 << 16)
        if not part:
            return b""
        message, body = message + part, body + part
    return message


def send_to(address: str, *messages: bytes) -> list[bytes]:
    """Send messages one after the other on one connection; return the answers, up to the end of the connection."""
    host, _, port = address.rpartition(":")
    answers = []
    with socket.create_connection((host, int(port)), timeout=5) as sock:
        for message in messages:
            sock.sendall(message)
            answers.append(read_message(sock))
            if not answers[-1]:
                break
    return answers
