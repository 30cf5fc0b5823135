"""Goal: only a signal that ends a program counts as one, and a caller's groups are read right.

Method: texts of /proc/PID/status as rules over bit sets, and real processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from dfs.fusefs.caller_process import ENDING_SIGNALS, ending_signal_pending, has_ending_signal, is_exiting, read_groups

SIGNALS = st.sets(st.sampled_from([number for number in range(1, 65) if number not in (32, 33)]))


def bits(numbers: set[int]) -> bytes:
    return b"%016x" % sum(1 << (number - 1) for number in numbers)


@given(thread=SIGNALS, process=SIGNALS, blocked=SIGNALS, ignored=SIGNALS)
def test_ending_signal_counts_when_pending_and_not_blocked(
    thread: set[int], process: set[int], blocked: set[int], ignored: set[int]
) -> None:
    text = b"Name:\tx\nSigQ:\t0/1\nSigPnd:\t%s\nShdPnd:\t%s\nSigBlk:\t%s\nSigIgn:\t%s\n"
    status = text % (bits(thread), bits(process), bits(blocked), bits(ignored))
    assert ending_signal_pending(status) == bool(((thread | process) - blocked) & set(ENDING_SIGNALS))


def test_living_process_has_no_ending_signal_and_a_gone_one_has() -> None:
    program = subprocess.Popen(["sleep", "100"])
    assert not has_ending_signal(program.pid)
    assert not is_exiting(program.pid)
    program.kill()
    program.wait()
    assert has_ending_signal(program.pid)
    assert is_exiting(program.pid)
    assert read_groups(program.pid) == ()


def test_pending_signal_of_a_stopped_process_is_seen() -> None:
    program = subprocess.Popen(["sleep", "100"])
    try:
        program.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, program.pid, os.WSTOPPED)
        program.send_signal(signal.SIGCHLD)
        assert not has_ending_signal(program.pid)
        program.send_signal(signal.SIGTERM)
        assert has_ending_signal(program.pid)
    finally:
        program.kill()
        program.wait()


def test_groups_are_the_callers() -> None:
    assert read_groups(os.getpid()) == tuple(os.getgroups())


def test_groups_of_a_process_with_many_are_all_read() -> None:
    groups = tuple(range(1000, 1300))
    code = "import sys; sys.stdin.read()"
    if os.geteuid() != 0:
        groups = tuple(os.getgroups())
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, extra_groups=groups if os.geteuid() == 0 else None
    ) as program:
        assert read_groups(program.pid) == groups


def test_command_name_with_brackets_and_blanks_does_not_confuse() -> None:
    code = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b') R 4 4 4', 0, 0, 0); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        assert not is_exiting(program.pid)
