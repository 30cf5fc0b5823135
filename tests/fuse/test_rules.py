"""Goal: the rules that dfs was born from, R1 to R6 and R8 to R12, hold for ordinary programs on a real mount.

Method: real processes and a real FUSE mount; files are made with the system's own calls, servers are killed with SIGKILL, and
what stands on the servers is read from their disks and by a stock XML-RPC client. R7 (rebuild) is in test_rebuild.py.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
import xmlrpc.client
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dfs.core.ids import BlockNo, Ino
from dfs.core.messages.blocks import CopyState, unpack_copies
from dfs.core.placement import Layout, Role, start_for_path
from dfs.core.records import IDENTITY
from tests.harness.cluster import Cluster, stock_client
from tests.harness.program import Program, script_command
from tests.harness.strip_files import StripFile
from tests.harness.waiting import wait_until

DOWN = r"does not answer, reading from the other copies|writing waits for|waiting for data server|waiting for meta|not clean"
"""What a mount, or a restarted server, is expected to say when a server was killed."""


def strip(cluster: Cluster, server: int, ino: int, role: Role) -> StripFile:
    """Return the strip file of a file on one server in one role."""
    return StripFile(cluster.state_folder(server), Ino(ino), role, servers=cluster.n, block_size=cluster.block_size)


def settle_in_place(cluster: Cluster) -> None:
    """Stop all data servers cleanly and start them again: everything stored then stands in the strip files."""
    for index in range(cluster.n):
        assert cluster.data(index).stop() == 0
        cluster.restart(cluster.data(index))


def layout_of(cluster: Cluster, path: bytes) -> Layout:
    """Return the layout of a file that was made at `path`."""
    return Layout(start_for_path(path, cluster.n), cluster.n, cluster.block_size)


def files_below(folder: Path) -> bytes:
    """Return the bytes of all files below a folder, one after the other."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_r1_names_are_on_the_meta_server_and_data_on_the_data_servers(cluster: Cluster) -> None:
    name, content = "a-name-like-no-other", b"content-like-no-other-" * 40
    (cluster.mount().path / name).write_bytes(content)
    settle_in_place(cluster)
    meta = files_below(cluster.folder / "meta")
    data = files_below(cluster.folder / "data0") + files_below(cluster.folder / "data1")
    assert name.encode() in meta
    assert content[:22] not in meta
    assert content[:22] in data
    assert name.encode() not in data
    cluster.allow(DOWN)


def test_r2_meta_server_killed_and_restarted_knows_every_name_and_attribute(cluster: Cluster) -> None:
    root = cluster.mount().path
    (root / "folder").mkdir(mode=0o750)
    for number in range(20):
        (root / "folder" / f"file{number}").write_bytes(b"x" * number)
    os.symlink("folder/file3", root / "link")
    os.link(root / "folder" / "file4", root / "second-name")
    os.utime(root / "folder" / "file5", ns=(10**18 + 1, 10**18 + 2))
    before = {path: path.lstat() for path in root.rglob("*")}
    cluster.meta.kill()
    cluster.restart(cluster.meta)
    after = {path: path.lstat() for path in root.rglob("*")}
    assert {path: (s.st_ino, s.st_mode, s.st_size, s.st_nlink, s.st_mtime_ns) for path, s in before.items()} == {
        path: (s.st_ino, s.st_mode, s.st_size, s.st_nlink, s.st_mtime_ns) for path, s in after.items()
    }
    assert (root / "link").read_bytes() == b"xxx"
    cluster.allow(DOWN)


@pytest.mark.parametrize("ports", [[], ["9100"]])
def test_r3_fewer_than_two_data_servers_is_a_clear_error(tmp_path: Path, ports: list[str]) -> None:
    for command in (
        script_command("dataserver.py", 0, *ports),
        script_command("distributedFS.py", tmp_path, 9000, *ports),
    ):
        ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=30)
        assert ended.returncode == 2
        assert len(ended.stderr.splitlines()) == 1, ended.stderr
        assert "data" in ended.stderr
        assert "expected" in ended.stderr


