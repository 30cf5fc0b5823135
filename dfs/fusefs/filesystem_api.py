"""What the FUSE boundary asks of the client service: one method per system call, paths as bytes that begin with a slash or with the
number of an inode (dfs/client/metadata/inode_paths.py).

`dfs.client.filesystem.FileSystem` is it; tests/harness/memory_filesystem.py is its twin for tests of this package alone. Methods
raise DfsError leaves, wait only while `ctx.cancelled()` allows it, and may be called by any number of threads at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from dfs.client.metadata.attribute_cache import Believed, Looked
from dfs.core.ids import Ino
from dfs.core.interfaces import CallContext
from dfs.core.locks import LockOwner, LockRange
from dfs.core.messages.inodes import AttributeChanges, Attributes, Entry
from dfs.core.messages.inspection import FileSystemSpace
from dfs.core.messages.locks import LockFound
from dfs.core.records import Buffer


class FileSystemApi(Protocol):
    """A mounted file system, without FUSE. Handles are numbers chosen by it; flags are those of open(2)."""

    def getattr(self, ctx: CallContext, path: bytes, handle: int | None) -> Attributes:
        """Return the attributes of the inode at `path`, or of the one that `handle` has open."""

    def look(self, ctx: CallContext, path: bytes, handle: int | None = None) -> Looked:
        """Return what getattr() returns, and for how long that and the name may be believed."""

    def believed(self, named: Sequence[tuple[bytes, Ino]]) -> list[Believed]:
        """Return, for each path and the inode that stands there, what may be shown of both for a while without asking."""

    def written_bytes(self, ctx: CallContext, attributes: Attributes) -> int:
        """Return how many bytes of an inode are stored, holes not counted."""

    def readlink(self, ctx: CallContext, path: bytes) -> bytes:
        """Return a symbolic link's target."""

    def list_folder(self, ctx: CallContext, path: bytes) -> Iterable[Entry]:
        """Return a folder's entries, without . and .."""

    def mkdir(self, ctx: CallContext, path: bytes, mode: int) -> object:
        """Create a folder."""

    def mknod(self, ctx: CallContext, path: bytes, mode: int, rdev: int) -> object:
        """Create a file of any type but folder and link."""

    def symlink(self, ctx: CallContext, path: bytes, target: bytes) -> object:
        """Create a symbolic link at `path`."""

    def link(self, ctx: CallContext, path: bytes, new_path: bytes) -> object:
        """Give the inode at `path` a further name."""

    def unlink(self, ctx: CallContext, path: bytes) -> object:
        """Remove a name, or an alias made by unlink_open."""

    def unlink_open(self, ctx: CallContext, path: bytes, alias: bytes) -> object:
        """Remove the name of a file that this mount has open; until its last close it is found at `alias`, by this mount only."""

    def rmdir(self, ctx: CallContext, path: bytes) -> object:
        """Remove an empty folder."""

    def rename(self, ctx: CallContext, path: bytes, new_path: bytes, flags: int = 0) -> object:
        """Rename, replacing what stands at `new_path` unless `flags` (those of renameat2) has RENAME_NOREPLACE."""

    def setattr(self, ctx: CallContext, path: bytes, changes: AttributeChanges) -> object:
        """Change mode, owner or times."""

    def truncate(self, ctx: CallContext, path: bytes, size_bytes: int, handle: int | None) -> object:
        """Set the size of the inode at `path`, or of the one that `handle` has open for writing."""

    def create(self, ctx: CallContext, path: bytes, mode: int, flags: int) -> int:
        """Create a regular file (O_EXCL: only a new one), open it, return a handle."""

    def open(self, ctx: CallContext, path: bytes, flags: int) -> int:
        """Open a regular file, return a handle. O_TRUNC empties what is opened for writing."""

    def read(self, ctx: CallContext, handle: int, size_bytes: int, offset: int) -> bytes:
        """Return up to `size_bytes` bytes; fewer only at the end of the file."""

    def write(self, ctx: CallContext, handle: int, data: Buffer, offset: int) -> int:
        """Write all of `data` (for an O_APPEND handle at the file's end) to both replicas; return its length.

        `data` is read until this returns, and not afterwards.
        """

    def fallocate(self, ctx: CallContext, handle: int, mode: int, offset: int, length: int) -> object:
        """Check for room, or make zeros, as the system call says of `mode`."""

    def flush(self, ctx: CallContext, handle: int) -> object:
        """Make what was written visible to other mounts: a descriptor is being closed."""

    def fsync(self, ctx: CallContext, handle: int) -> object:
        """Make what was written survive a power cut."""

    def release(self, ctx: CallContext, handle: int) -> object:
        """Forget a handle: its last descriptor is closed."""

    def check(self) -> int:
        """Prove that the client works, without asking any server: return a number."""

    def statfs(self, ctx: CallContext) -> FileSystemSpace:
        """Return space and number of inodes."""

    def access(self, ctx: CallContext, path: bytes, mode: int) -> object:
        """Check that the caller may read (4), write (2) or execute (1)."""

    def getxattr(self, ctx: CallContext, path: bytes, name: bytes) -> bytes:
        """Return the value of an extended attribute."""

    def listxattr(self, ctx: CallContext, path: bytes) -> tuple[bytes, ...]:
        """Return the names of the extended attributes."""

    def setxattr(self, ctx: CallContext, path: bytes, name: bytes, value: bytes, flags: int) -> object:
        """Set one; `flags` are those of the system call."""

    def removexattr(self, ctx: CallContext, path: bytes, name: bytes) -> object:
        """Remove an extended attribute."""

    def lock(self, ctx: CallContext, handle: int, owner: LockOwner, wanted: LockRange, *, wait: bool) -> object:
        """Lock a range between all mounts."""

    def unlock(self, ctx: CallContext, handle: int, owner: LockOwner, first: int, last: int) -> object:
        """Unlock the bytes from `first` to `last`, both included."""

    def find_lock(self, ctx: CallContext, handle: int, owner: LockOwner, wanted: LockRange) -> LockFound:
        """Return a lock that is in the way of `wanted`."""

    def content_version(self, ctx: CallContext, handle: int) -> tuple[int, ...]:
        """Return what changes whenever another mount has changed the content."""
