"""The one import of the FUSE binding (fusepy over libfuse 2) and of what it gets wrong.

Owns the choice between the module names `fusepy` (Debian) and `fuse` (PyPI; Debian's own `fuse` is another API), the C calls that
fusepy does not offer, and the conversions it does inexactly: stat buffers, listings and time stamps. Used by mounting.py to
run the loop and by operation_context.py to ask about the call in progress. Knows nothing of dfs' files.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import inspect
import logging
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final, NamedTuple, Protocol

from dfs.core.start_errors import StartError
from dfs.core.xattrs import CAPABILITY
from dfs.fusefs.flock_struct import FlockStruct, LockCall, fill_flock, read_flock
from dfs.fusefs.kept_threads import KeptThreads

LOG = logging.getLogger(__name__)

MODULE_NAMES: Final = ("fusepy", "fuse")
NAME_ENCODING: Final = "latin-1"
"""Maps every byte to one character and back: file names are bytes, fusepy's API is text."""
UTIME_NOW: Final = (1 << 30) - 1
UTIME_OMIT: Final = (1 << 30) - 2
"""What utimensat(2) puts into tv_nsec."""
_NS_PER_S: Final = 10**9


class RawCaller(NamedTuple):
    """Who made the system call in progress, as the kernel says."""

    uid: int
    gid: int
    pid: int
    """The thread's own number; 0 if it is invisible from here, or for write-back, which has no caller."""


class Stat(NamedTuple):
    """What stat(2) shows; `blksize` in bytes, `blocks` in units of 512 bytes."""

    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    size: int
    blksize: int
    blocks: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int


class Space(NamedTuple):
    """What statvfs(3) shows; blocks in units of `frsize` bytes."""

    bsize: int
    frsize: int
    blocks: int
    bfree: int
    bavail: int
    files: int
    ffree: int
    favail: int
    namemax: int


class SetTime(NamedTuple):
    """One of the two time stamps of utimensat(2)."""

    seconds: int
    nanoseconds: int
    """0 .. 999,999,999, UTIME_NOW or UTIME_OMIT."""


class FileInfo(Protocol):
    """The kernel's view of an open file (struct fuse_file_info)."""

    flags: int
    """Those of open(2)."""
    fh: int
    """The handle, chosen by who answers open or create."""
    keep_cache: int
    """Answer to open: 1 keeps the pages that the kernel has cached."""
    lock_owner: int
    """Who locks, unlocks or closes: unsigned, 64 bits."""
    flock_release: int
    """At release: 1 if `lock_owner` may have a lock of flock(2), which goes now."""


AddEntry = Callable[[bytes, Stat], bool]
"""Puts a name into a listing; False: the listing takes no more."""


class CallTable(Protocol):
    """What answers the kernel: called with an operation's name and its arguments, raises OSError only."""

    def __call__(self, operation: str, *arguments: Any) -> Any:
        """Carry out one operation."""


class Binding:
    """libfuse, through fusepy. All methods but `run` may be called from any thread; the questions about the call in progress
    only from the thread that libfuse called.
    """

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        # PyDLL keeps the interpreter lock: these calls take nanoseconds, giving the lock up could cost milliseconds.
        library = ctypes.PyDLL(module._libfuse._name, handle=module._libfuse._handle)
        self._get_context = library.fuse_get_context
        self._get_context.restype = ctypes.POINTER(module.fuse_context)
        self._get_context.argtypes = []
        self._interrupted = library.fuse_interrupted
        self._interrupted.restype = ctypes.c_int
        self._interrupted.argtypes = []
        self._exit = library.fuse_exit
        self._exit.restype = None
        self._exit.argtypes = [ctypes.c_void_p]

    def caller(self) -> RawCaller:
        """Return who made the call in progress."""
        context = self._get_context().contents
        return RawCaller(context.uid, context.gid, context.pid)

    def interrupted(self) -> bool:
        """Tell whether the kernel announced a signal to the caller of the call in progress; it does so once only."""
        return bool(self._interrupted())

    def session(self) -> int:
        """Return the address of the session that the call in progress belongs to, for `exit`."""
        return int(self._get_context().contents.fuse)

    def exit(self, session: int) -> None:
        """Tell a session's loop to end as soon as it wakes."""
        self._exit(session)

    def run(self, operations: CallTable, mount_point: bytes, options: Mapping[str, str | int | bool]) -> None:
        """Mount, serve with threads until unmounted or told to exit, unmount.

        Arguments: what answers the kernel, an absolute path, and libfuse's `-o` options (True: a bare word).
        Raises: RuntimeError if libfuse refuses; it has then said why on standard error.
        """
        _extend_table(self._module)
        loop = _loop_class(self._module, KeptThreads())
        loop(operations, mount_point.decode(NAME_ENCODING), foreground=True, raw_fi=True, encoding=NAME_ENCODING, **options)


