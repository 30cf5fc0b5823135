"""One request of the kernel, as it lies in the buffer of the thread that answers it.

Its body is a view of that buffer: it counts until the request is answered, and whoever keeps bytes of it copies them. Made by
loop.py, read by handlers.py.
"""

from __future__ import annotations

from dfs.fusefs.binding import RawCaller
from dfs.fusefs.channel.protocol import IN_HEADER


class Request:
    """A request, and whether the kernel has said since that its caller got a signal."""

    __slots__ = ("body", "gid", "interrupted", "node", "opcode", "pid", "uid", "unique")

    def __init__(self, message: memoryview) -> None:
        _, self.opcode, self.unique, self.node, self.uid, self.gid, self.pid, _, _ = IN_HEADER.unpack_from(message)
        self.body = message[IN_HEADER.size :]
        self.interrupted = False

    @property
    def caller(self) -> RawCaller:
        """Who made the system call."""
        return RawCaller(self.uid, self.gid, self.pid)

    def name(self, offset: int = 0) -> bytes:
        """Return the one name that the body holds, from `offset` to the zero at its end."""
        return bytes(self.body[offset:-1])

    def two_names(self, offset: int = 0) -> tuple[bytes, bytes]:
        """Return the two names that the body holds from `offset`."""
        first, second = bytes(self.body[offset:-1]).split(b"\0")
        return first, second
