"""Changing mode, owner and times (chmod, chown, utimensat). Sizes are changed under the grant (dfs/meta/state/grants.py)."""

from __future__ import annotations

from dfs.core.interfaces import CallContext, Clock
from dfs.core.messages.inodes import AttributeChanges, Attributes
from dfs.core.messages.names import SetAttributes
from dfs.core.permissions import mode_after_chmod, mode_after_chown, require_settable_times
from dfs.meta.state.checks import require_id, require_mode, require_time
from dfs.meta.state.inodes import Inode, attributes
from dfs.meta.state.paths import resolve
from dfs.meta.state.store import Transaction


class AttributeChanger:
    """Changes attributes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def set_attributes(self, tx: Transaction, ctx: CallContext, request: SetAttributes) -> Attributes:
        """Change what the request names, all or nothing. Raises: NotPermitted, AccessDenied."""
        changes = request.changes
        _check(changes)
        inode = resolve(tx, ctx.caller, request.base, request.path)
        changed = self._changed(ctx, inode, changes, request.path)
        if changed is None:
            return attributes(tx, inode)
        changed = changed._replace(ctime_ns=self._clock.wall_ns())
        sql = "UPDATE inode SET mode = ?, uid = ?, gid = ?, atime_ns = ?, mtime_ns = ?, ctime_ns = ? WHERE ino = ?"
        values = (changed.mode, changed.uid, changed.gid, changed.atime_ns, changed.mtime_ns, changed.ctime_ns)
        tx.run(sql, *values, inode.ino)
        return attributes(tx, changed)

    def _changed(self, ctx: CallContext, inode: Inode, changes: AttributeChanges, path: bytes) -> Inode | None:
        """Return the inode as it will be, or None if nothing was to be changed."""
        caller, changed, touched = ctx.caller, inode, False
        if changes.uid is not None or changes.gid is not None:
            uid = inode.uid if changes.uid is None else changes.uid
            gid = inode.gid if changes.gid is None else changes.gid
            changed = changed._replace(mode=mode_after_chown(inode, caller, uid, gid, path), uid=uid, gid=gid)
            touched = True
        if changes.mode is not None:
            changed = changed._replace(mode=mode_after_chmod(inode, caller, changes.mode, changed.gid, path))
            touched = True
        sets_time = changes.atime_ns is not None or changes.mtime_ns is not None
        if sets_time or changes.atime_now or changes.mtime_now:
            both_now = changes.atime_now and changes.mtime_now and not sets_time
            require_settable_times(inode, caller, both_now=both_now, path=path)
            changed, touched = self._with_times(changed, changes), True
        return changed if touched else None

    def _with_times(self, inode: Inode, changes: AttributeChanges) -> Inode:
        now_ns = self._clock.wall_ns()
        atime_ns = now_ns if changes.atime_now else changes.atime_ns
        mtime_ns = now_ns if changes.mtime_now else changes.mtime_ns
        return inode._replace(
            atime_ns=inode.atime_ns if atime_ns is None else atime_ns,
            mtime_ns=inode.mtime_ns if mtime_ns is None else mtime_ns,
        )


def _check(changes: AttributeChanges) -> None:
    if changes.mode is not None:
        require_mode(changes.mode)
    if changes.uid is not None:
        require_id(changes.uid, "uid")
    if changes.gid is not None:
        require_id(changes.gid, "gid")
    if changes.atime_ns is not None:
        require_time(changes.atime_ns, "atime_ns")
    if changes.mtime_ns is not None:
        require_time(changes.mtime_ns, "mtime_ns")