def load_binding(import_module: Callable[[str], ModuleType] = importlib.import_module) -> Binding:
    """Return the binding.

    Raises: StartError if neither module is there, is the right one, or finds libfuse 2.
    """
    reasons: list[str] = []
    for name in MODULE_NAMES:
        try:
            module = import_module(name)
        except ImportError:
            reasons.append(f"no module {name}")
        except OSError as error:
            raise StartError(expected="libfuse 2 (package libfuse2, or libfuse2t64)", got=str(error)) from error
        else:
            if _is_fusepy(module):
                return Binding(module)
            reasons.append(f"{name} is another binding")
    raise StartError(expected="the Python module fusepy 3 (package python3-fusepy)", got=", ".join(reasons))


def _is_fusepy(module: ModuleType) -> bool:
    loop = getattr(module, "FUSE", None)
    if not inspect.isclass(loop) or not hasattr(module, "Operations"):
        return False
    return "raw_fi" in inspect.signature(loop).parameters and hasattr(module, "_libfuse")


def _extend_table(module: ModuleType) -> None:
    """Let fusepy's table of operations, which ends at ioctl, reach to the end of libfuse 2.9's.

    Without flock in it the kernel would grant BSD locks on each mount separately.
    """
    table = module.fuse_operations
    if any(field[0] == "flock" for field in table._fields_):
        return
    info, path = ctypes.POINTER(module.fuse_file_info), ctypes.c_char_p
    added = [
        ("poll", ctypes.c_void_p),
        ("write_buf", ctypes.c_void_p),
        ("read_buf", ctypes.c_void_p),
        ("flock", ctypes.CFUNCTYPE(ctypes.c_int, path, info, ctypes.c_int)),
        ("fallocate", ctypes.CFUNCTYPE(ctypes.c_int, path, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong, info)),
    ]
    vars(module)["fuse_operations"] = type("fuse_operations", (ctypes.Structure,), {"_fields_": [*table._fields_, *added]})


def _answer_bytes(found: bytes, target: Any, size_bytes: int) -> int:
    """Answer getxattr or listxattr: how long it is, and the bytes themselves if there is room."""
    if not size_bytes:
        return len(found)
    if len(found) > size_bytes:
        return -errno.ERANGE
    ctypes.memmove(target, found, len(found))
    return len(found)


def _fill_stat(buffer: Any, stat: Stat) -> None:
    """Copy `stat` into a zeroed struct stat."""
    buffer.st_ino = stat.ino
    buffer.st_mode = stat.mode
    buffer.st_nlink = stat.nlink
    buffer.st_uid = stat.uid
    buffer.st_gid = stat.gid
    buffer.st_rdev = stat.rdev
    buffer.st_size = stat.size
    buffer.st_blksize = stat.blksize
    buffer.st_blocks = stat.blocks
    time = buffer.st_atimespec
    time.tv_sec, time.tv_nsec = divmod(stat.atime_ns, _NS_PER_S)
    time = buffer.st_mtimespec
    time.tv_sec, time.tv_nsec = divmod(stat.mtime_ns, _NS_PER_S)
    time = buffer.st_ctimespec
    time.tv_sec, time.tv_nsec = divmod(stat.ctime_ns, _NS_PER_S)


