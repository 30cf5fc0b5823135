"""What a meta-server can't have meant: numbers in its answers that would lead a mount to divide by nothing, or to wait for ever.

The wire has checked types and counts; this checks ranges. Promises: what passes can be computed with: layouts, sizes, cuts,
numbers and names are within the limits of dfs/core/limits.py. Called by meta_retry.py for every answer. Pure; never asks whether
it is true.
"""

from __future__ import annotations

import itertools
import operator
import stat
from typing import Final

from dfs.core.cuts import Cut
from dfs.core.ids import NUMBER_MAX
from dfs.core.limits import (
    BLOCK_SIZES,
    FILE_BYTES_MAX,
    LISTING_ENTRIES_MAX,
    NAME_BYTES_MAX,
    SERVERS_MAX,
    SERVERS_MIN,
    XATTR_VALUE_BYTES_MAX,
)
from dfs.core.messages.content import Grant, Opened
from dfs.core.messages.inodes import Attributes, Content
from dfs.core.messages.inspection import FileSystemSpace
from dfs.core.messages.listings import NUMBERS, Listing
from dfs.core.messages.names import FolderNames, FolderTimes, Renamed
from dfs.core.messages.sessions import HeartbeatAnswer, SessionOpened
from dfs.core.placement import Layout

_INT64_MAX: Final = (1 << 63) - 1
_ID_MAX: Final = (1 << 32) - 1
_MODE_MAX: Final = 0o177777
_NO_NAMES: Final = frozenset((b"", b".", b".."))
_TIME: Final = (-_INT64_MAX, _INT64_MAX)
_FLAG: Final = (0, 1)
_NUMBERS_RANGES: Final = (
    *((1, NUMBER_MAX), (0, _MODE_MAX), (0, _ID_MAX), (0, _ID_MAX), (0, _ID_MAX), (0, _INT64_MAX), _TIME, _TIME, _TIME),
    *((0, FILE_BYTES_MAX), (0, SERVERS_MAX), (0, SERVERS_MAX), (0, BLOCK_SIZES[1]), _FLAG, (0, NUMBER_MAX), _FLAG),
)
"""What can be, of each column of a listing's NUMBERS."""


def why_impossible(answer: object) -> str:
    """Return what is impossible about an answer of the meta-server; empty if nothing is."""
    if isinstance(answer, Attributes):
        return _attributes(answer)
    if isinstance(answer, Opened):
        return _attributes(answer.attributes) or _grant(answer.grant)
    if isinstance(answer, Grant):
        return _grant(answer)
    if isinstance(answer, Listing):
        return _listing(answer)
    if isinstance(answer, SessionOpened):
        return _session(answer)
    if isinstance(answer, HeartbeatAnswer):
        return "" if all(_is_number(ino) for ino in answer.recalls) else "recalls of inodes that can't be"
    if isinstance(answer, FileSystemSpace):
        return "" if all(0 <= number <= _INT64_MAX for number in _space(answer)) else f"space: {_space(answer)}"
    if isinstance(answer, FolderNames):
        return _names(answer)
    if isinstance(answer, FolderTimes):
        return _folder_times(answer)
    if isinstance(answer, Renamed):
        return _renamed(answer)
    if isinstance(answer, bytes):
        return "" if len(answer) <= XATTR_VALUE_BYTES_MAX else f"a target or value of {len(answer)} bytes"
    return ""


def _space(space: FileSystemSpace) -> tuple[int, int, int]:
    return space.total_bytes, space.free_bytes, space.inodes


def _is_number(number: int) -> bool:
    return 1 <= number <= NUMBER_MAX


def _grant(grant: Grant) -> str:
    if not grant.ticket:
        return ""  # no grant came along
    if not _is_number(grant.ino) or not _is_number(grant.ticket):
        return f"a grant of inode {grant.ino} with ticket {grant.ticket}"
    return _content(grant.content)


