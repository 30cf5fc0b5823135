"""The folder in which a server keeps its state: made, checked and locked before anything in it is read.

Promises: while a StateFolderLock is held no other process of this machine uses the folder (design section 8); everything that
is wrong with the folder is a StateError that names it. Called by dfs/cli at start. Never reads or writes the state itself.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final

from dfs.core.start_errors import NotMounted, StateError

LOCK_NAME: Final = "lock"
"""File in the state folder that is locked with flock(2) and carries the pid of its holder."""
BOOT_ID_PATH: Final = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Return the identifier of this run of the kernel: a new one tells that the machine stopped in between.

    Raises: StateError if the kernel does not tell.
    """
    try:
        return BOOT_ID_PATH.read_text("ascii").strip()
    except OSError as error:
        raise StateError(f"the kernel's boot id in {BOOT_ID_PATH}", _reason(error)) from error


class StateFolderLock:
    """The hold of this process on a state folder, until release() or the end of the process."""

    def __init__(self, folder: Path, fd: int) -> None:
        self.folder = folder
        self._fd = fd

    def release(self) -> None:
        """Let another process use the folder; releasing twice is harmless. The lock file stays: removing it would let two
        processes lock two different files of that name.
        """
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> StateFolderLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def lock_state_folder(folder: Path, *, require_mount: bool = False) -> StateFolderLock:
    """Make the state folder if it is missing, check that it can be used, and lock it for this process.

    Arguments: `require_mount`: the folder must be a mount point; nothing is made then, because an empty folder where a disk
    should be mounted would fill the root disk (design section 4).
    Raises: NotMounted; StateError, naming the folder and, if it is in use, the process that uses it.
    """
    if require_mount and not os.path.ismount(folder):
        raise NotMounted(f"{folder} to be a mount point (require_mount = yes)", "no disk mounted there")
    try:
        _make(folder)
    except OSError as error:
        raise StateError(f"the state folder {folder}", _reason(error)) from error
    return StateFolderLock(folder, _lock(folder))


def _make(folder: Path) -> None:
    """Make the folder and its parents, durably: if it vanished in a power cut, what was synced in it would go with it."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _lock(folder: Path) -> int:
    """Open, lock and sign the lock file; writing the pid also proves that the folder can be written."""
    try:
        fd = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"the state folder {folder} to be writable", _reason(error)) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        return fd
    except BlockingIOError as error:
        user = _holder(fd)
        os.close(fd)
        raise StateError(f"the state folder {folder} to be free", f"it is in use by {user}") from error
    except OSError as error:
        os.close(fd)
        raise StateError(f"the state folder {folder} to be writable", _reason(error)) from error


def _holder(fd: int) -> str:
    """Return who holds the lock, as far as the lock file tells."""
    pid = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
    return f"process {pid}" if pid.isdigit() else "another process"


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
