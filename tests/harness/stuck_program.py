"""A program that does one thing to one file and says how it went: `python -m tests.harness.stuck_program ACTION FILE`.

Prints `begin` before, `done` or the errno's name after. Alarms are handled and counted; a line `alarms N` ends the output.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import sys

ALARM_S = 0.2


def _write(path: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    _begin()
    # Not os.write, which repeats a call that a signal has interrupted.
    if ctypes.CDLL(None, use_errno=True).write(descriptor, b"written", 7) < 0:
        raise OSError(ctypes.get_errno(), "write")
    _leave()


def _write_with_alarms(path: bytes) -> None:
    signal.setitimer(signal.ITIMER_REAL, ALARM_S, ALARM_S)
    _write(path)


def _close(path: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    _begin()
    os.close(descriptor)
    _leave()


def _exit_with_open_file(path: bytes) -> None:
    os.open(path, os.O_WRONLY | os.O_CREAT)
    _begin()
    _leave()


def _map(path: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.ftruncate(descriptor, 4096)
    mapping = mmap.mmap(descriptor, 4096)
    mapping[:7] = b"written"
    _begin()
    mapping.flush()
    _leave()


def _open(path: bytes) -> None:
    os.mknod(path)
    _begin()
    os.open(path, os.O_RDONLY)
    _leave()


ACTIONS = {
    "write": _write,
    "write-with-alarms": _write_with_alarms,
    "close": _close,
    "exit": _exit_with_open_file,
    "map": _map,
    "open": _open,
}
_alarms = 0


def _note_alarm(number: int, frame: object) -> None:
    global _alarms
    _alarms += 1


def _begin() -> None:
    print("begin", flush=True)


def _leave() -> None:
    print(f"done\nalarms {_alarms}", flush=True)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, _note_alarm)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        ACTIONS[sys.argv[1]](os.fsencode(sys.argv[2]))
    except OSError as error:
        print(errno.errorcode[error.errno or 0], flush=True)
        os._exit(1)