def _attributes(found: Attributes) -> str:
    ids = (found.uid, found.gid)
    times = (found.atime_ns, found.mtime_ns, found.ctime_ns)
    if not _is_number(found.ino) or not 0 <= found.mode <= _MODE_MAX:
        return f"inode {found.ino} of mode {found.mode}"
    if not all(0 <= number <= _ID_MAX for number in ids) or not 0 <= found.nlink <= _ID_MAX or not 0 <= found.rdev <= _INT64_MAX:
        return f"inode {found.ino}: owner {ids}, {found.nlink} links, device {found.rdev}"
    if not all(-_INT64_MAX <= number <= _INT64_MAX for number in times):
        return f"inode {found.ino}: times {times}"
    return _content(found.content) if stat.S_ISREG(found.mode) else ""


def _content(content: Content) -> str:
    if reason := _layout(content.layout):
        return reason
    if not 0 <= content.size_bytes <= FILE_BYTES_MAX:
        return f"a file of {content.size_bytes} bytes"
    if not 0 <= content.newest_cut <= NUMBER_MAX or not all(map(_is_cut, content.cuts)):
        return "cuts that can't be"
    return ""


def _layout(layout: Layout) -> str:
    size = layout.block_size
    if not SERVERS_MIN <= layout.servers <= SERVERS_MAX or not 0 <= layout.start < layout.servers:
        return f"a layout over {layout.servers} servers from server {layout.start} on"
    if not BLOCK_SIZES[0] <= size <= BLOCK_SIZES[1] or size & (size - 1):
        return f"blocks of {size} bytes"
    return ""


def _is_cut(cut: Cut) -> bool:
    return 0 <= cut.offset <= FILE_BYTES_MAX and _is_number(cut.ticket)


def _listing(listing: Listing) -> str:
    names = listing.split_names()
    if len(names) > LISTING_ENTRIES_MAX or (listing.more and not names) or len(listing.numbers) != len(names) * NUMBERS.size:
        return f"a listing of {len(names)} names, with {len(listing.numbers)} bytes of numbers"
    if not names:
        return ""
    if any(map(operator.ge, names, names[1:])) or not _NO_NAMES.isdisjoint(names) or b"\0" in listing.names:
        return "names that can't be, or not in their order, in a listing"
    if max(map(len, names)) > NAME_BYTES_MAX:
        return "a name that is too long in a listing"
    columns = list(zip(*NUMBERS.iter_unpack(listing.numbers), strict=True))
    for column, (low, high) in zip(columns, _NUMBERS_RANGES, strict=True):
        if min(column) < low or max(column) > high:
            return f"numbers from {min(column)} to {max(column)} in a listing, where {low} to {high} can be"
    for layout in set(itertools.compress(zip(*columns[10:13], strict=True), map(stat.S_ISREG, columns[1]))):
        if reason := _layout(Layout(*layout)):
            return reason
    return "" if all(_is_cut(cut) for _, cuts in listing.cuts for cut in cuts) else "cuts that can't be"


def _names(found: FolderNames) -> str:
    return "" if len(found.names) <= LISTING_ENTRIES_MAX else f"{len(found.names)} names"


def _folder_times(folder: FolderTimes) -> str:
    if _is_number(folder.ino) and 0 <= folder.nlink <= _ID_MAX and abs(folder.mtime_ns) <= _INT64_MAX:
        return ""
    return f"folder {folder.ino}: {folder.nlink} links, time {folder.mtime_ns}"


def _renamed(renamed: Renamed) -> str:
    if not _is_number(renamed.ino) or abs(renamed.ctime_ns) > _INT64_MAX:
        return f"inode {renamed.ino}: time {renamed.ctime_ns}"
    return _folder_times(renamed.left) or _folder_times(renamed.entered)


def _session(opened: SessionOpened) -> str:
    if not _is_number(opened.session):
        return f"session {opened.session}"
    return ""