class _ExactCalls:
    """The callbacks that libfuse calls, in place of fusepy's: no dictionaries, no time stamps folded into one number."""

    operations: CallTable
    encoding: str
    stat_type: Any
    """The binding's struct stat."""
    threads: KeptThreads
    _decode_optional_path: Callable[[bytes | None], str | None]

    def _wrapper(self, function: Callable[..., int | None], *arguments: Any) -> int:
        """Answer libfuse: 0 or more, or an errno with its sign turned. Called first on every call from the kernel."""
        self.threads.keep_caller()
        try:
            return function(*arguments) or 0
        except OSError as error:
            return -(error.errno or errno.EIO)
        except BaseException:
            LOG.exception("a bug between libfuse and the operations")
            return -errno.EIO

    def fgetattr(self, path: bytes | None, buffer: Any, info: Any) -> int:
        stat = self.operations("getattr", self._decode_optional_path(path), info.contents if info else None)
        ctypes.memset(buffer, 0, ctypes.sizeof(self.stat_type))
        _fill_stat(buffer.contents, stat)
        return 0

    def readdir(self, path: bytes | None, target: int, filler: Any, offset: int, info: Any) -> int:
        buffer = self.stat_type()

        def add_entry(name: bytes, stat: Stat) -> bool:
            _fill_stat(buffer, stat)
            # Offset 0: libfuse collects the whole listing and asks once.
            return bool(filler(target, name, buffer, 0) == 0)

        self.operations("readdir", info.contents.fh, add_entry)
        return 0

    def utimens(self, path: bytes, buffer: Any) -> int:
        times = [SetTime(time.tv_sec, time.tv_nsec) for time in (buffer.contents.actime, buffer.contents.modtime)]
        self.operations("utimens", path.decode(self.encoding), *times)
        return 0

    def getxattr(self, path: bytes, name: bytes, target: Any, size_bytes: int) -> int:
        if name == CAPABILITY:
            # The kernel asks for it before every write: answered before anything else is done.
            return -errno.ENODATA
        return _answer_bytes(self.operations("getxattr", path.decode(self.encoding), name), target, size_bytes)

    def listxattr(self, path: bytes, target: Any, size_bytes: int) -> int:
        names = self.operations("listxattr", path.decode(self.encoding))
        return _answer_bytes(b"".join(name + b"\0" for name in names), target, size_bytes)

    def setxattr(self, path: bytes, name: bytes, value: Any, size_bytes: int, flags: int) -> int:
        self.operations("setxattr", path.decode(self.encoding), name, ctypes.string_at(value, size_bytes), flags)
        return 0

    def removexattr(self, path: bytes, name: bytes) -> int:
        self.operations("removexattr", path.decode(self.encoding), name)
        return 0

    def lock(self, path: bytes | None, info: Any, command: int, address: int) -> int:
        struct = FlockStruct.from_address(address)
        answer: LockCall | None = self.operations("lock", info.contents, command, read_flock(struct))
        if answer is not None:
            fill_flock(struct, answer)
        return 0

    def flock(self, path: bytes | None, info: Any, operation: int) -> int:
        self.operations("flock", info.contents, operation)
        return 0

    def fallocate(self, path: bytes | None, mode: int, offset: int, length: int, info: Any) -> int:
        self.operations("fallocate", info.contents, mode, offset, length)
        return 0

    def statfs(self, path: bytes, buffer: Any) -> int:
        space: Space = self.operations("statfs", path.decode(self.encoding))
        for name, value in zip(space._fields, space, strict=True):
            setattr(buffer.contents, f"f_{name}", value)
        return 0


def _loop_class(module: ModuleType, threads: KeptThreads) -> Any:
    """Return fusepy's FUSE class with exact conversions; constructing one mounts and serves."""
    return type("Loop", (_ExactCalls, module.FUSE), {"stat_type": module.c_stat, "threads": threads})
