"""Goal: the kernel believes what it is told for no longer than the client does, and finds listings laid out as it wants them.

Method: pack, and take apart by the kernel's rules.
"""

from __future__ import annotations

import stat

from hypothesis import given
from hypothesis import strategies as st

from dfs.fusefs.binding import Space, Stat
from dfs.fusefs.channel import protocol as p
from dfs.fusefs.channel.replies import Known, dirent_bytes, pack_dirent, pack_entry, pack_init, pack_known, pack_space

STAT = Stat(7, stat.S_IFREG | 0o644, 1, 10, 20, 0, 1025, 131072, 3, -1, 1_500_000_000, 2_000_000_001)
TICK_S = 0.004


def test_attributes_are_the_files() -> None:
    answer = pack_known(Known(STAT, 0.5))
    fields = p.ATTR.unpack_from(answer, p.ATTR_OUT.size)
    assert fields[:3] == (7, 1025, 3)
    assert fields[3:9] == (-1, 1, 2, 999_999_999, 500_000_000, 1)
    assert fields[9:] == (stat.S_IFREG | 0o644, 1, 10, 20, 0, 131072, 0)


@given(st.floats(0, 100_000))
def test_kernel_believes_for_no_longer_than_the_client(duration_s: float) -> None:
    answer = pack_entry(Known(STAT, duration_s, duration_s / 2), 7)
    node, generation, name_s, attributes_s, name_ns, attributes_ns = p.ENTRY.unpack_from(answer)
    assert (node, generation) == (7, 0)
    assert attributes_s + attributes_ns / 1e9 <= max(0.0, duration_s - TICK_S)
    assert name_s + name_ns / 1e9 <= max(0.0, duration_s / 2 - TICK_S)
    assert 0 <= attributes_ns < 10**9


def test_what_is_not_believed_is_asked_for_again_at_once() -> None:
    assert p.ATTR_OUT.unpack_from(pack_known(Known(STAT, 0.0))) == (0, 0)


@given(st.binary(min_size=1, max_size=255), st.integers(1, 1 << 40), st.integers(1, 1 << 40))
def test_entry_of_a_listing_is_aligned_and_as_long_as_was_said(name: bytes, ino: int, offset: int) -> None:
    entry = pack_dirent(name, ino, stat.S_IFDIR | 0o755, offset)
    assert len(entry) == dirent_bytes(name)
    assert len(entry) % 8 == 0
    assert p.DIRENT.unpack_from(entry) == (ino, offset, len(name), 4)
    assert entry[24 : 24 + len(name)] == name


def test_only_what_the_kernel_offers_is_used() -> None:
    wanted = p.Init.MAX_PAGES | p.Init.BIG_WRITES
    offered = p.Init.BIG_WRITES | p.Init.POSIX_LOCKS
    fields = p.INIT_OUT.unpack(pack_init(wanted, offered, 1 << 17, 1 << 20))
    assert fields[:4] == (7, 33, 1 << 17, p.Init.BIG_WRITES)
    assert (fields[6], fields[8]) == (1 << 20, 256)


def test_space_is_told_in_the_kernels_order() -> None:
    space = Space(bsize=4096, frsize=512, blocks=10, bfree=9, bavail=8, files=7, ffree=6, favail=5, namemax=255)
    assert p.STATFS_OUT.unpack(pack_space(space)) == (10, 9, 8, 7, 6, 4096, 255, 512)
