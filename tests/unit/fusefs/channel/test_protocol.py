"""Goal: the layouts are the kernel's. Method: the sizes that linux/fuse.h gives its structures, and fields at their offsets."""

from __future__ import annotations

import pytest

from dfs.fusefs.channel import protocol as p

SIZES = {
    "IN_HEADER": 40,
    "OUT_HEADER": 16,
    "INIT_OUT": 64,
    "ATTR": 88,
    "ENTRY": 128 - 88,
    "ATTR_OUT": 104 - 88,
    "DIRENT": 24,
    "STATFS_OUT": 80,
    "OPEN_OUT": 16,
    "WRITE_OUT": 8,
    "XATTR_OUT": 8,
    "LOCK": 24,
    "GETATTR_IN": 16,
    "SETATTR_IN": 88,
    "MKNOD_IN": 16,
    "MKDIR_IN": 8,
    "RENAME_IN": 8,
    "RENAME2_IN": 16,
    "LINK_IN": 8,
    "OPEN_IN": 8,
    "CREATE_IN": 16,
    "READ_IN": 40,
    "WRITE_IN": 40,
    "RELEASE_IN": 24,
    "FLUSH_IN": 24,
    "FSYNC_IN": 16,
    "SETXATTR_IN": 8,
    "GETXATTR_IN": 8,
    "LK_IN": 48,
    "INTERRUPT_IN": 8,
    "FALLOCATE_IN": 32,
    "INVAL_INODE_OUT": 24,
    "INVAL_ENTRY_OUT": 16,
}


@pytest.mark.parametrize(("name", "size_bytes"), SIZES.items())
def test_structure_has_the_size_of_the_kernels(name: str, size_bytes: int) -> None:
    assert getattr(p, name).size == size_bytes


def test_fields_of_setattr_stand_where_the_kernel_puts_them() -> None:
    message = bytearray(88)
    message[0:4] = (0xFFF).to_bytes(4, "little")
    message[16:24] = (123).to_bytes(8, "little")  # size
    message[32:40] = (-5).to_bytes(8, "little", signed=True)  # atime
    message[60:64] = (0o644).to_bytes(4, "little")  # after three nanoseconds of 4 bytes each
    message[68:72] = (7).to_bytes(4, "little")
    fields = p.SETATTR_IN.unpack(message)
    assert (fields[0], fields[2], fields[4]) == (0xFFF, 123, -5)


def test_mode_owner_and_group_of_setattr_stand_behind_the_times() -> None:
    numbers = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)
    message = p.SETATTR_IN.pack(*numbers)
    assert int.from_bytes(message[68:72], "little") == 11  # mode
    assert int.from_bytes(message[76:80], "little") == 13  # uid
    assert int.from_bytes(message[80:84], "little") == 14  # gid
