"""/dev/fuse: mounting it, reading the kernel's requests, writing answers and notices.

Owns every system call on the device. Root mounts by mount(2), as libfuse does; others, and whoever wants the mount point freed when
the process dies, by the program fusermount3. Called by own_channel.py and loop.py.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import socket
import stat
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from dfs.core.records import Buffer
from dfs.core.start_errors import MountPointError
from dfs.fusefs.channel.protocol import (
    EXPIRE_ONLY,
    INVAL_ENTRY_OUT,
    INVAL_INODE_OUT,
    NOTIFY_INVAL_ENTRY,
    NOTIFY_INVAL_INODE,
    OUT_HEADER,
)
from dfs.fusefs.mount_options import MountOptions
from dfs.fusefs.mount_point import FUSE_DEVICE, MOUNT_TYPE, show

LOG = logging.getLogger(__name__)

PROGRAMS: Final = ("fusermount3", "fusermount")
SOCKET_VARIABLE: Final = "_FUSE_COMMFD"
"""Through which fusermount is told the socket on which it hands the device over."""
HELPER_TIMEOUT_S: Final = 10.0
FLAGS: Final = {
    "ro": 1,
    "nosuid": 2,
    "nodev": 4,
    "noexec": 8,
    "sync": 16,
    "dirsync": 128,
    "noatime": 1024,
}
"""MS_ flags of mount(2) by the names of their options."""
OPPOSITES: Final = {"suid": "nosuid", "dev": "nodev"}
"""What a mount has unless it is asked not to."""
READ_AHEAD: Final = "/sys/class/bdi/{}/read_ahead_kb"
_GONE: Final = frozenset({errno.ENOENT, errno.ENODEV, errno.EPERM, errno.ENOTCONN})
"""What the device says to an answer that nobody wants any more: interrupted, unmounted, aborted."""


class Device:
    """An open, mounted /dev/fuse. Any number of threads may use it."""

    def __init__(self, fd: int, helper: _Helper | None = None) -> None:
        self.fd = fd
        self._helper = helper
        library = ctypes.CDLL(None, use_errno=True)
        # Not os.read, which begins again when a signal has interrupted it: a signal is how a reader is told to end.
        self._read = library.read
        self._read.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
        self._read.restype = ctypes.c_ssize_t

    def read(self, address: int, size_bytes: int) -> int:
        """Wait for a request and put it at an address. Result: its length, 0 if there was none after all (a signal came).

        Raises: OSError, ENODEV once nothing is mounted any more.
        """
        length: int = self._read(self.fd, address, size_bytes)
        if length >= 0:
            return length
        number = ctypes.get_errno()
        if number in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
            return 0
        raise OSError(number, os.strerror(number))

    def reply(self, unique: int, *parts: Buffer) -> None:
        """Answer a request, without putting the parts together first."""
        length = OUT_HEADER.size + sum(map(len, parts))
        self._write(OUT_HEADER.pack(length, 0, unique), *parts)

    def reply_error(self, unique: int, number: int) -> None:
        """Answer a request with an errno."""
        self._write(OUT_HEADER.pack(OUT_HEADER.size, -number, unique))

    def forget_attributes(self, node: int) -> None:
        """Let the kernel ask for an inode's attributes before it shows them again. Waits for nothing."""
        self._notify(NOTIFY_INVAL_INODE, INVAL_INODE_OUT.pack(node, -1, 0))

    def drop_pages(self, node: int) -> None:
        """Let the kernel forget attributes and pages of a file. Waits for reads and write-back of the same pages, so it must never
        be called by a thread that one of these waits for.
        """
        self._notify(NOTIFY_INVAL_INODE, INVAL_INODE_OUT.pack(node, 0, 0))

    def forget_name(self, folder: int, name: bytes, *, expire_only: bool) -> None:
        """Let the kernel look a name up before it believes it again. Waits for changes under way in the folder; see above."""
        head = INVAL_ENTRY_OUT.pack(folder, len(name), EXPIRE_ONLY if expire_only else 0)
        self._notify(NOTIFY_INVAL_ENTRY, head + name + b"\0")

    def close(self) -> None:
        """Let go of the device: what is still mounted answers with errors from now on."""
        os.close(self.fd)
        if self._helper is not None:
            self._helper.close()

    def _notify(self, code: int, body: bytes) -> None:
        self._write(OUT_HEADER.pack(OUT_HEADER.size + len(body), code, 0) + body)

    def _write(self, *parts: Buffer) -> None:
        try:
            os.writev(self.fd, parts)
        except OSError as error:
            if error.errno not in _GONE:
                LOG.warning("the kernel takes no answer: %s", error.strerror)


