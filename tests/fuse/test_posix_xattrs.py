"""Goal: extended attributes as xattr(7) says. Method: the system calls on a real mount, as root and as another user."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


def fails_with(number: int, call: Callable[..., object], *arguments: object) -> None:
    """Check that a system call ends with this errno."""
    with pytest.raises(OSError, match=r".*") as caught:
        call(*arguments)
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]


def as_nobody(folder: Path, code: str) -> str:
    """Run Python as another user in a folder, to which the way need not be open, and return what it prints."""
    command = [sys.executable, "-c", "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n" + code]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_xattr_set_is_read_listed_and_removed_by_both_mounts(two_mounts: tuple[Path, Path]) -> None:
    one, other = two_mounts
    (one / "file").touch()
    for value in (b"", b"\0\xff", os.urandom(65_536)):
        os.setxattr(one / "file", "user.a", value)
        assert os.getxattr(other / "file", "user.a") == value
    os.setxattr(other / "file", b"user.\xff\xfe", b"bytes")
    os.setxattr(one / "file", "trusted.t", b"root's")
    assert set(os.listxattr(one / "file")) == {"user.a", os.fsdecode(b"user.\xff\xfe"), "trusted.t"}
    os.removexattr(other / "file", "user.a")
    fails_with(errno.ENODATA, os.getxattr, one / "file", "user.a")


def test_create_and_replace_flags_are_obeyed(folder: Path) -> None:
    (folder / "file").touch()
    fails_with(errno.ENODATA, os.setxattr, folder / "file", "user.a", b"1", os.XATTR_REPLACE)
    os.setxattr(folder / "file", "user.a", b"1", os.XATTR_CREATE)
    fails_with(errno.EEXIST, os.setxattr, folder / "file", "user.a", b"2", os.XATTR_CREATE)
    os.setxattr(folder / "file", "user.a", b"3", os.XATTR_REPLACE)
    assert os.getxattr(folder / "file", "user.a") == b"3"


def test_limits_are_told_by_their_errno(folder: Path) -> None:
    file = folder / "file"
    file.touch()
    os.setxattr(file, "user." + "n" * 250, b"")
    fails_with(errno.ERANGE, os.setxattr, file, "user." + "n" * 251, b"")
    fails_with(errno.E2BIG, os.setxattr, file, "user.big", bytes(65_537))
    fails_with(errno.ENODATA, os.removexattr, file, "user.none")
    fails_with(errno.EOPNOTSUPP, os.setxattr, file, "wrong.space", b"")
    fails_with(errno.EINVAL, os.setxattr, file, "user.", b"")


def test_names_that_do_not_fit_a_list_are_refused_and_the_list_stays_readable(folder: Path) -> None:
    file = folder / "file"
    file.touch()
    names = [f"user.{number:0250d}" for number in range(65_536 // 256 + 1)]
    for name in names[:-1]:
        os.setxattr(file, name, b"")
    fails_with(errno.ENOSPC, os.setxattr, file, names[-1], b"")
    assert os.listxattr(file) == names[:-1]


def test_acls_and_capabilities_are_refused_and_other_security_names_kept(folder: Path) -> None:
    file = folder / "file"
    file.touch()
    acl = bytes.fromhex("0200000001000600ffffffff04000400ffffffff20000400ffffffff")
    for name in ("system.posix_acl_access", "system.other"):
        fails_with(errno.EOPNOTSUPP, os.setxattr, file, name, acl)
        fails_with(errno.EOPNOTSUPP, os.getxattr, file, name)
    fails_with(errno.ENODATA, os.getxattr, file, "security.capability")
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    fails_with(errno.EOPNOTSUPP, os.setxattr, file, "security.capability", capability)
    os.setxattr(file, "security.mine", b"kept")
    assert os.getxattr(file, "security.mine") == b"kept"


def test_others_see_and_change_what_the_rules_allow(folder: Path) -> None:
    file = folder / "file"
    file.touch()
    file.chmod(0o644)
    for name in ("user.a", "trusted.t", "security.s"):
        os.setxattr(file, name, b"1")
    code = """
file = "file"
def number(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return error.errno
    return 0
print(os.listxattr(file))
print(number(os.getxattr, file, "trusted.t"), number(os.getxattr, file, "user.a"), number(os.getxattr, file, "security.s"))
print(*[number(os.setxattr, file, name, b"2") for name in ("user.a", "trusted.t", "security.s")])
"""
    listed, read, changed = as_nobody(folder, code).splitlines()
    assert listed == "['security.s', 'user.a']"
    assert [int(word) for word in read.split()] == [errno.ENODATA, 0, 0]
    assert [int(word) for word in changed.split()] == [errno.EACCES, errno.EPERM, errno.EPERM]


def test_user_names_belong_to_files_and_folders_only(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    fails_with(errno.EPERM, os.setxattr, folder / "fifo", "user.a", b"")
    os.setxattr(folder, "user.a", b"of a folder")
    assert os.getxattr(folder, "user.a") == b"of a folder"


def test_xattrs_follow_the_inode_through_link_rename_and_unlink_while_open(folder: Path) -> None:
    (folder / "a").touch()
    os.setxattr(folder / "a", "user.a", b"1")
    os.link(folder / "a", folder / "b")
    (folder / "a").rename(folder / "c")
    assert os.getxattr(folder / "b", "user.a") == os.getxattr(folder / "c", "user.a") == b"1"
    with (folder / "c").open("rb") as opened:
        (folder / "b").unlink()
        (folder / "c").unlink()
        assert os.getxattr(opened.fileno(), "user.a") == b"1"
        os.setxattr(opened.fileno(), "user.b", b"2")
        assert set(os.listxattr(opened.fileno())) == {"user.a", "user.b"}


def test_setting_an_xattr_changes_ctime_and_nothing_else(folder: Path) -> None:
    (folder / "file").write_bytes(b"x")
    before = (folder / "file").stat()
    os.setxattr(folder / "file", "user.a", b"1")
    after = (folder / "file").stat()
    assert after.st_ctime_ns > before.st_ctime_ns
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
