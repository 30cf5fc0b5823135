"""The channel to the kernel that is fusepy over libfuse 2: one mount of it.

Owns libfuse's options and its session, which may be told to exit only while it exists, for then it is freed. Composed by
dfs/cli/mount.py, used by mounting.py.
"""

from __future__ import annotations

import os
import signal
import threading

from dfs.fusefs.binding import NAME_ENCODING, Binding, RawCaller
from dfs.fusefs.mount_options import MountOptions
from dfs.fusefs.operations import IO_SIZE_BYTES, Connection, Operations
from dfs.fusefs.page_cache import PageCache, opener_below
from dfs.fusefs.serving import WAKE_SIGNAL, Served


def to_libfuse(options: MountOptions) -> dict[str, str | int | bool]:
    """Return libfuse's options.

    The kernel keeps no attributes or names by itself: a fresh open must see the size that another mount just wrote. The
    client's own cache knows when to ask. hard_remove stays off: it breaks fstat of an open file that is unlinked.
    """
    flags: dict[str, str | int | bool] = dict.fromkeys(options.flags, True)
    return flags | {
        "fsname": os.fsencode(options.source).decode(NAME_ENCODING).replace(",", "\\,"),
        "subtype": "dfs",
        "allow_other": options.allow_other,
        "auto_unmount": options.is_freed_on_crash,
        "nonempty": options.takes_over,
        "default_permissions": True,
        "use_ino": True,
        "big_writes": True,
        "max_read": IO_SIZE_BYTES,
        "max_write": IO_SIZE_BYTES,
        "max_readahead": IO_SIZE_BYTES,
        "attr_timeout": 0,
        "entry_timeout": 0,
        "negative_timeout": 0,
    }


class _Session:
    """libfuse's session with the kernel, from init to destroy."""

    def __init__(self, binding: Binding, connection: Connection) -> None:
        self._binding = binding
        self._connection = connection
        self._lock = threading.Lock()
        self._address: int | None = None

    def begin(self) -> None:
        address = self._binding.session()
        with self._lock:
            self._address = address
        self._connection.begin()

    def end(self) -> None:
        with self._lock:
            self._address = None
        self._connection.end()

    def exit(self) -> None:
        with self._lock:
            if self._address is not None:
                self._binding.exit(self._address)


class LibfuseChannel:
    """Serves one mount by libfuse."""

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self._session: _Session | None = None
        self._loop_thread = 0

    def caller(self) -> RawCaller:
        """Return who made the call in progress; only on the thread that libfuse called."""
        return self._binding.caller()

    def interrupted(self) -> bool:
        """Tell whether the kernel announced a signal to the caller of the call in progress; likewise."""
        return self._binding.interrupted()

    def run(self, served: Served, mount_point: bytes, options: MountOptions) -> None:
        """Mount, serve until unmounted or told to exit, unmount. Raises: RuntimeError if libfuse refuses, having said why."""
        self._session = session = _Session(self._binding, served.connection)
        self._loop_thread = threading.get_ident()
        operations = Operations(
            filesystem=served.filesystem,
            contexts=served.contexts,
            events=served.events,
            connection=session,
            pages=PageCache(opener_below(mount_point)),
            meter=served.meter,
        )
        self._binding.run(operations, mount_point, to_libfuse(options))

    def exit(self) -> None:
        """Tell libfuse to end; it then unmounts lazily by itself."""
        if self._session is not None:
            self._session.exit()
            # The signal may come just before the loop begins to wait: the caller says it again.
            signal.pthread_kill(self._loop_thread, WAKE_SIGNAL)
