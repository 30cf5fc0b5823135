"""A peer that speaks garbage: takes a server's place at its port and answers every connection with random bytes."""

from __future__ import annotations

import random
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final

ANSWERS: Final = (
    b"",
    b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<not <xml>>>",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops",
)
"""Each is followed by random bytes, or by nothing if it is a whole message."""


class GarbagePeer:
    """Listens on a loopback port until closed. Use it in a `with`."""

    def __init__(self, port: int) -> None:
        self.answered = 0
        self._random = random.Random(port)
        self._listener = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._serve, name=f"garbage-{port}", daemon=True)

    def __enter__(self) -> GarbagePeer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return  # closed: the test is over
            with peer, suppress(OSError):  # the other side gives up whenever it likes
                peer.settimeout(2)
                peer.recv(1 << 16)
                answer = ANSWERS[self.answered % len(ANSWERS)]
                self.answered += 1
                peer.sendall(answer + self._random.randbytes(2000) if self.answered % 2 else answer)