@pytest.mark.parametrize(("n", "block_size"), [(2, 512), (3, 4096), (4, 512), (5, 1024)])
def test_r4_block_i_is_on_server_x_plus_i_and_the_next(make_cluster: Callable[..., Cluster], n: int, block_size: int) -> None:
    cluster = make_cluster(n=n, block_size=block_size)
    cluster.start(mounts=1)
    blocks = 2 * n + 1
    path = cluster.mount().path / "striped"
    path.write_bytes(b"".join(bytes([65 + i]) * block_size for i in range(blocks)))
    ino = path.stat().st_ino
    layout = layout_of(cluster, b"/striped")
    for server in range(n):
        with stock_client(cluster.data_ports[server]) as client:
            for block in range(blocks):
                for role in Role:
                    x_plus_i = (layout.start + block + (role is Role.SECONDARY)) % n
                    assert stored(client, ino, role, block) == (bytes([65 + block]) * block_size if server == x_plus_i else None), (
                        server,
                        block,
                        role,
                    )


def stored(client: Any, ino: int, role: Role, block: int) -> bytes | None:
    """Return what a data server holds of one block in one role; None if its strip holds other blocks, or not this one."""
    try:
        answer = client.get(ino, 0, [], [[int(role), block, 1]], [])
    except xmlrpc.client.Fault as fault:
        assert "modulo N" in fault.faultString  # noqa: PT017  # the blocks of this strip are others
        return None
    return answer["data"] if unpack_copies(answer["copies"])[0].state is CopyState.PRESENT else None


def test_r4_placement_hash_is_the_same_in_every_process_and_release() -> None:
    # Literal values: a change of the hash would lose every file that was made before it.
    assert [start_for_path(path, 4) for path in (b"/a", b"/a/b", b"/striped", "/ä".encode())] == [0, 0, 3, 0]


def test_r5_blocks_stand_in_files_below_the_state_folder(cluster: Cluster) -> None:
    path = cluster.mount().path / "file"
    path.write_bytes(b"q" * 5000)
    settle_in_place(cluster)
    layout, ino = layout_of(cluster, b"/file"), path.stat().st_ino
    for block in range(10):
        for role in Role:
            record = strip(cluster, layout.server_of(BlockNo(block), role), ino, role).record(BlockNo(block))
            assert record is not None
            assert record.data == b"q" * min(512, 5000 - 512 * block)
    cluster.allow(DOWN)


def test_r6_killed_data_servers_restart_and_serve_from_their_disks(cluster: Cluster) -> None:
    root = cluster.mount().path
    content = os.urandom(300_000)
    (root / "file").write_bytes(content)
    for index in range(cluster.n):
        cluster.data(index).kill()
    for index in range(cluster.n):
        cluster.data(index).start()
    cluster.wait_ready()
    drop_kernel_cache()
    assert (root / "file").read_bytes() == content
    # Each alone must do, too: with its neighbours gone, what it holds is all there is.
    for index in (0, 2):
        cluster.data(index).kill()
    drop_kernel_cache()
    assert (root / "file").read_bytes() == content
    cluster.allow(DOWN)


def test_r8_a_checksum_over_identity_and_data_stands_with_each_block(cluster: Cluster) -> None:
    path = cluster.mount().path / "summed"
    path.write_bytes(os.urandom(2048))
    settle_in_place(cluster)
    layout, ino = layout_of(cluster, b"/summed"), path.stat().st_ino
    for block in range(4):
        copies = [strip(cluster, layout.server_of(BlockNo(block), role), ino, role).record(BlockNo(block)) for role in Role]
        for copy in copies:
            assert copy is not None
            identity = IDENTITY.pack(ino, block, copy.generation, len(copy.data))
            assert copy.checksum == zlib.crc32(identity + copy.data)
        assert copies[0] == copies[1]
    cluster.allow(DOWN)


@pytest.mark.parametrize("role", list(Role))
def test_r9_a_read_consults_both_replicas_and_repairs_the_bad_one(cluster: Cluster, role: Role) -> None:
    path = cluster.mount().path / "damaged"
    content = os.urandom(20_000)
    path.write_bytes(content)
    settle_in_place(cluster)
    layout, ino = layout_of(cluster, b"/damaged"), path.stat().st_ino
    damaged = [(block, strip(cluster, layout.server_of(BlockNo(block), role), ino, role)) for block in (0, 7, 8, 39)]
    for block, file in damaged:
        file.flip(BlockNo(block), byte=11)
        assert file.record(BlockNo(block)) is None
    drop_kernel_cache()
    assert path.read_bytes() == content
    settle_in_place(cluster)
    for block, file in damaged:
        record = file.record(BlockNo(block))
        assert record is not None, f"block {block} was not repaired"
        assert record.data == content[block * 512 : block * 512 + 512]
    quarantined = [p for i in range(cluster.n) for p in (cluster.state_folder(i) / "quarantine").rglob("*") if p.is_file()]
    assert quarantined, "what was replaced must be kept"
    assert "damaged" in cluster.mount().log_text()
    cluster.allow(DOWN, r"does not verify", r"repaired from the other copy")


