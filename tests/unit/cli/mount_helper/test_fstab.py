"""Goal: the lines of fstab that mount dfs are found, read and changed as fstab(5) says. Method: texts of fstab."""

from __future__ import annotations

import pytest

from dfs.cli.mount_helper.fstab import dfs_lines

FSTAB = b"""
# meta1:9000 /mnt/comment dfs defaults 0 0
  # and another
UUID=1 / ext4 defaults 0 1
meta1:9000\t/mnt/two\\040words-\xc3\xa9   dfs  rw,nofail 0 0
lab /mnt/lab fuse.dfs _netdev,x-systemd.automount 0 0
short /mnt/short dfs
broken dfs
swap none dfs
nfs:/x /mnt/dfs nfs defaults 0 0
"""


def test_lines_of_both_types_are_found_and_no_others() -> None:
    assert [line.point for line in dfs_lines(FSTAB)] == ["/mnt/two words-é".encode(), b"/mnt/lab", b"/mnt/short"]


def test_line_knows_whether_systemd_is_told_of_the_network() -> None:
    assert [line.is_on_network() for line in dfs_lines(FSTAB)] == [False, True, False]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, b"meta1:9000 /mnt/two\\040words-\xc3\xa9 dfs rw,nofail,_netdev 0 0\n"),
        (2, b"short /mnt/short dfs defaults,_netdev\n"),
    ],
)
def test_line_is_put_on_the_network_and_else_left_as_it_is(number: int, text: bytes) -> None:
    changed = dfs_lines(FSTAB)[number].on_network()
    assert changed.text() == text
    assert changed.is_on_network()
