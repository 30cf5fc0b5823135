"""The FUSE kernel protocol as linux/fuse.h defines it, version 7.33: opcodes, flags and layouts (pure).

Numbers are the machine's own (little endian or big), structures have no gaps but those named here. Used by the modules of this
package only. A kernel of a later version speaks this one with who answers INIT with it; 7.23 (Linux 3.15) is the oldest that does
for us, and what it does not offer is not asked for.
"""

from __future__ import annotations

import enum
from struct import Struct
from typing import Final

MAJOR: Final = 7
MINOR: Final = 33
MINOR_MIN: Final = 23
ROOT_NODE: Final = 1
"""The number by which the kernel knows the root folder, whatever its inode number."""
UNKNOWN_INO: Final = 0xFFFF_FFFF
"""Shown in listings for an inode whose number is not known."""


class Op(enum.IntEnum):
    """What the kernel asks (enum fuse_opcode)."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    GETLK = 31
    SETLK = 32
    SETLKW = 33
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45


class Init(enum.IntFlag):
    """What both sides can do (FUSE_* of INIT)."""

    ASYNC_READ = 1 << 0
    POSIX_LOCKS = 1 << 1
    ATOMIC_O_TRUNC = 1 << 3
    BIG_WRITES = 1 << 5
    FLOCK_LOCKS = 1 << 10
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    PARALLEL_DIROPS = 1 << 18
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    HANDLE_KILLPRIV_V2 = 1 << 28
    INIT_EXT = 1 << 30


HAS_EXPIRE_ONLY: Final = 1 << 3
"""In INIT's second word of flags: names can be made to be looked up anew without being dropped (7.38)."""


class Attr(enum.IntFlag):
    """Which fields of SETATTR count (FATTR_*)."""

    MODE = 1 << 0
    UID = 1 << 1
    GID = 1 << 2
    SIZE = 1 << 3
    ATIME = 1 << 4
    MTIME = 1 << 5
    FH = 1 << 6
    ATIME_NOW = 1 << 7
    MTIME_NOW = 1 << 8
    KILL_SUIDGID = 1 << 11


GETATTR_FH: Final = 1 << 0
OPEN_KILL_SUIDGID: Final = 1 << 0
WRITE_KILL_SUIDGID: Final = 1 << 2
RELEASE_FLOCK_UNLOCK: Final = 1 << 1
LK_FLOCK: Final = 1 << 0
KEEP_CACHE: Final = 1 << 1
"""FOPEN_KEEP_CACHE: the pages that the kernel has of the file stay."""
EXPIRE_ONLY: Final = 1 << 0
NOTIFY_INVAL_INODE: Final = 2
NOTIFY_INVAL_ENTRY: Final = 3

IN_HEADER: Final = Struct("=IIQQIIIHH")
"""0 length, 4 opcode, 8 unique, 16 node, 24 uid, 28 gid, 32 pid, 36 length of extensions, 38 unused."""
OUT_HEADER: Final = Struct("=IiQ")
"""0 length, 4 errno with its sign turned, 8 unique. A message that answers nothing has its code for errno, and 0 for unique."""

INIT_IN: Final = Struct("=IIII")
"""Major, minor, read-ahead in bytes, flags; since 7.36 a second word of flags follows."""
FLAGS2: Final = Struct("=I")
INIT_OUT: Final = Struct("=IIIIHHIIHHI28x")
"""Major, minor, read-ahead, flags, background requests at once, and when it is congested, largest write, grain of times in ns,
largest request in pages, alignment of mappings, second flags."""

ATTR: Final = Struct("=QQQqqqIIIIIIIIII")
"""Inode, size, blocks of 512 bytes; seconds of atime, mtime, ctime (signed), nanoseconds of the same; mode, links,
owner, group, device, preferred request in bytes, flags."""

ENTRY: Final = Struct("=QQQQII")
"""Node, generation, seconds that the name and that the attributes count, nanoseconds of the same; attributes follow."""
ATTR_OUT: Final = Struct("=QIxxxx")
"""Seconds and nanoseconds that the attributes count; these follow."""
DIRENT: Final = Struct("=QQII")
"""Inode, offset of the next entry, length of the name, type; the name follows, and zeros up to a multiple of 8 bytes."""
STATFS_OUT: Final = Struct("=QQQQQIII28x")
"""Blocks: all, free, free for users; inodes: all, free; block size, longest name, unit of blocks."""
OPEN_OUT: Final = Struct("=QIxxxx")
"""Handle, FOPEN_ flags."""
WRITE_OUT: Final = Struct("=Ixxxx")
XATTR_OUT: Final = Struct("=Ixxxx")
LOCK: Final = Struct("=QQII")
"""First byte, last byte, type, process."""

GETATTR_IN: Final = Struct("=IxxxxQ")
"""Flags, handle."""
SETATTR_IN: Final = Struct("=IxxxxQQQqqqIIIIIIIxxxx")
"""Which fields count, handle, size, lock owner, seconds of atime, mtime, ctime, nanoseconds of the same, mode, unused, uid, gid."""
MKNOD_IN: Final = Struct("=IIIxxxx")
"""Mode, device, umask (which the kernel has applied already); the name follows."""
MKDIR_IN: Final = Struct("=II")
RENAME_IN: Final = Struct("=Q")
"""New folder; old and new name follow."""
RENAME2_IN: Final = Struct("=QIxxxx")
LINK_IN: Final = Struct("=Q")
OPEN_IN: Final = Struct("=II")
"""Flags of open(2), FUSE_OPEN_ flags."""
CREATE_IN: Final = Struct("=IIII")
"""Flags of open(2), mode, umask, FUSE_OPEN_ flags; the name follows."""
READ_IN: Final = Struct("=QQIIQIxxxx")
"""Handle, offset, size, FUSE_READ_ flags, lock owner, flags of open(2)."""
WRITE_IN: Final = READ_IN
"""The same; the data follows."""
RELEASE_IN: Final = Struct("=QIIQ")
"""Handle, flags of open(2), FUSE_RELEASE_ flags, lock owner."""
FLUSH_IN: Final = Struct("=QxxxxxxxxQ")
"""Handle, lock owner."""
FSYNC_IN: Final = Struct("=QIxxxx")
"""Handle, 1 for fdatasync."""
SETXATTR_IN: Final = Struct("=II")
"""Length of the value, flags; the name and the value follow."""
GETXATTR_IN: Final = Struct("=Ixxxx")
"""Room for the answer in bytes, 0: only its length is wanted; the name follows."""
LK_IN: Final = Struct("=QQQQIIIxxxx")
"""Handle, lock owner, first byte, last byte, type, process, FUSE_LK_ flags."""
INTERRUPT_IN: Final = Struct("=Q")
FALLOCATE_IN: Final = Struct("=QQQIxxxx")
"""Handle, offset, length, mode."""

INVAL_INODE_OUT: Final = Struct("=Qqq")
"""Node, offset (negative: only attributes), length (0: to the end)."""
INVAL_ENTRY_OUT: Final = Struct("=QII")
"""Folder, length of the name, flags; the name with a zero behind it follows."""
