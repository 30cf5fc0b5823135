"""Extended attributes: one call to meta each; names that are not kept are refused here, at no cost."""

from __future__ import annotations

from dfs.client.metadata.attribute_cache import AttributeCache
from dfs.client.metadata.inode_attributes import InodeAttributes
from dfs.client.metadata.meta_link import MetaLink
from dfs.core.interfaces import CallContext
from dfs.core.messages.xattrs import GetXattr, ListXattrs, RemoveXattr, SetXattr
from dfs.core.xattrs import check_name


class Xattrs:
    """Reads and changes extended attributes."""

    def __init__(self, *, link: MetaLink, cache: AttributeCache, inodes: InodeAttributes) -> None:
        self._link = link
        self._cache = cache
        self._inodes = inodes

    def get(self, ctx: CallContext, path: bytes, name: bytes) -> bytes:
        """Return a value. Raises: NoAttribute, NotSupported, AccessDenied."""
        check_name(name)
        return self._link.ask(ctx, GetXattr(*self._inodes.place(path), name))

    def list(self, ctx: CallContext, path: bytes) -> tuple[bytes, ...]:
        """Return the names."""
        return self._link.ask(ctx, ListXattrs(*self._inodes.place(path)))

    def set(self, ctx: CallContext, path: bytes, name: bytes, value: bytes, flags: int) -> None:
        """Set a value; `flags` as in setxattr(2)."""
        check_name(name)
        self._link.change(ctx, lambda op: SetXattr(op, *self._inodes.place(path), name, value, flags))
        self._forget(path)

    def remove(self, ctx: CallContext, path: bytes, name: bytes) -> None:
        """Remove an attribute. Raises: NoAttribute and others."""
        check_name(name)
        self._link.change(ctx, lambda op: RemoveXattr(op, *self._inodes.place(path), name))
        self._forget(path)

    def _forget(self, path: bytes) -> None:
        """The inode has a new ctime."""
        ino = self._inodes.ino_at(path)
        if ino is not None:
            self._cache.forget_attributes(ino)
