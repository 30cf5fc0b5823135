"""Which requests are being answered, and by which thread: what the kernel's interrupts are about.

The kernel says that a caller got a signal by a request of its own, INTERRUPT, which names the one that is meant and is read by
whichever thread reads next. So it marks the request here, and the thread that answers it asks. Called by loop.py; answers
OperationContexts (operation_context.py).
"""

from __future__ import annotations

import errno
import threading

from dfs.fusefs.binding import RawCaller
from dfs.fusefs.channel.protocol import INTERRUPT_IN
from dfs.fusefs.channel.request import Request


class _OfThread(threading.local):
    request: Request


class InProgress:
    """The requests under way. Every step is atomic by the interpreter's lock."""

    def __init__(self) -> None:
        self._requests: dict[int, Request] = {}
        self._here = _OfThread()

    def begin(self, request: Request) -> None:
        """Note that this thread answers a request from now on."""
        self._here.request = request
        self._requests[request.unique] = request

    def end(self, request: Request) -> None:
        """Note that it is answered."""
        self._requests.pop(request.unique, None)

    def interrupt(self, message: Request) -> int | None:
        """Mark the request that an INTERRUPT means. Result: an errno to answer with, None if the kernel wants no answer.

        One that is not known was read by a thread that has not got here yet, or is answered. EAGAIN lets the kernel say it again,
        unless it has the answer by then.
        """
        (unique,) = INTERRUPT_IN.unpack_from(message.body)
        request = self._requests.get(unique)
        if request is None:
            return errno.EAGAIN
        request.interrupted = True
        return None

    def caller(self) -> RawCaller:
        """Return who made the call that this thread answers."""
        return self._here.request.caller

    def interrupted(self) -> bool:
        """Tell whether the caller of the call that this thread answers got a signal."""
        return self._here.request.interrupted