def mount_device(point: bytes, options: MountOptions, io_size_bytes: int) -> Device:
    """Mount, and return the device. Raises: MountPointError."""
    if os.geteuid() == 0 and not options.is_freed_on_crash:
        return Device(_mount_directly(point, options, io_size_bytes))
    return _mount_by_helper(point, options, io_size_bytes)


def raise_read_ahead(device_number: bytes, io_size_bytes: int) -> None:
    """Let the kernel read a whole request ahead, where this process may say so; INIT can only lower it."""
    path = Path(READ_AHEAD.format(device_number.decode()))
    try:
        path.write_text(str(io_size_bytes >> 10))
    except OSError as error:
        LOG.debug("the kernel's read-ahead stays as it is: %s", error)


def _mount_directly(point: bytes, options: MountOptions, io_size_bytes: int) -> int:
    try:
        fd = os.open(FUSE_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise MountPointError(expected=f"to open {FUSE_DEVICE}", got=error.strerror or str(error)) from error
    root_mode = b"%o" % stat.S_IFMT(os.stat(point).st_mode)
    words = [b"fd=%d" % fd, b"rootmode=" + root_mode, b"user_id=%d" % os.getuid(), b"group_id=%d" % os.getgid()]
    words += [b"default_permissions", b"max_read=%d" % io_size_bytes, *([b"allow_other"] if options.allow_other else [])]
    library = ctypes.CDLL(None, use_errno=True)
    arguments = (os.fsencode(options.source), point, MOUNT_TYPE, ctypes.c_ulong(mount_flags(options.flags)), b",".join(words))
    if library.mount(*arguments) != 0:
        number = ctypes.get_errno()
        os.close(fd)
        raise MountPointError(expected=f"to mount on {show(point)}", got=os.strerror(number))
    return fd


def mount_flags(words: Sequence[str]) -> int:
    """Return the flags of mount(2) for options: devices and set-id bits count only where that is said."""
    return sum(FLAGS[word] for word in _kernel_words(words))


def _kernel_words(words: Sequence[str]) -> list[str]:
    wanted = {word for word in words if word in FLAGS}
    wanted |= {off for on, off in OPPOSITES.items() if on not in words}
    return [word for word in FLAGS if word in wanted]


class _Helper:
    """A running fusermount3 that watches over this process: when the socket closes it frees the mount point."""

    def __init__(self, process: subprocess.Popen[bytes], ours: socket.socket) -> None:
        self._process = process
        self._socket = ours

    def close(self) -> None:
        """Let it go, and see it end."""
        self._socket.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(HELPER_TIMEOUT_S)


def _mount_by_helper(point: bytes, options: MountOptions, io_size_bytes: int) -> Device:
    words = helper_options(options, io_size_bytes)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        process = _start_helper(words, point, theirs)
    ours.settimeout(HELPER_TIMEOUT_S)
    try:
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    except OSError as error:
        ours.close()
        process.kill()
        process.wait()
        raise MountPointError(expected=f"to mount on {show(point)}", got=f"no answer of {PROGRAMS[0]}: {error}") from error
    if not descriptors:
        ours.close()
        status = process.wait()
        raise RuntimeError(f"{PROGRAMS[0]} ended with status {status}")
    os.set_inheritable(descriptors[0], False)
    helper = _Helper(process, ours)
    if options.is_freed_on_crash:
        return Device(descriptors[0], helper)
    helper.close()
    return Device(descriptors[0])


def helper_options(options: MountOptions, io_size_bytes: int) -> list[bytes]:
    """Return the options for fusermount3."""
    source = os.fsencode(options.source).replace(b"\\", b"\\\\").replace(b",", b"\\,")
    words = [b"fsname=" + source, b"subtype=dfs", b"default_permissions", b"max_read=%d" % io_size_bytes]
    words += [word.encode() for word in _kernel_words(options.flags)]
    words += [word.encode() for word in options.flags if word in OPPOSITES]
    words += [b"allow_other"] if options.allow_other else []
    words += [b"auto_unmount"] if options.is_freed_on_crash else []
    return words


def _start_helper(words: list[bytes], point: bytes, theirs: socket.socket) -> subprocess.Popen[bytes]:
    environment = os.environ | {SOCKET_VARIABLE: str(theirs.fileno())}
    for program in PROGRAMS:
        command = [program.encode(), b"-o", b",".join(words), b"--", point]
        try:
            return subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        except FileNotFoundError:
            continue
    raise MountPointError(expected="the program fusermount3 (package fuse3)", got="none in PATH")
