"""What a request says of an open file: this channel's FileInfo (dfs/fusefs/binding.py)."""

from __future__ import annotations


class OpenInfo:
    """An open file, as the operations want it."""

    __slots__ = ("fh", "flags", "flock_release", "keep_cache", "lock_owner", "node")

    def __init__(self, fh: int = 0, *, flags: int = 0, lock_owner: int = 0, flock_release: int = 0, node: int = 0) -> None:
        self.fh = fh
        self.flags = flags
        self.keep_cache = 0
        self.lock_owner = lock_owner
        self.flock_release = flock_release
        self.node = node
        """The inode, where it matters: for locks."""
