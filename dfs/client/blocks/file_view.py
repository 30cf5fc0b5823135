"""What a read is made from: the inode, a name for messages, and size, layout and cuts as the mount knows them now."""

from __future__ import annotations

from typing import NamedTuple

from dfs.core.ids import Ino
from dfs.core.messages.inodes import Content


class FileView(NamedTuple):
    """A file as a reader sees it; stale as soon as somebody truncates it."""

    ino: Ino
    path: bytes | None
    content: Content
