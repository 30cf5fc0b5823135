"""Goal: an interrupt reaches the call it means, on the thread that answers it, and no other. Method: requests made by hand."""

from __future__ import annotations

import errno
import threading

from dfs.fusefs.binding import RawCaller
from dfs.fusefs.channel.in_progress import InProgress
from dfs.fusefs.channel.protocol import IN_HEADER, INTERRUPT_IN, Op
from dfs.fusefs.channel.request import Request


def request(unique: int, opcode: int = Op.READ, body: bytes = b"", pid: int = 99) -> Request:
    header = IN_HEADER.pack(IN_HEADER.size + len(body), opcode, unique, 5, 1000, 100, pid, 0, 0)
    return Request(memoryview(header + body))


def interrupt(unique: int) -> Request:
    return request(unique | 1, Op.INTERRUPT, INTERRUPT_IN.pack(unique))


def test_call_that_is_meant_is_interrupted_and_no_other() -> None:
    calls, meant, other = InProgress(), request(2), request(4)
    seen: list[bool] = []
    begun, struck = threading.Event(), threading.Event()

    def answer() -> None:
        calls.begin(meant)
        begun.set()
        assert struck.wait(10)
        seen.append(calls.interrupted())

    thread = threading.Thread(target=answer)
    thread.start()
    assert begun.wait(10)
    calls.begin(other)
    assert calls.interrupt(interrupt(2)) is None
    struck.set()
    thread.join()
    assert seen == [True]
    assert not calls.interrupted()


def test_call_that_is_not_known_is_to_be_named_again() -> None:
    calls, call = InProgress(), request(2)
    assert calls.interrupt(interrupt(2)) == errno.EAGAIN
    calls.begin(call)
    calls.end(call)
    assert calls.interrupt(interrupt(2)) == errno.EAGAIN
    assert not call.interrupted


def test_caller_is_the_one_in_the_request() -> None:
    calls = InProgress()
    calls.begin(request(2, pid=4711))
    assert calls.caller() == RawCaller(1000, 100, 4711)
