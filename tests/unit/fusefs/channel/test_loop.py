"""Goal: however many calls are blocked, the next one is read; one after the other needs the readers only; what is not needed ends.

Method: the loop on a device of the test's own, from which requests come when the test says so.
"""

from __future__ import annotations

import ctypes
import errno
import queue
import threading
from collections.abc import Iterator
from typing import cast

import pytest

from dfs.fusefs.channel.device import Device
from dfs.fusefs.channel.loop import READERS, WAITING_MAX, Loop
from dfs.fusefs.channel.protocol import IN_HEADER, Op
from dfs.fusefs.channel.request import Request
from tests.harness.waiting import wait_until

SOON_S = 10.0


class Requests:
    """Stands for Device: what comes from the kernel."""

    def __init__(self) -> None:
        self._coming: queue.Queue[bytes | None] = queue.Queue()
        self.readers: set[int] = set()

    def send(self, unique: int) -> None:
        self._coming.put(IN_HEADER.pack(IN_HEADER.size, Op.STATFS, unique, 1, 0, 0, 99, 0, 0))

    def unmount(self) -> None:
        self._coming.put(None)

    def read(self, address: int, size_bytes: int) -> int:
        self.readers.add(threading.get_ident())
        message = self._coming.get(timeout=60)
        if message is None:
            self._coming.put(None)
            raise OSError(errno.ENODEV, "No such device")
        ctypes.memmove(address, message, len(message))
        return len(message)


class Answers:
    """What answers; holds up every request up to `gate`."""

    def __init__(self) -> None:
        self.seen: queue.Queue[int] = queue.Queue()
        self.gate = threading.Event()
        self.blocks = False

    def __call__(self, request: Request) -> None:
        self.seen.put(request.unique)
        if self.blocks:
            assert self.gate.wait(60)


@pytest.fixture
def requests() -> Requests:
    return Requests()


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def loop(requests: Requests, answers: Answers) -> Iterator[Loop]:
    made = Loop(cast(Device, requests), answers, 4096)
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    answers.gate.set()
    requests.unmount()
    thread.join(SOON_S)
    assert not thread.is_alive(), "the loop goes on though nothing is mounted"


def test_requests_are_read_however_many_are_blocked(loop: Loop, requests: Requests, answers: Answers) -> None:
    answers.blocks = True
    for unique in range(2, 202, 2):
        requests.send(unique)
        assert answers.seen.get(timeout=SOON_S) == unique
    assert loop._threads == 100 + 1, "more than one thread stands by while the others answer"
    answers.gate.set()
    wait_until(lambda: loop._threads <= READERS + WAITING_MAX, "the end of threads that are not needed")
    answers.blocks = False
    requests.send(500)
    assert answers.seen.get(timeout=SOON_S) == 500


def test_one_request_after_the_other_is_answered_by_the_readers_alone(loop: Loop, requests: Requests, answers: Answers) -> None:
    for unique in range(2, 102, 2):
        requests.send(unique)
        assert answers.seen.get(timeout=SOON_S) == unique
        # One that came before the last one's thread is back would find a reader less, and have another thread started: as many as
        # the machine lets be on their way back at once, which is no promise of the loop's.
        wait_until(lambda: len(loop._reading) == loop._threads, "the thread that has answered to read again")
    assert len(requests.readers) <= loop._threads == READERS


def test_thread_that_was_not_needed_serves_again(loop: Loop, requests: Requests, answers: Answers) -> None:
    for _ in range(3):
        answers.gate.clear()
        answers.blocks = True
        for unique in range(2, 12, 2):
            requests.send(unique)
            answers.seen.get(timeout=SOON_S)
        answers.blocks = False
        answers.gate.set()
        wait_until(lambda: len(loop._waiting) + len(loop._reading) >= 5, "threads that wait")
    assert len(requests.readers) <= 6 + READERS, "threads were started though some waited"
