"""What a mount does, without FUSE: one method per system call, and the composition of the parts that carry it out.

Promises (design sections 5 and 6): what write() acknowledged is on both replicas; reads are verified; between mounts close-to-open
holds. Every method takes the operation's context first and ends when that says so (I7); any number of threads may call at once.
Paths are bytes that begin with a slash, or with an inode's number (metadata/inode_paths.py). Called by dfs/fusefs and by tests.
Never knows of FUSE, sockets or threads.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Final

from dfs.client.blocks.block_path import make_block_path
from dfs.client.blocks.showing import ShowingServers
from dfs.client.blocks.written_blocks import WrittenBlocks
from dfs.client.content_path import make_content_path
from dfs.client.measures import client_samples
from dfs.client.metadata.attribute_cache import Believed, Looked
from dfs.client.metadata.meta_path import make_meta_path
from dfs.client.names import Names
from dfs.client.own_tasks import make_own_tasks
from dfs.client.settings import MountSettings
from dfs.client.xattrs import Xattrs
from dfs.core.contexts import GuardedContext
from dfs.core.errors import DfsError, EndReason, FileError, Interrupted
from dfs.core.ids import Ino, SessionId
from dfs.core.interfaces import CallContext, Clock, DataServers, EventSink, MetaApi, Random, SessionDiary, Tasks
from dfs.core.locks import LockOwner, LockRange
from dfs.core.messages.cluster import Shape
from dfs.core.messages.content import Certify
from dfs.core.messages.inodes import AttributeChanges, Attributes, Entry
from dfs.core.messages.inspection import FileSystemSpace, StatFileSystem
from dfs.core.messages.locks import LockFound
from dfs.core.metrics import Sample
from dfs.core.permissions import require_access
from dfs.core.records import Buffer

LOG = logging.getLogger(__name__)

STOP_TIMEOUT_S: Final = 10.0
"""How long stop() tries to tell meta the last word on open files."""


class FileSystem:
    """A mounted file system."""

    def __init__(
        self,
        *,
        settings: MountSettings,
        meta: MetaApi,
        servers: DataServers,
        clock: Clock,
        random: Random,
        tasks: Tasks,
        events: EventSink,
        diary: SessionDiary | None = None,
    ) -> None:
        """`diary`: what is left to whoever mounts here after this process' death; None: nothing."""
        self._settings = settings
        self._clock = clock
        self._is_stopping = False
        self._meta = known = make_meta_path(
            settings=settings, meta=meta, servers=servers, clock=clock, random=random, tasks=tasks, events=events, diary=diary
        )
        self._session, self._grants, self._handles, self._inodes = known.session, known.grants, known.handles, known.inodes
        self._names = Names(
            link=known.link,
            cache=known.cache,
            folders=known.folders,
            inodes=known.inodes,
            grants=known.grants,
            calls=known.calls,
            handles=known.handles,
            closed=known.closed,
        )
        self._xattrs = Xattrs(link=known.link, cache=known.cache, inodes=known.inodes)
        showing = ShowingServers(servers, known.capabilities, lambda ctx, ino: known.link.ask(ctx, Certify(ino)))
        self._written = WrittenBlocks(showing, clock, tasks, settings.attr_timeout_s)
        self._blocks = make_block_path(
            servers=showing,
            clock=clock,
            random=random,
            tasks=tasks,
            events=events,
            ending=self._ending,
            mends=lambda: known.capabilities.is_used,
        )
        content = make_content_path(
            meta=known, blocks=self._blocks, write_back=settings.write_back, clock=clock, tasks=tasks, events=events
        )
        self._files, self._back, self._allocation, self._locks = content.files, content.back, content.allocation, content.locks
        self._own = make_own_tasks(
            meta=known, content=content, clock=clock, random=random, tasks=tasks, events=events, ending=self._ending
        )

    # --- the service ---------------------------------------------------------------------------------------------------------

    def set_timeouts(self, attr_timeout_s: float, entry_timeout_s: float | None) -> None:
        """Believe attributes and names (None: as attributes) that are learnt from now on for so long."""
        self._meta.cache.set_timeouts(attr_timeout_s, entry_timeout_s)
        self._inodes.set_timeout(attr_timeout_s)
        self._written.set_timeout(attr_timeout_s)

    def start(self, ctx: CallContext) -> None:
        """Open the client session and begin the mount's own work.

        Raises: PeerStartError if meta, or for a new file system a data server, can't be reached within start_timeout_s;
        WrongServer if the file system has other data servers; Interrupted.
        """
        end_s = self._clock.monotonic_s() + self._settings.start_timeout_s
        self._session.open(GuardedContext(ctx, lambda: self._clock.monotonic_s() > end_s, EndReason.DEADLINE))
        self._own.start()

    def stop(self, ctx: CallContext) -> None:
        """Tell meta the last word on every file, end the session and the mount's own work. Bounded in time; raises nothing."""
        end_s = self._clock.monotonic_s() + STOP_TIMEOUT_S
        bounded = GuardedContext(ctx, lambda: self._clock.monotonic_s() > end_s, EndReason.DEADLINE)
        self._give_everything_back(bounded)
        self._back.end(bounded)
        self._is_stopping = True
        self._own.join()
        try:
            self._session.end(bounded)
        except DfsError as error:
            LOG.warning("the client session is left to expire: %s", error)

    @property
    def shape(self) -> Shape:
        """What the file system was made as."""
        return self._session.shape

    @property
    def session(self) -> SessionId:
        """The client session that counts now."""
        return self._session.number

    def check(self) -> int:
        """Prove that the client works, whatever the servers do: take the locks that every operation takes.

        Result: how many inodes it has the write grant of, or must still tell meta something about.
        """
        self._inodes.ino_at(b"/")
        return len(self._grants.inodes())

    def measures(self) -> Iterator[Sample]:
        """Yield how the mount is doing."""
        return client_samples(
            self._blocks.replication.waits,
            self._blocks.health,
            self._meta.patient,
            self._meta.lease,
            len(self._grants.inodes()),
            self._back.total_bytes,
            self._clock.monotonic_s(),
        )

    def _ending(self) -> EndReason | None:
        return EndReason.SHUTDOWN if self._is_stopping else None

    def _give_everything_back(self, ctx: CallContext) -> None:
        for ino in self._grants.inodes():
            try:
                with self._meta.turns.hold(ctx, ino):
                    self._meta.calls.give_back(ctx, ino)
            except Interrupted as error:
                LOG.warning("what was written last is left to the meta-server to find: %s", error)
                return
            except DfsError as error:
                LOG.warning("inode %d: the grant is left to expire: %s", ino, error)

    # --- names ---------------------------------------------------------------------------------------------------------------

    def getattr(self, ctx: CallContext, path: bytes, handle: int | None = None) -> Attributes:
        """Return the attributes of the inode at `path`, or of the one that `handle` has open."""
        if handle is not None:
            return self._inodes.of(ctx, self._files.handle(handle).ino)
        return self._inodes.at(ctx, path)

    def look(self, ctx: CallContext, path: bytes, handle: int | None = None) -> Looked:
        """Return what getattr() returns, and for how long that and the name may be believed."""
        ino = self._inodes.ino_at(path)
        if ino is not None:
            (believed,) = self._inodes.believed([(path, ino)])
            if believed.attributes is not None:
                return Looked(believed.attributes, believed.attributes_s, believed.name_s)
        attributes = self.getattr(ctx, path, handle)
        (believed,) = self._inodes.believed([(path, attributes.ino)])
        return Looked(believed.attributes or attributes, believed.attributes_s, believed.name_s)

    def believed(self, named: Sequence[tuple[bytes, Ino]]) -> list[Believed]:
        """Return, for each path and the inode that stands there, what may be shown of both for a while without asking."""
        return self._inodes.believed(named)

    def written_bytes(self, ctx: CallContext, attributes: Attributes) -> int:
        """Return how many bytes of an inode are stored, holes not counted."""
        return self._written.bytes_of(ctx, attributes)

    def access(self, ctx: CallContext, path: bytes, mode: int) -> None:
        """Check that the caller may read (4), write (2) or execute (1); 0: that the path exists. Raises: AccessDenied."""
        require_access(self._inodes.at(ctx, path), ctx.caller, mode, path)

    def readlink(self, ctx: CallContext, path: bytes) -> bytes:
        """Return a symbolic link's target."""
        return self._names.readlink(ctx, path)

    def list_folder(self, ctx: CallContext, path: bytes) -> list[Entry]:
        """Return a folder's entries, without . and .."""
        return self._names.list_folder(ctx, path)

    def mkdir(self, ctx: CallContext, path: bytes, mode: int) -> Attributes:
        """Create a folder with the permission bits `mode`."""
        return self._names.mkdir(ctx, path, mode)

    def mknod(self, ctx: CallContext, path: bytes, mode: int, rdev: int) -> Attributes:
        """Create a file of the type in `mode`, of any but folder and link."""
        return self._names.mknod(ctx, path, mode, rdev)

    def symlink(self, ctx: CallContext, path: bytes, target: bytes) -> Attributes:
        """Create a symbolic link at `path`."""
        return self._names.symlink(ctx, path, target)

    def link(self, ctx: CallContext, path: bytes, new_path: bytes) -> Attributes:
        """Give the inode at `path` a further name."""
        return self._names.link(ctx, path, new_path)

    def unlink(self, ctx: CallContext, path: bytes) -> None:
        """Remove a name, or an alias made by unlink_open."""
        file = self._names.unlink(ctx, path)
        if file is not None:
            self._files.close(ctx, file)

    def unlink_open(self, ctx: CallContext, path: bytes, alias: bytes) -> None:
        """Remove the name of a file that this mount has open; until it is removed, `alias` leads to it, in this mount only."""
        self._names.unlink_open(ctx, path, alias)

    def rmdir(self, ctx: CallContext, path: bytes) -> None:
        """Remove an empty folder."""
        self._names.rmdir(ctx, path)

    def rename(self, ctx: CallContext, path: bytes, new_path: bytes, flags: int = 0) -> None:
        """Rename, replacing what stands at `new_path` unless `flags` (those of renameat2) has RENAME_NOREPLACE."""
        self._store_at(ctx, path)
        self._names.rename(ctx, path, new_path, flags)

    def setattr(self, ctx: CallContext, path: bytes, changes: AttributeChanges) -> Attributes:
        """Change mode, owner or times."""
        self._store_at(ctx, path)
        return self._names.setattr(ctx, path, changes)

    def statfs(self, ctx: CallContext) -> FileSystemSpace:
        """Return space and number of inodes."""
        return self._meta.link.ask(ctx, StatFileSystem())

    def _store_at(self, ctx: CallContext, path: bytes) -> None:
        """Store what waits of the inode at a path, before it gets another name or other times."""
        if not self._back.is_any_dirty:
            return
        try:
            ino = self._inodes.at(ctx, path).ino
        except FileError:
            return  # whoever asked is told by the change itself
        self._back.drain(ctx, ino)

    # --- files ---------------------------------------------------------------------------------------------------------------

    def create(self, ctx: CallContext, path: bytes, mode: int, flags: int) -> int:
        """Create a regular file with the permission bits `mode` (O_EXCL: only a new one) and open it. Result: a handle."""
        return self._files.create(ctx, path, mode, flags)

    def open(self, ctx: CallContext, path: bytes, flags: int) -> int:
        """Open a regular file. Result: a handle."""
        return self._files.open(ctx, path, flags)

    def read(self, ctx: CallContext, handle: int, size_bytes: int, offset: int) -> bytes:
        """Return up to `size_bytes` bytes; fewer only at the end of the file. Raises: NoGoodCopy."""
        return self._files.read(ctx, handle, size_bytes, offset)

    def write(self, ctx: CallContext, handle: int, data: Buffer, offset: int) -> int:
        """Write all of `data` (for an O_APPEND handle at the file's end) to both replicas; return its length."""
        return self._files.write(ctx, handle, data, offset)

    def truncate(self, ctx: CallContext, path: bytes, size_bytes: int, handle: int | None = None) -> None:
        """Set the size of the inode at `path`, or of the one that `handle` has open for writing."""
        self._files.truncate(ctx, path, size_bytes, handle)

    def fallocate(self, ctx: CallContext, handle: int, mode: int, offset: int, length: int) -> None:
        """Check for room, or make zeros, as the system call says of `mode`. Raises: NotSupported, NoSpace."""
        self._back.drain(ctx, self._handles.get(handle).ino)
        self._allocation.allocate(ctx, handle, mode, offset, length)

    def flush(self, ctx: CallContext, handle: int) -> None:
        """Make what was written visible to other mounts: a descriptor is being closed."""
        self._files.flush(ctx, handle)

    def fsync(self, ctx: CallContext, handle: int) -> None:
        """Make what was written survive a power cut."""
        self._files.fsync(ctx, handle, self._session.shape.servers)

    def release(self, ctx: CallContext, handle: int) -> None:
        """Forget a handle: its last descriptor is closed. What was locked through it is unlocked."""
        try:
            self._locks.release(ctx, handle)
        finally:
            self._files.release(ctx, handle)

    # --- locks ---------------------------------------------------------------------------------------------------------------

    def lock(self, ctx: CallContext, handle: int, owner: LockOwner, wanted: LockRange, *, wait: bool) -> None:
        """Lock a range between all mounts. Raises: WouldBlock (unless `wait`), WouldDeadlock, TooManyLocks; Interrupted."""
        self._locks.lock(ctx, handle, owner, wanted, wait=wait)
        self._files.forget_read_ahead(self._handles.get(handle).ino)

    def unlock(self, ctx: CallContext, handle: int, owner: LockOwner, first: int, last: int) -> None:
        """Unlock the bytes from `first` to `last`, both included. Nothing locked costs nothing."""
        self._locks.unlock(ctx, self._handles.get(handle).ino, owner, first, last)

    def find_lock(self, ctx: CallContext, handle: int, owner: LockOwner, wanted: LockRange) -> LockFound:
        """Return a lock that is in the way of `wanted`."""
        return self._locks.find(ctx, handle, owner, wanted)

    def content_version(self, ctx: CallContext, handle: int) -> tuple[int, ...]:
        """Return what changes whenever another mount has changed the content: to be compared with an earlier answer."""
        ino = self._handles.get(handle).ino
        held = self._grants.held(ino)
        if held is not None:
            return (held.ticket,)
        shown = self._inodes.of(ctx, ino)
        return (shown.mtime_ns, shown.content.size_bytes, shown.content.newest_cut)

    # --- extended attributes -------------------------------------------------------------------------------------------------

    def getxattr(self, ctx: CallContext, path: bytes, name: bytes) -> bytes:
        """Return the value of an extended attribute. Raises: NoAttribute, NotSupported."""
        return self._xattrs.get(ctx, path, name)

    def listxattr(self, ctx: CallContext, path: bytes) -> tuple[bytes, ...]:
        """Return the names of the extended attributes."""
        return self._xattrs.list(ctx, path)

    def setxattr(self, ctx: CallContext, path: bytes, name: bytes, value: bytes, flags: int) -> None:
        """Set one; `flags` are those of the system call. Raises: AlreadyExists, NoAttribute, NotSupported and others."""
        self._xattrs.set(ctx, path, name, value, flags)

    def removexattr(self, ctx: CallContext, path: bytes, name: bytes) -> None:
        """Remove an extended attribute. Raises: NoAttribute and others."""
        self._xattrs.remove(ctx, path, name)
