"""Extended attributes of inodes: setting, reading, listing, removing. The rules on names are dfs/core/xattrs.py."""

from __future__ import annotations

from dfs.core.errors import AlreadyExists, ArgumentTooBig, InvalidArgument, NoAttribute, NoSpace
from dfs.core.ids import Ino
from dfs.core.interfaces import CallContext, Clock
from dfs.core.limits import XATTR_LIST_BYTES_MAX, XATTR_VALUE_BYTES_MAX
from dfs.core.messages.requests import Done
from dfs.core.messages.xattrs import GetXattr, ListXattrs, RemoveXattr, SetXattr
from dfs.core.xattrs import CREATE, REPLACE, check_name, is_listed, require_changeable, require_readable
from dfs.meta.state.paths import resolve
from dfs.meta.state.room import Room
from dfs.meta.state.store import Reader, Transaction


class XattrChanger:
    """Sets and removes extended attributes."""

    def __init__(self, room: Room, clock: Clock) -> None:
        self._room = room
        self._clock = clock

    def set(self, tx: Transaction, ctx: CallContext, request: SetXattr) -> Done:
        """Set one. Raises: AlreadyExists (CREATE), NoAttribute (REPLACE), ArgumentTooBig, NoSpace, and the rules' errors."""
        name, flags = request.name, request.flags
        check_name(name)
        if flags not in (0, CREATE, REPLACE):
            raise InvalidArgument(request.path)
        if len(request.value) > XATTR_VALUE_BYTES_MAX:
            raise ArgumentTooBig(name)
        inode = resolve(tx, ctx.caller, request.base, request.path)
        require_changeable(inode, ctx.caller, name, request.path)
        exists = _value(tx, inode.ino, name) is not None
        if exists and flags == CREATE:
            raise AlreadyExists(name)
        if not exists:
            if flags == REPLACE:
                raise NoAttribute(name)
            _require_room(tx, inode.ino, name)
        self._room.require(request.path)
        tx.run("INSERT OR REPLACE INTO xattr VALUES (?, ?, ?)", inode.ino, name, request.value)
        self._touch(tx, inode.ino)
        return Done()

    def remove(self, tx: Transaction, ctx: CallContext, request: RemoveXattr) -> Done:
        """Remove one. Raises: NoAttribute, and the rules' errors."""
        check_name(request.name)
        inode = resolve(tx, ctx.caller, request.base, request.path)
        require_changeable(inode, ctx.caller, request.name, request.path)
        if not tx.run("DELETE FROM xattr WHERE ino = ? AND name = ?", inode.ino, request.name):
            raise NoAttribute(request.name)
        self._touch(tx, inode.ino)
        return Done()

    def _touch(self, tx: Transaction, ino: Ino) -> None:
        tx.run("UPDATE inode SET ctime_ns = ? WHERE ino = ?", self._clock.wall_ns(), ino)


def get_xattr(reader: Reader, ctx: CallContext, request: GetXattr) -> bytes:
    """Return a value. Raises: NoAttribute, NotSupported, AccessDenied."""
    check_name(request.name)
    inode = resolve(reader, ctx.caller, request.base, request.path)
    require_readable(inode, ctx.caller, request.name, request.path)
    value = _value(reader, inode.ino, request.name)
    if value is None:
        raise NoAttribute(request.name)
    return value


def list_xattrs(reader: Reader, ctx: CallContext, request: ListXattrs) -> tuple[bytes, ...]:
    """Return the names, sorted."""
    inode = resolve(reader, ctx.caller, request.base, request.path)
    rows = reader.all("SELECT name FROM xattr WHERE ino = ? ORDER BY name", inode.ino)
    return tuple(name for (name,) in rows if is_listed(name, ctx.caller))


def _value(reader: Reader, ino: Ino, name: bytes) -> bytes | None:
    row = reader.one("SELECT value FROM xattr WHERE ino = ? AND name = ?", ino, name)
    return None if row is None else row[0]


def _require_room(reader: Reader, ino: Ino, name: bytes) -> None:
    row = reader.one("SELECT coalesce(sum(length(name) + 1), 0) FROM xattr WHERE ino = ?", ino)
    assert row is not None
    if row[0] + len(name) + 1 > XATTR_LIST_BYTES_MAX:
        raise NoSpace(name)
