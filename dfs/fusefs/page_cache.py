"""The kernel's pages of open files, which go stale when another mount changes a file without changing its size.

Close-to-open leaves that to the next open, which drops the pages. Who locks a file reads what the last holder wrote without opening
it anew; so when a lock was granted on a file that another mount has changed since the pages were last dropped, the kernel is made
to drop them before the lock is answered (design section 10). That may wait for reads and writes of the file, so a helper thread
does it: with libfuse by opening and closing the file on the own mount, else by a notice to the kernel. Called by operations.py.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from dfs.core.interfaces import POLL_S, CallContext, raise_if_cancelled

LOG = logging.getLogger(__name__)

Version = tuple[int, ...]
DropPages = Callable[[bytes, int], None]
"""Called with a path of the mount and the inode that must be found there."""


class PageCache:
    """Which content of each open file the kernel's pages may be from."""

    def __init__(self, drop_pages: DropPages) -> None:
        self._drop_pages = drop_pages
        self._mutex = threading.Lock()
        self._paths: dict[int, tuple[int, bytes]] = {}
        """Handle -> inode and path."""
        self._versions: dict[int, Version] = {}
        self._users: dict[int, int] = {}

    def note_open(self, handle: int, ino: int, path: bytes, version: Version, *, is_fresh: bool) -> None:
        """Note an open file; `is_fresh`: the open drops its pages."""
        with self._mutex:
            self._paths[handle] = (ino, path)
            self._users[ino] = self._users.get(ino, 0) + 1
            if is_fresh or ino not in self._versions:
                self._versions[ino] = version

    def note_release(self, handle: int) -> None:
        """Forget a handle."""
        with self._mutex:
            ino, _ = self._paths.pop(handle, (0, b""))
            left = self._users.pop(ino, 0) - 1
            if left > 0:
                self._users[ino] = left
            else:
                self._versions.pop(ino, None)

    def note_rename(self, old: bytes, new: bytes) -> None:
        """Follow what was renamed on this mount."""
        with self._mutex:
            for handle, (ino, path) in self._paths.items():
                if path == old or path.startswith(old + b"/"):
                    self._paths[handle] = (ino, new + path[len(old) :])

    def freshen(self, ctx: CallContext, handle: int, version: Version) -> None:
        """Drop the pages of a file if its content is another than they may be from. Raises: Interrupted."""
        with self._mutex:
            if handle not in self._paths:
                return
            ino, path = self._paths[handle]
            if self._versions.get(ino) == version:
                return
        run_beside(ctx, lambda: self._drop(path, ino))
        with self._mutex:
            if ino in self._users:
                self._versions[ino] = version

    def _drop(self, path: bytes, ino: int) -> None:
        try:
            self._drop_pages(path, ino)
        except OSError as error:
            # Renamed by another mount, or no right to open it: the pages stay until the program opens the file again.
            LOG.info("cached pages of inode %d can't be dropped: %s", ino, error.strerror)


def run_beside(ctx: CallContext, work: Callable[[], None]) -> None:
    """Do by a thread of its own what may have to wait for another operation of this mount. Raises: Interrupted."""
    helper = threading.Thread(target=work, name="dfs-drop-pages", daemon=True)
    helper.start()
    while helper.is_alive():
        raise_if_cancelled(ctx)
        helper.join(POLL_S)


def opener_below(mount_point: bytes) -> DropPages:
    """Return what opens and closes files of the file system mounted at `mount_point`."""

    def open_and_close(path: bytes, ino: int) -> None:
        fd = os.open(mount_point + path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if os.fstat(fd).st_ino != ino:
                LOG.info("cached pages of inode %d can't be dropped: another file stands at its name", ino)
        finally:
            os.close(fd)

    return open_and_close
