"""The client started by the mount helper itself, and put into the background once it is live.

Where systemd does not take the client (dfs/cli/mount_helper/hand_over.py), the helper forks: the child is the client, the parent
waits until the kernel and the child have met, and ends with the outcome. The child stays in the helper's process group and session
until then, because below an automount that waits only the processes of systemd's own group may look.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import syslog
from pathlib import Path
from types import FrameType
from typing import Final

from dfs.cli.arguments import run_program
from dfs.cli.mount import run_mount
from dfs.cli.mount_plan import MountPlan
from dfs.core.errors import ExitCode
from dfs.core.start_errors import ConfigError
from dfs.host.journal import PlainLines, is_journal_stream, setup_logging

_PRIORITIES: Final = (
    (logging.CRITICAL, syslog.LOG_CRIT),
    (logging.ERROR, syslog.LOG_ERR),
    (logging.WARNING, syslog.LOG_WARNING),
    (logging.INFO, syslog.LOG_INFO),
)
_LIVE: Final = b"\1"


class SyslogHandler(logging.Handler):
    """Sends each record to syslog(3), whose lines are lost on a machine without a system log."""

    def __init__(self, program: str) -> None:
        super().__init__()
        syslog.openlog(program, syslog.LOG_PID, syslog.LOG_DAEMON)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record, each of its lines as one."""
        priority = next((priority for level, priority in _PRIORITIES if record.levelno >= level), syslog.LOG_DEBUG)
        for line in self.format(record).replace("\0", "\\0").splitlines():
            syslog.syslog(priority, line)


class WhenLive:
    """The client's Notify (dfs/host/service.py): tells the helper that the mount is live, and leaves for the background."""

    def __init__(self, ready_fd: int, log_file: Path | None) -> None:
        self._ready_fd = ready_fd
        self._log_file = log_file

    def ready(self) -> None:
        """Cut what ties this process to whoever mounts, then say that the mount is live."""
        os.setsid()
        os.chdir("/")
        self._redirect()
        os.write(self._ready_fd, _LIVE)
        os.close(self._ready_fd)

    def reloading(self) -> None:
        """Nobody listens."""

    def status(self, text: str) -> None:
        """Nobody listens."""

    def watchdog(self) -> None:
        """Nobody listens."""

    def extend_timeout(self, duration_s: float) -> None:
        """Nobody listens."""

    def stopping(self) -> None:
        """Nobody listens."""

    def watchdog_s(self) -> float | None:
        """Nobody wants a proof of work."""
        return None

    def _redirect(self) -> None:
        """Let go of the caller's files. What libfuse and Python say on standard error goes where the log goes."""
        if is_journal_stream():
            errors = os.dup(2)
        elif self._log_file is not None:
            errors = os.open(self._log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        else:
            errors = os.open(os.devnull, os.O_WRONLY)
        nothing = os.open(os.devnull, os.O_RDWR)
        for target, number in ((nothing, 0), (nothing, 1), (errors, 2)):
            os.dup2(target, number)
        os.close(nothing)
        os.close(errors)


def mount_in_place(plan: MountPlan) -> int:
    """Start the client and wait until its mount is live. Result: an exit code of dfs (dfs/core/errors.py).

    Raises: KeyboardInterrupt on SIGINT and SIGTERM; the client has ended by then.
    """
    read_end, write_end = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGTERM, _interrupt)
    client = os.fork()
    if not client:
        os.close(read_end)
        os._exit(_be_client(plan, write_end))
    try:
        os.close(write_end)
        if os.read(read_end, 1) == _LIVE:
            return ExitCode.DONE
        _, status = os.waitpid(client, 0)
    except KeyboardInterrupt:
        os.kill(client, signal.SIGTERM)
        os.waitpid(client, 0)
        raise
    finally:
        os.close(read_end)
    code = os.waitstatus_to_exitcode(status)
    if code == ExitCode.DONE:  # told to end before the mount was live
        raise KeyboardInterrupt
    return ExitCode.FAILED if code < 0 else code


def _be_client(plan: MountPlan, ready_fd: int) -> int:
    """Be the client until its mount ends."""

    def serve() -> int:
        return run_mount(plan, WhenLive(ready_fd, plan.wishes.log_file), setup_background_logging)

    code = run_program(plan.program, serve)
    logging.shutdown()
    sys.stderr.flush()
    return code


def setup_background_logging(plan: MountPlan) -> None:
    """Send log records where a background program's go: the file that was named, else the journal, else syslog, else nowhere.

    Raises: ConfigError if the file cannot be written.
    """
    setup_logging(plan.level.value, plan.program)
    if plan.wishes.log_file is None and is_journal_stream():
        return
    (present,) = logging.root.handlers
    handler = _background_handler(plan)
    handler.filters = present.filters
    logging.basicConfig(level=plan.level.value.upper(), handlers=[handler], force=True)


def _background_handler(plan: MountPlan) -> logging.Handler:
    log_file = plan.wishes.log_file
    if log_file is not None:
        try:
            handler: logging.Handler = logging.FileHandler(log_file)
        except OSError as error:
            raise ConfigError(expected=f"a log file at {log_file}", got=error.strerror or str(error)) from error
        handler.setFormatter(PlainLines(plan.program))
        return handler
    return SyslogHandler(plan.program)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
