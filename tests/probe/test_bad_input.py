"""Goal: every mistake of an operator and every broken peer ends in one line, the documented exit status, and nothing lost.
Method: the programs themselves, each made to meet one mistake; what was stored before is read again after.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster, free_ports
from tests.harness.garbage_peer import GarbagePeer
from tests.harness.leftovers import marked_environment
from tests.harness.program import ROOT, module_command, script_command
from tests.harness.tmpfs import tmpfs_on
from tests.harness.waiting import wait_until

META = "metaserver.py"
DATA = "dataserver.py"
MOUNT = "distributedFS.py"
WITHOUT_ROOTS_RIGHTS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
CONTENT = bytes(range(256)) * 300


def run(command: list[str], cwd: Path, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    environment = marked_environment() | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, check=False, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s)


def assert_refused(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """One line `PROGRAM: ... expected ..., got ...` that says each thing once, the exit status, and no traceback."""
    assert_one_message(done.returncode, done.stderr, status, *words)
    assert done.stdout == ""


def assert_one_message(returncode: int, text: str, status: int, *words: str) -> None:
    lines = [line for line in text.splitlines() if " INFO " not in line]
    assert len(lines) == 1, text
    assert returncode == status, text
    assert "Traceback" not in text
    assert lines[0].count("expected ") == 1, lines[0]
    assert lines[0].count(" got") == 1, lines[0]
    for word in words:
        assert word in lines[0], (word, lines[0])


# --- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        (DATA, (0, 9100), "2 to 255"),
        (DATA, (0,), "PORT"),
        (MOUNT, ("mnt", 9000, 9100), "2 to 255"),
        (MOUNT, ("mnt", 9000), "2 to 255"),
        (DATA, (0, 9100, 9100), "9100 twice"),
        (MOUNT, ("mnt", 9000, 9100, 9100), "9100 twice"),
        (MOUNT, ("mnt", 9100, 9100, 9101), "9100 twice"),
        (DATA, (2, 9100, 9101), "from 0 to 1"),
        (DATA, (-1, 9100, 9101), "'-1'"),
        (DATA, (0, 9100, 65536), "65536"),
        (DATA, (0, 9100, 0), "0"),
        (META, ("http",), "http"),
        (META, ("90.5",), "90.5"),
        (META, (), "PORT"),
        (DATA, ("one", 9100, 9101), "one"),
        (MOUNT, ("mnt", 9000, 9100, "9101x"), "9101x"),
        (MOUNT, (), "MOUNTPOINT"),
        (META, (9000, "--frobnicate"), "--frobnicate"),
    ],
)
def test_wrong_arguments_end_with_2_and_one_line(tmp_path: Path, script: str, arguments: tuple[object, ...], words: str) -> None:
    assert_refused(run(script_command(script, *arguments), tmp_path), 2, f"{script}: ", words)
    assert list(tmp_path.iterdir()) == []


# --- the configuration -------------------------------------------------------------------------------------------------

TWO_SERVERS = "[data:0]\n[data:1]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[data:0]\n", ("2 to 255", "1")),
        (TWO_SERVERS + "[data:3]\n", ("[data:3]", "no [data:2]")),
        (TWO_SERVERS + "[cluster]\nblock_size = 500\n", ("[cluster] block_size", "power of two", "500")),
        (TWO_SERVERS + "[cluster]\nblock_size =\n", ("[cluster] block_size", "power of two", "nothing")),
        (TWO_SERVERS + "[cluster]\ncolour = red\n", ("[cluster] colour", "name, block_size")),
        (TWO_SERVERS + "[metal]\n", ("[metal]", "cluster, meta")),
        (TWO_SERVERS + "[meta]\naddress = 127.0.0.1\n", ("[meta] address", "HOST:PORT", "127.0.0.1")),
        (TWO_SERVERS + "[meta]\naddress = 0.0.0.0:9000\n", ("[meta] address", "the others reach", "0.0.0.0:9000")),
        (TWO_SERVERS + "[meta]\nstate = here\n", ("[meta] state", "absolute", "here")),
        (TWO_SERVERS + "[data]\nrequire_mount = maybe\n", ("[data] require_mount", "yes or no", "maybe")),
        (TWO_SERVERS + "[meta]\naddress = 127.0.0.1:9100\n", ("[data:0] address", "as in [meta]")),
        (TWO_SERVERS + "[log]\nlevel = loud\n", ("[log] level", "debug, info", "loud")),
        (TWO_SERVERS + "[log]\nlevel = info\nlevel = info\n", ("[log] level", "once", "line 5")),
        (TWO_SERVERS + "[data:0]\n", ("[data:0]", "once", "line 3")),
        ("name = dfs\n", ("line 1", "[section]")),
        (TWO_SERVERS + "[log]\nnonsense\n", ("line 4", "nonsense")),
        ("\0\0\0", ("line 1",)),
    ],
)
def test_wrong_configuration_ends_with_3_and_names_file_section_and_key(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    config = tmp_path / "wrong.conf"
    config.write_text(text)
    done = run(module_command("dfs.cli.meta", "--config", config), tmp_path)
    assert_refused(done, 3, f"{config}: ", *words)


def test_address_beyond_loopback_without_a_key_ends_with_3(tmp_path: Path) -> None:
    config = tmp_path / "open.conf"
    config.write_text(TWO_SERVERS + "[meta]\naddress = 192.0.2.1:9000\n")
    done = run(module_command("dfs.cli.meta", "--config", config), tmp_path)
    assert_refused(done, 3, "loopback", "192.0.2.1:9000", "without a cluster key")


@pytest.mark.parametrize("module", ["dfs.cli.meta", "dfs.cli.data", "dfs.cli.mount", "dfs.cli.dfsctl"])
def test_missing_configuration_ends_with_3_and_names_it(tmp_path: Path, module: str) -> None:
    (tmp_path / "mnt").mkdir()
    arguments = {"dfs.cli.data": ["0"], "dfs.cli.mount": ["mnt"], "dfs.cli.dfsctl": ["status"]}.get(module, [])
    done = run(module_command(module, *arguments, "--config", tmp_path / "none.conf"), tmp_path)
    assert_refused(done, 3, "none.conf", "No such file")


def test_configuration_that_is_no_text_ends_with_3(tmp_path: Path) -> None:
    (tmp_path / "binary.conf").write_bytes(b"[data:0]\n\xff\xfe")
    assert_refused(run(module_command("dfs.cli.meta", "--config", tmp_path / "binary.conf"), tmp_path), 3, "UTF-8", "offset 9")


# --- addresses and folders -----------------------------------------------------------------------------------------------


def test_port_in_use_ends_with_6_and_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = free_ports(1)[0]
        assert_refused(run(script_command(META, port), tmp_path), 6, f"127.0.0.1:{port}")
        assert_refused(run(script_command(DATA, 0, port, other), tmp_path), 6, f"127.0.0.1:{port}")


@pytest.mark.parametrize("script", [META, DATA])
def test_state_folder_that_is_a_file_ends_with_4(tmp_path: Path, script: str) -> None:
    (tmp_path / "state").write_text("precious")
    ports = free_ports(2)
    arguments = (ports[0],) if script == META else (0, *ports)
    assert_refused(run(script_command(script, *arguments, "--state", tmp_path / "state"), tmp_path), 4, str(tmp_path / "state"))
    assert (tmp_path / "state").read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a read-only folder")
@pytest.mark.parametrize("script", [META, DATA])
def test_read_only_state_folder_ends_with_4(tmp_path: Path, script: str) -> None:
    state = tmp_path / "state"
    ports = free_ports(2)
    arguments = (ports[0],) if script == META else (0, *ports)
    with tmpfs_on(state, "ro"):
        assert_refused(run(script_command(script, *arguments, "--state", state), tmp_path), 4, str(state), "Read-only")


@pytest.mark.parametrize("script", [META, DATA])
def test_unreadable_state_folder_ends_with_4(tmp_path: Path, script: str) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0)
    ports = free_ports(2)
    arguments = (ports[0],) if script == META else (0, *ports)
    # Root reads everything, unless it runs without the capability to.
    command = [*WITHOUT_ROOTS_RIGHTS, *script_command(script, *arguments, "--state", state)]
    assert_refused(run(command, tmp_path), 4, str(state), "Permission denied")


# --- mount points ----------------------------------------------------------------------------------------------------------


def test_mount_point_that_is_missing_or_a_file_or_not_empty_ends_with_7(tmp_path: Path) -> None:
    ports = free_ports(3)
    (tmp_path / "file").write_text("precious")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("precious")
    assert_refused(run(script_command(MOUNT, tmp_path / "none", *ports), tmp_path), 7, "nothing at", "none")
    assert_refused(run(script_command(MOUNT, tmp_path / "file", *ports), tmp_path), 7, "a file at", "file")
    assert_refused(run(script_command(MOUNT, tmp_path / "full", *ports), tmp_path), 7, "1 entries", "full")
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "precious").read_text() == "precious"


def test_mount_point_mounted_already_ends_with_7_and_the_first_mount_goes_on(cluster: Cluster) -> None:
    mount = cluster.mount()
    (mount.path / "file").write_bytes(CONTENT)
    assert_refused(run(list(mount.command), cluster.folder), 7, str(mount.path), "mounted already")
    assert (mount.path / "file").read_bytes() == CONTENT


# --- other servers ---------------------------------------------------------------------------------------------------------


def mount_by_ports(cluster: Cluster, *ports: int) -> subprocess.CompletedProcess[str]:
    """Mount with the original command; it must refuse."""
    point = cluster.folder / "other"
    point.mkdir(exist_ok=True)
    return run(script_command(MOUNT, point, cluster.meta_port, *ports), cluster.folder)


def test_mount_over_other_servers_or_another_n_ends_with_5_and_loses_nothing(make_cluster: Callable[..., Cluster]) -> None:
    cluster, foreign = make_cluster(n=3), make_cluster(n=3)
    cluster.start(mounts=1)
    foreign.start(mounts=1)
    for each in (cluster, foreign):
        (each.mount().path / "file").write_bytes(CONTENT)
    a, b, c = cluster.data_ports
    assert_message(mount_by_ports(cluster, a, b), 5, "3 data servers", "2 data servers")
    assert_message(mount_by_ports(cluster, a, b, foreign.data_ports[2]), 5, "data server 2 of cluster")
    assert_message(mount_by_ports(cluster, a, c, b), 5, "data server 1 of cluster")
    assert_message(mount_by_ports(cluster, *foreign.data_ports), 5, "data server 0 of cluster")
    for each in (cluster, foreign):
        assert (each.mount().path / "file").read_bytes() == CONTENT
        (each.mount().path / "new").write_bytes(CONTENT)


def assert_message(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert_one_message(done.returncode, done.stderr, status, *words)


def test_configuration_with_swapped_ports_is_refused_and_after_mending_it_all_is_there(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(n=3)
    cluster.start(mounts=1)
    (cluster.mount().path / "file").write_bytes(CONTENT)
    cluster.stop()
    right = cluster.config_file.read_text()
    one, two = (f"127.0.0.1:{cluster.data_ports[index]}" for index in (1, 2))
    cluster.config_file.write_text(right.replace(one, "ONE").replace(two, one).replace("ONE", two))
    # Each server's folder says who it is, and it now listens where the configuration says: recognised.
    cluster.start(mounts=1)
    assert (cluster.mount().path / "file").read_bytes() == CONTENT
    cluster.stop()
    # Folders swapped with the ports unchanged: each refuses to be the other.
    cluster.config_file.write_text(
        right.replace("/data1\n", "/ONE\n").replace("/data2\n", "/data1\n").replace("/ONE\n", "/data2\n")
    )
    for index in (1, 2):
        cluster.data(index).start()
        assert cluster.data(index).wait_for_end() == 4
        last = cluster.data(index).log_text().splitlines()[-1]
        assert f"expected the state folder of data server {index}, got that of data server {3 - index}" in last
    cluster.config_file.write_text(right)
    cluster.start(mounts=1)
    assert (cluster.mount().path / "file").read_bytes() == CONTENT


def test_data_folder_of_another_cluster_is_refused_everywhere_and_not_written_to(make_cluster: Callable[..., Cluster]) -> None:
    cluster, foreign = make_cluster(n=2), make_cluster(n=2)
    for each in (cluster, foreign):
        each.start(mounts=1)
        (each.mount().path / "file").write_bytes(CONTENT)
        each.stop()
    own = cluster.state_folder(1)
    own.rename(cluster.folder / "aside")
    shutil.copytree(foreign.state_folder(1), own)
    strips = sorted(path.read_bytes() for path in (own / "strips").rglob("*.[ps]"))
    cluster.allow("reading from the other copies", "is not used")
    cluster.start(mounts=1)
    assert (cluster.mount().path / "file").read_bytes() == CONTENT
    status = run(module_command("dfs.cli.dfsctl", "status", "--config", cluster.config_file), cluster.folder)
    assert status.returncode == 1
    assert "cluster" in status.stdout
    assert status.stdout.count("expected server 1 of 2 of cluster") == 1
    cluster.stop()
    assert sorted(path.read_bytes() for path in (own / "strips").rglob("*.[ps]")) == strips
    shutil.rmtree(own)
    (cluster.folder / "aside").rename(own)
    cluster.start(mounts=1)
    assert (cluster.mount().path / "file").read_bytes() == CONTENT


def test_new_mount_whose_data_servers_are_not_there_says_each_thing_once(tmp_path: Path) -> None:
    meta_port, *ports = free_ports(3)
    point = tmp_path / "mnt"
    point.mkdir()
    meta = subprocess.Popen(
        script_command(META, meta_port, "--state", tmp_path / "meta"),
        env=marked_environment() | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    try:
        done = run(script_command(MOUNT, point, meta_port, *ports), tmp_path, 120)
        lines = done.stderr.splitlines()
        assert done.returncode == 5
        assert lines[-1].startswith("distributedFS.py: expected ")
        for line in lines:
            assert line.count("expected ") <= 1, line
            assert line.count(" got") <= 1, line
        for index, port in enumerate(ports):
            assert f"data server {index} at 127.0.0.1:{port}" in lines[-1]
    finally:
        meta.terminate()
        meta.wait(20)


# --- peers that speak garbage -----------------------------------------------------------------------------------------------


def test_data_server_replaced_by_garbage_is_read_around_and_comes_back(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(n=3)
    cluster.allow("reading from the other copies", "writing waits for server 1", "is not used")
    cluster.start(mounts=1)
    mount = cluster.mount()
    (mount.path / "file").write_bytes(CONTENT)
    cluster.data(1).stop()
    with GarbagePeer(cluster.data_ports[1]) as garbage:
        assert read_afresh(mount.path / "file") == CONTENT
        wait_until(lambda: garbage.answered > 0, "the garbage to be asked")
        writer = subprocess.Popen(["dd", "if=/dev/zero", f"of={mount.path}/new", "bs=64K", "count=1", "status=none"])
        mount.wait_for_log("writing waits for server 1")
        assert writer.poll() is None
    cluster.data(1).start()
    assert writer.wait(30) == 0
    assert (mount.path / "new").read_bytes() == bytes(64 << 10)
    assert "Traceback" not in cluster.logs()


def test_meta_server_replaced_by_garbage_is_waited_for(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(n=2)
    cluster.allow("waiting for meta-server")
    cluster.start(mounts=1)
    mount = cluster.mount()
    (mount.path / "file").write_bytes(CONTENT)
    cluster.meta.stop()
    with GarbagePeer(cluster.meta_port) as garbage:
        reader = subprocess.Popen(["cat", mount.path / "file"], stdout=subprocess.PIPE)
        mount.wait_for_log("waiting for meta-server")
        done = run(module_command("dfs.cli.dfsctl", "status", "--config", cluster.config_file), cluster.folder)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (5, "", 1)
        assert done.stderr.startswith(f"dfsctl: meta-server at {cluster.meta_address} does not answer")
        assert garbage.answered > 0
    cluster.meta.start()
    assert reader.communicate(timeout=40)[0] == CONTENT
    assert "Traceback" not in cluster.logs()


def read_afresh(path: Path) -> bytes:
    """Read past the kernel's pages."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read()