@pytest.mark.parametrize("down", [0, 3])
def test_r10_a_write_blocks_while_a_server_is_down_and_ends_with_both_replicas(cluster: Cluster, down: int) -> None:
    root = cluster.mount().path
    content = os.urandom(200_000)
    fd = os.open(root / "waits", os.O_CREAT | os.O_WRONLY)
    cluster.data(down).kill()
    done = threading.Event()

    def write() -> None:
        written = 0
        while written < len(content):
            written += os.write(fd, content[written:])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    cluster.mount().wait_for_log(f"writing waits for server {down}")
    assert not done.wait(2.0), "write() returned although a server that must hold a replica is down"
    cluster.restart(cluster.data(down))
    assert done.wait(20.0), "write() did not go on"
    writer.join()
    os.close(fd)
    cluster.mount().wait_for_log(f"writing to server {down} goes on")
    settle_in_place(cluster)
    layout, ino = layout_of(cluster, b"/waits"), (root / "waits").stat().st_ino
    for block in range(0, 390, 13):
        for role in Role:
            record = strip(cluster, layout.server_of(BlockNo(block), role), ino, role).record(BlockNo(block))
            assert record is not None
            assert record.data == content[block * 512 : block * 512 + 512]
    cluster.allow(DOWN)


@pytest.mark.parametrize("down", [0, 1])
def test_r11_a_read_succeeds_with_one_good_replica(cluster: Cluster, down: int) -> None:
    path = cluster.mount().path / "file"
    content = os.urandom(400_000)
    path.write_bytes(content)
    cluster.data(down).kill()
    drop_kernel_cache()
    began = time.monotonic()
    assert path.read_bytes() == content
    assert time.monotonic() - began < 10
    log = cluster.mount().log_text()
    assert log.count(f"server {down} does not answer") == 1, "one line when it starts, not one per read"
    cluster.restart(cluster.data(down))
    wait_until(lambda: read_again(path, content) and "answers again" in cluster.mount().log_text(), "one line when it ends")
    cluster.allow(DOWN)


def test_r12_the_original_commands_work_in_any_order(make_cluster: Callable[..., Cluster], tmp_path: Path) -> None:
    ports = make_cluster()  # for its free ports only
    mount_point = tmp_path / "mnt"
    mount_point.mkdir()
    data = [str(port) for port in ports.data_ports]
    commands = {
        "distributedFS": script_command("distributedFS.py", mount_point, ports.meta_port, *data),
        **{f"data{index}": script_command("dataserver.py", index, *data) for index in (3, 1, 0, 2)},
        "meta": script_command("metaserver.py", ports.meta_port),
    }
    programs = {name: Program(name, command, tmp_path / f"{name}.log", tmp_path) for name, command in commands.items()}
    try:
        for program in programs.values():
            program.start()
        wait_until(mount_point.is_mount, "the mount", 30)
        (mount_point / "hello").write_text("world")
        assert (mount_point / "hello").read_text() == "world"
        assert (tmp_path / "dfs-state" / "meta").is_dir()
        assert all((tmp_path / "dfs-state" / f"data-{index}" / "superblock").exists() for index in range(4))
        assert programs["distributedFS"].stop() == 0
        assert not mount_point.is_mount()
        assert [programs[name].stop() for name in ("data0", "data1", "data2", "data3", "meta")] == [0] * 5
    finally:
        subprocess.run(["fusermount", "-uzq", str(mount_point)], check=False)
        for program in programs.values():
            program.end_for_sure()


def read_again(path: Path, content: bytes) -> bool:
    """Read the file afresh and tell whether it is as it was."""
    drop_kernel_cache()
    return path.read_bytes() == content


def drop_kernel_cache() -> None:
    """Make the kernel forget clean pages, so that reads reach the mount."""
    Path("/proc/sys/vm/drop_caches").write_text("1")
