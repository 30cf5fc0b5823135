"""The process behind a system call: its groups, and whether it is about to die (proc_pid_status(5), proc_pid_stat(5)).

FUSE announces a signal to the file system once and for any signal, so only /proc tells whether it is one that ends the call
(design section 10). Reads /proc and nothing else; a task that is gone counts as killed.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Final

ENDING_SIGNALS: Final = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)
"""Signals that end a waiting call: a person or a supervisor wants the process gone. Others (SIGCHLD, SIGALRM, SIGURG, ...) a
program handles and goes on from, and its write must not fail for them (I7).
"""
_ENDING_BITS: Final = sum(1 << (number - 1) for number in ENDING_SIGNALS)
_SIGNAL_SET: Final = re.compile(rb"^(SigPnd|ShdPnd|SigBlk):\s*([0-9a-f]+)$", re.MULTILINE)
_GROUPS: Final = re.compile(rb"^Groups:[ \t]*([0-9 ]*)$", re.MULTILINE)
_PF_EXITING: Final = 0x4
_FLAGS_FIELD: Final = 6
"""Index of the flags in /proc/PID/stat, counted after the command's closing bracket."""
PROC: Final = Path("/proc")


def read_groups(pid: int) -> tuple[int, ...]:
    """Return the supplementary groups of a task; none if it is gone or invisible."""
    match = _GROUPS.search(_read(pid, "status") or b"")
    return tuple(int(group) for group in match[1].split()) if match else ()


def has_ending_signal(pid: int) -> bool:
    """Tell whether a signal that ends its call is pending for a task, or the task is gone."""
    status = _read(pid, "status")
    return status is None or ending_signal_pending(status)


def is_exiting(pid: int) -> bool:
    """Tell whether a task is on its way out (then the kernel no longer tells it about signals), or gone."""
    stat = _read(pid, "stat")
    if stat is None:
        return True
    fields = stat.rpartition(b")")[2].split()
    return bool(int(fields[_FLAGS_FIELD]) & _PF_EXITING)


def ending_signal_pending(status: bytes) -> bool:
    """Tell whether /proc/PID/status shows an ending signal that is pending, for the thread or its process, and not blocked."""
    sets = {name: int(bits, 16) for name, bits in _SIGNAL_SET.findall(status)}
    pending = sets.get(b"SigPnd", 0) | sets.get(b"ShdPnd", 0)
    return bool(pending & ~sets.get(b"SigBlk", 0) & _ENDING_BITS)


def _read(pid: int, name: str) -> bytes | None:
    try:
        return (PROC / str(pid) / name).read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