# --- requests over the limits ------------------------------------------------------------------------------------------------


def answer_to(port: int, request: bytes) -> bytes:
    """Send raw bytes and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        received = b""
        try:
            peer.sendall(request)
            peer.shutdown(socket.SHUT_WR)
            while part := peer.recv(1 << 16):
                received += part
        except ConnectionError:
            pass  # refused before all of it was sent; what was said until then counts
        return received


def post(body: bytes, length: int | None = None) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (len(body) if length is None else length) + body


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "dfs dfs dfs dfs">'
    + b"".join(b'<!ENTITY %c "%s">' % (i, b"&%c;" % (i - 1) * 20) for i in range(ord("b"), ord("k")))
    + b"]><methodCall><methodName>&j;</methodName></methodCall>"
)
DEEP = b"<methodCall><methodName>status</methodName><params><param>" + b"<value><array><data>" * 5000


@pytest.mark.parametrize("kind", ["meta", "data"])
def test_bombs_garbage_and_requests_over_the_limits_are_refused_and_the_server_goes_on(
    make_cluster: Callable[..., Cluster], kind: str
) -> None:
    cluster = make_cluster(n=2)
    cluster.start(mounts=1)
    (cluster.mount().path / "file").write_bytes(CONTENT)
    cluster.allow("127.0.0.1, which is over the limit on")
    program, port = (cluster.meta, cluster.meta_port) if kind == "meta" else (cluster.data(0), cluster.data_ports[0])
    for name, request, words in [
        ("bomb", post(BOMB), b"fault"),
        ("deep", post(DEEP), b"fault"),
        ("huge", post(b"", 1 << 40), b"413"),
        ("headers", b"POST / HTTP/1.1\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n", b"431"),
        ("random", os.urandom(5000) + b"\r\n\r\n", b"400"),
        ("get", b"GET / HTTP/1.1\r\n\r\n", b"405"),
        ("not xml", post(os.urandom(3000)), b"fault"),
        ("unknown", post(b"<methodCall><methodName>frobnicate</methodName></methodCall>"), b"unknown method"),
    ]:
        answer = answer_to(port, request)
        assert words in answer, (name, answer[:500])
        assert b"Traceback" not in answer
    resident_kib = int(Path(f"/proc/{program.pid}/statm").read_text().split()[1]) * 4
    assert resident_kib < 300 << 10
    assert program.is_running()
    assert read_afresh(cluster.mount().path / "file") == CONTENT
    assert "Traceback" not in cluster.logs()
