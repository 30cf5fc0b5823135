"""logind's delay of shutdowns (https://systemd.io/INHIBITOR_LOCKS): taking, keeping and giving back a lock, and its state.

The lock belongs to a child, `systemd-inhibit ... cat`, which holds it as long as its standard input is open: if this process dies
in any way, the lock is gone. Whether it has the lock is not guessed: cat, which systemd-inhibit starts when it has it, must send a
line back. No D-Bus library is needed for that. Called by dfs/cli/inhibit/watch.py on one thread.
"""

from __future__ import annotations

import select
import subprocess
from dataclasses import dataclass
from typing import IO, Final

from dfs.core.start_errors import StartError

TIMEOUT_S: Final = 10.0
"""For logind to answer; it is a local call."""
END_TIMEOUT_S: Final = 5.0
_LOCK: Final = "logind to give a lock that delays shutdowns"
_ANSWER: Final = "logind to tell its state"
_STATE: Final = (
    "busctl",
    "get-property",
    "org.freedesktop.login1",
    "/org/freedesktop/login1",
    "org.freedesktop.login1.Manager",
    "PreparingForShutdown",
    "InhibitDelayMaxUSec",
)


class LoginError(StartError):
    """logind can't be asked, or refuses."""


@dataclass(frozen=True, slots=True)
class LoginState:
    """What logind is doing."""

    is_going_down: bool
    """A shutdown was asked for and waits for delay locks."""
    delay_s_max: float
    """How long it waits at most, whoever holds a lock (InhibitDelayMaxSec= of logind.conf(5))."""


class Login:
    """One delay lock at most, with one reason."""

    def __init__(self) -> None:
        self._holder: subprocess.Popen[bytes] | None = None

    def hold(self, reason: str) -> None:
        """Have a lock with this reason, in place of any before, without a moment between them. Raises: LoginError."""
        former, self._holder = self._holder, _start_holder(reason)
        _end(former)

    def is_held(self) -> bool:
        """Tell whether there is a lock."""
        return self._holder is not None and self._holder.poll() is None

    def release(self) -> None:
        """Give the lock back, if there is one."""
        former, self._holder = self._holder, None
        _end(former)

    def state(self) -> LoginState:
        """Return what logind is doing. Raises: LoginError."""
        try:
            done = subprocess.run(_STATE, check=False, capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LoginError(_ANSWER, str(error)) from error
        try:
            down, delay = done.stdout.splitlines()  # b false, t 30000000
            return LoginState(down.split()[1] == "true", int(delay.split()[1]) / 1e6)
        except (ValueError, IndexError) as error:
            raise LoginError(_ANSWER, done.stderr.strip() or repr(done.stdout)) from error


def _start_holder(reason: str) -> subprocess.Popen[bytes]:
    """Return a process that has the lock. Raises: LoginError."""
    command = ["systemd-inhibit", "--what=shutdown", "--mode=delay", "--who=dfs", f"--why={reason}", "cat"]
    try:
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise LoginError(_LOCK, str(error)) from error
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        if _read_line(holder.stdout):
            return holder
    except BrokenPipeError:
        pass  # it has ended, and says why
    raise LoginError(_LOCK, _last_words(holder))


def _read_line(stream: IO[bytes]) -> bytes:
    """Return what comes within TIMEOUT_S, nothing if that is the end or nothing comes."""
    ready, _, _ = select.select([stream], [], [], TIMEOUT_S)
    return stream.readline() if ready else b""


def _last_words(holder: subprocess.Popen[bytes]) -> str:
    """End a process that did not get the lock, and return why."""
    holder.kill()  # it has ended, or is silent
    _, said = holder.communicate()
    return said.decode("utf-8", "replace").strip() or f"no answer within {TIMEOUT_S:.0f} s"


def _end(holder: subprocess.Popen[bytes] | None) -> None:
    if holder is None:
        return
    try:
        holder.communicate(timeout=END_TIMEOUT_S)  # closes its standard input
    except subprocess.TimeoutExpired:
        holder.kill()
        holder.communicate()
