"""Goal: exports hold for real mounts from machines with addresses of their own, and a reload changes them. Method: one cluster and
its clients in network namespaces, without a key, and one with a key, where clients have names.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.cli.mount_table import is_mounted
from dfs.core.keys import Key, client_keys
from dfs.host.key_files import create_key_file
from tests.harness.networks import Machine, NetworkCluster, Networks
from tests.harness.program import module_command
from tests.harness.waiting import wait_until

CONTENT = bytes(range(256)) * 40
ROOT = Path(__file__).resolve().parents[2]
EXPORTS = """
[export:everything]
networks = 10.77.1.0/24

[export:readers]
networks = 10.77.2.0/24
access = ro

[export:guests]
networks = 10.77.3.2
folder = /pub/guests
squash = root
anonymous_uid = 4321
anonymous_gid = 4322
"""


@pytest.fixture(scope="module")
def networks() -> Iterator[Networks]:
    with Networks() as networks:
        yield networks


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, networks: Networks) -> Iterator[NetworkCluster]:
    with NetworkCluster(tmp_path_factory.mktemp("exports"), networks, EXPORTS) as cluster:
        cluster.allow(
            "listens beyond loopback without a key",
            "is refused: no export is for it",
            "was refused: no export is for it",
            "this mount lost its lease",  # it is ended when its client may do less
        )
        cluster.start()
        owner = cluster.mount_at(networks.client(1), 1)
        owner.start()
        owner.wait_ready()
        (owner.path / "pub" / "guests").mkdir(parents=True)
        (owner.path / "pub" / "guests").chmod(0o777)
        (owner.path / "pub" / "guests" / "file").write_bytes(b"for guests")
        (owner.path / "private").mkdir(0o700)
        (owner.path / "private" / "secret").write_bytes(b"for the owner")
        others = [cluster.mount_at(networks.client(number), number) for number in (2, 3)]
        for mount in others:
            mount.start()
        for mount in others:
            mount.wait_ready()
        yield cluster
        print(cluster.logs())
    cluster.assert_quiet()


def path_of(cluster: NetworkCluster, number: int) -> Path:
    return cluster.mount(number).path


def error_of(work: object) -> int | None:
    """Return the errno with which something ends."""
    assert callable(work)
    try:
        work()
    except OSError as error:
        return error.errno
    return None


def test_read_only_export_is_read_and_not_changed(cluster: NetworkCluster) -> None:
    path = path_of(cluster, 2)
    assert (path / "pub" / "guests" / "file").read_bytes() == b"for guests"
    changes = {
        "create": lambda: (path / "new").write_bytes(b"x"),
        "write": lambda: (path / "pub" / "guests" / "file").open("r+b"),
        "append": lambda: (path / "pub" / "guests" / "file").open("ab"),
        "mkdir": lambda: (path / "new").mkdir(),
        "rmdir": lambda: (path / "pub" / "guests").rmdir(),
        "unlink": lambda: (path / "pub" / "guests" / "file").unlink(),
        "rename": lambda: (path / "pub").rename(path / "bup"),
        "chmod": lambda: (path / "pub").chmod(0o700),
        "touch": lambda: os.utime(path / "pub"),
        "truncate": lambda: os.truncate(path / "pub" / "guests" / "file", 0),
        "symlink": lambda: (path / "new").symlink_to("x"),
        "setxattr": lambda: os.setxattr(path / "pub", "user.x", b"y"),
    }
    assert {name: error_of(change) for name, change in changes.items()} == dict.fromkeys(changes, errno.EROFS)
    with (path / "pub" / "guests" / "file").open("rb") as file:
        os.fsync(file.fileno())
    assert os.statvfs(path).f_blocks > 0


def test_guest_sees_its_folder_as_the_root_and_no_way_leads_out(cluster: NetworkCluster) -> None:
    guest, owner = path_of(cluster, 3), path_of(cluster, 1)
    assert "file" in os.listdir(guest)
    assert guest.stat().st_ino == (owner / "pub" / "guests").stat().st_ino
    assert set(os.listdir(guest / "..")) == set(os.listdir(guest.parent))
    assert not (guest / "private").exists()
    (guest / "out").symlink_to("../../private/secret")
    assert not (guest / "out").exists()  # the client's own kernel follows it, on the client's own machine
    (guest / "mine").write_bytes(b"from a guest")
    assert (owner / "pub" / "guests" / "mine").read_bytes() == b"from a guest"


def test_squashed_root_is_the_anonymous_user(cluster: NetworkCluster) -> None:
    guest, owner = path_of(cluster, 3), path_of(cluster, 1)
    (guest / "made").write_bytes(b"x")
    made = (owner / "pub" / "guests" / "made").stat()
    assert (made.st_uid, made.st_gid) == (4321, 4322)
    assert error_of(lambda: os.chown(guest / "made", 0, 0)) == errno.EPERM
    (owner / "pub" / "guests" / "roots").write_bytes(b"only root's")
    (owner / "pub" / "guests" / "roots").chmod(0o600)
    assert error_of(lambda: (guest / "roots").read_bytes()) == errno.EACCES
    assert error_of(lambda: (guest / "roots").open("r+b")) == errno.EACCES


@pytest.mark.parametrize("command", ["dfs-mount", "mount.dfs"])
def test_network_without_an_export_is_refused_by_name(
    cluster: NetworkCluster, stranger: Machine, tmp_path: Path, command: str
) -> None:
    point = tmp_path / "mnt"
    point.mkdir()
    if command == "dfs-mount":
        done = stranger.run(*module_command("dfs.cli.mount", point, "--meta", cluster.meta_address))
    else:
        done = stranger.run(sys.executable, ROOT / "scripts" / "mount.dfs", cluster.meta_address, point)
    assert done.returncode == (5 if command == "dfs-mount" else 32), done.stderr
    assert f"expected an export of the meta-server at {cluster.meta_address}" in done.stderr
    assert "client 10.77.9.2 is refused: no export is for it" in done.stderr
    assert not is_mounted(point)
    assert cluster.meta.log_text().count("a client at 10.77.9.2 was refused: no export is for it") == 1


@pytest.fixture(scope="module")
def stranger(networks: Networks) -> Machine:
    """A machine that no export is for."""
    return networks.client(9)


def test_reload_counts_for_mounts_that_are_there(cluster: NetworkCluster) -> None:
    reader, owner = path_of(cluster, 2), path_of(cluster, 1)
    cluster.set_exports(EXPORTS.replace("access = ro", "access = rw"))
    (reader / "allowed").write_bytes(b"now")
    with (reader / "allowed").open("ab", buffering=0) as file:
        file.write(b" and then")
        cluster.set_exports(EXPORTS)
        assert error_of(lambda: (reader / "more").touch()) == errno.EROFS
        wait_until(lambda: error_of(lambda: os.write(file.fileno(), b"!")) == errno.EROFS, "the open file to be read-only")
    assert (owner / "allowed").read_bytes().rstrip(b"!") == b"now and then"
    assert error_of(lambda: (reader / "allowed").unlink()) == errno.EROFS
    (owner / "allowed").unlink()


def test_client_that_loses_its_export_gets_errors_and_never_hangs(cluster: NetworkCluster) -> None:
    reader = path_of(cluster, 2)
    cluster.set_exports(EXPORTS.replace("10.77.2.0/24", "10.77.22.0/24"))
    done = subprocess.run(["stat", "--file-system", reader], check=False, capture_output=True, text=True, timeout=20)
    assert "Permission denied" in done.stderr
    cluster.set_exports(EXPORTS)
    wait_until(lambda: error_of(lambda: os.listdir(reader)) is None, "the mount to come back")
    assert (reader / "pub" / "guests" / "file").read_bytes() == b"for guests"


# --- with a key --------------------------------------------------------------------------------------------------------------

KEYED = """
[export:all]
clients = owner

[export:readers]
clients = reader
access = ro

[export:guests]
clients = guest
networks = 10.77.13.0/24
folder = /pub/guests
"""


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, networks: Networks) -> Iterator[NetworkCluster]:
    secret = os.urandom(32)
    with NetworkCluster(tmp_path_factory.mktemp("keyed"), networks, KEYED, secret=secret) as cluster:
        cluster.allow("is refused: no export is for it", "was refused: no export is for it", "this mount lost its lease")
        cluster.start()
        for number, name in ((11, "owner"), (12, "reader"), (13, "guest")):
            mount = cluster.mount_at(networks.client(number), number, ["-o", f"key_file={key_of(cluster, secret, name)}"])
            mount.start()
            mount.wait_ready()
            if name == "owner":
                (mount.path / "pub" / "guests").mkdir(parents=True)
                (mount.path / "pub" / "guests").chmod(0o777)
                (mount.path / "pub" / "guests" / "file").write_bytes(CONTENT)
                (mount.path / "secret").write_bytes(CONTENT)
        key_of(cluster, secret, "stranger")
        yield cluster
        print(cluster.logs())
    cluster.assert_quiet()


def key_of(cluster: NetworkCluster, secret: bytes, name: str) -> Path:
    """Return the key file of a client."""
    path = cluster.folder / f"{name}.key"
    create_key_file(path, client_keys((Key(secret),), name))
    return path


def test_clients_are_known_by_the_names_in_their_keys(keyed: NetworkCluster) -> None:
    owner, reader, guest = (path_of(keyed, number) for number in (11, 12, 13))
    assert (reader / "secret").read_bytes() == CONTENT
    assert error_of(lambda: (reader / "secret").open("r+b")) == errno.EROFS
    assert error_of(lambda: (reader / "new").touch()) == errno.EROFS
    assert os.listdir(guest) == ["file"]
    with (guest / "file").open("r+b") as file:
        file.write(b"guest")
        file.flush()
        os.fsync(file.fileno())
    assert (owner / "pub" / "guests" / "file").read_bytes() == b"guest" + CONTENT[5:]
    with (owner / "holes").open("wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 19)
        file.write(b"x")
    assert (reader / "holes").stat().st_blocks == 1


def test_key_of_a_client_without_an_export_is_refused_by_its_name(keyed: NetworkCluster, stranger: Machine, tmp_path: Path) -> None:
    point = tmp_path / "mnt"
    point.mkdir()
    words = ("-o", f"key_file={keyed.folder}/stranger.key")
    done = stranger.run(sys.executable, ROOT / "scripts" / "mount.dfs", keyed.meta_address, point, *words)
    assert done.returncode == 32
    assert "client stranger at 10.77.9.2 is refused: no export is for it" in done.stderr


def test_key_from_elsewhere_is_refused_where_the_export_names_a_network(
    keyed: NetworkCluster, stranger: Machine, tmp_path: Path
) -> None:
    point = tmp_path / "mnt"
    point.mkdir()
    words = ("-o", f"key_file={keyed.folder}/guest.key")
    done = stranger.run(sys.executable, ROOT / "scripts" / "mount.dfs", keyed.meta_address, point, *words)
    assert done.returncode == 32
    assert "client guest at 10.77.9.2 is refused" in done.stderr


def test_tools_with_the_cluster_key_are_subject_to_no_export(keyed: NetworkCluster, stranger: Machine) -> None:
    done = stranger.run(*module_command("dfs.cli.dfsctl", "fsck", "--config", keyed.config_file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_data_server_refuses_a_client_that_shows_no_capability(keyed: NetworkCluster, stranger: Machine) -> None:
    ino = (path_of(keyed, 11) / "secret").stat().st_ino
    where = ("--meta", keyed.meta_address, "--key-file", keyed.folder / "reader.key")
    for method, arguments in (("count_blocks", [str(ino), "1"]), ("sync", [str(ino)])):
        done = stranger.run(*module_command("dfs.cli.dfsctl", "rpc", "--data", "0", method, *arguments, *where))
        assert done.returncode != 0
        assert "no valid capability: none was shown" in done.stderr
