"""Goal: every option of mount.dfs(8) that the client minds does on a real mount what the page says.

Method: mounts of one small cluster with one option each beside a plain one; the data servers are stopped where an option is about
waiting, and programs of their own do what might block.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster, MountProgram
from tests.harness.waiting import assert_stays, wait_until

NOBODY = 65534
SOON_S = 15.0
WRITE = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
print("begin", flush=True)
try:
    os.write(file, b"x" * 700)
except OSError as error:
    sys.exit(error.errno)
"""
LOCK = """
import fcntl, os, signal, sys
file = os.open(sys.argv[1], os.O_RDWR)
print("begin", flush=True)
fcntl.flock(file, fcntl.LOCK_EX)
"""


class Programs:
    """Programs that may block; gone when the test is."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, code: str, path: Path) -> subprocess.Popen[bytes]:
        """Start a program and wait until it is about to do what may block."""
        program = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
        self._started.append(program)
        assert program.stdout is not None
        assert program.stdout.readline() == b"begin\n"
        return program

    def close(self) -> None:
        for program in self._started:
            program.kill()
            program.communicate(timeout=10)


@pytest.fixture
def programs() -> Iterator[Programs]:
    """Return a starter of programs that may block."""
    started = Programs()
    try:
        yield started
    finally:
        started.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with a plain mount 0 for the tests that break nothing."""
    with Cluster(tmp_path_factory.mktemp("options"), n=2) as cluster:
        cluster.start(mounts=1)
        cluster.mount(0).path.chmod(0o755)
        yield cluster
        print(cluster.logs())
    cluster.assert_quiet()


@pytest.fixture
def mounted(shared: Cluster) -> Iterator[Callable[[str], Path]]:
    """Mount once more, with options; unmounted after the test."""
    made: list[MountProgram] = []

    def mount(options: str) -> Path:
        program = shared.mount(len(shared.programs()), options)
        made.append(program)
        program.start()
        program.wait_ready()
        return program.path

    yield mount
    for program in made:
        assert program.unmount() == 0


@pytest.fixture
def plain(shared: Cluster, request: pytest.FixtureRequest) -> Path:
    """Return a new folder of the plain mount, which other mounts find by its name."""
    folder = shared.mount(0).path / str(request.node.name)
    folder.mkdir()
    return folder


def flags_of(point: Path) -> set[str]:
    """Return the flags that the kernel has for a mount."""
    shown = os.statvfs(point).f_flag
    names = {"ro": os.ST_RDONLY, "nosuid": os.ST_NOSUID, "nodev": os.ST_NODEV, "noexec": os.ST_NOEXEC, "sync": os.ST_SYNCHRONOUS}
    return {name for name, bit in names.items() if shown & bit}


# --- the kernel's -------------------------------------------------------------------------------------------------------------


def test_ro_refuses_changes_and_still_reads(mounted: Callable[[str], Path], plain: Path) -> None:
    (plain / "file").write_text("here")
    folder = mounted("ro") / plain.name
    assert (folder / "file").read_text() == "here"
    with pytest.raises(OSError, match="Read-only") as refusal:
        (folder / "other").touch()
    assert refusal.value.errno == errno.EROFS


def test_kernel_flags_are_those_that_were_named_and_nosuid_and_nodev_by_default(mounted: Callable[[str], Path]) -> None:
    assert flags_of(mounted("rw")) == {"nosuid", "nodev"}
    assert flags_of(mounted("noexec,sync,suid")) == {"noexec", "sync", "nodev"}


# --- what is believed -----------------------------------------------------------------------------------------------------------


def test_attributes_are_believed_for_attr_timeout(mounted: Callable[[str], Path], plain: Path) -> None:
    (plain / "file").touch(0o644)
    long, never = mounted("attr_timeout=1h") / plain.name, mounted("attr_timeout=0") / plain.name
    assert {stat.S_IMODE(os.stat(folder / "file").st_mode) for folder in (long, never)} == {0o644}
    (plain / "file").chmod(0o600)
    assert stat.S_IMODE(os.stat(never / "file").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(long / "file").st_mode) == 0o644


def test_names_are_believed_for_entry_timeout_or_else_as_long_as_attributes(mounted: Callable[[str], Path], plain: Path) -> None:
    (plain / "file").touch()
    old = (plain / "file").stat().st_ino
    long, names_never = mounted("attr_timeout=1h") / plain.name, mounted("attr_timeout=1h,entry_timeout=0") / plain.name
    assert {os.stat(folder / "file").st_ino for folder in (long, names_never)} == {old}
    (plain / "new").touch()
    (plain / "new").rename(plain / "file")
    assert os.stat(long / "file").st_ino == old
    assert os.stat(names_never / "file").st_ino != old


# --- who may ---------------------------------------------------------------------------------------------------------------------


def test_squashed_root_may_do_what_nobody_may(mounted: Callable[[str], Path], plain: Path) -> None:
    (plain / "open").mkdir()
    (plain / "open").chmod(0o1777)
    (plain / "secret").touch(0o600)
    squashed = mounted("root_squash") / plain.name
    (squashed / "open" / "own").touch()
    owner = (plain / "open" / "own").stat()
    assert (owner.st_uid, owner.st_gid) == (NOBODY, NOBODY)
    for forbidden in (
        lambda: (squashed / "closed").touch(),
        lambda: (squashed / "secret").read_bytes(),
        lambda: os.chown(squashed / "secret", 1, 1),
        lambda: (squashed / "secret").unlink(),
    ):
        with pytest.raises(PermissionError):
            forbidden()


def test_squashed_root_is_who_the_options_say(mounted: Callable[[str], Path], plain: Path) -> None:
    plain.chmod(0o1777)
    (mounted("root_squash,anonuid=12,anongid=34") / plain.name / "own").touch()
    owner = (plain / "own").stat()
    assert (owner.st_uid, owner.st_gid) == (12, 34)


def test_without_allow_other_the_mount_is_for_who_mounted_alone(mounted: Callable[[str], Path]) -> None:
    point = mounted("noallow_other")
    os.listdir(point)
    look = [sys.executable, "-c", f"import os, sys; os.setgroups([]); os.setgid(1); os.setuid(1); os.listdir({str(point)!r})"]
    done = subprocess.run(look, capture_output=True, text=True, check=False)
    assert "PermissionError" in done.stderr


# --- how long it waits -----------------------------------------------------------------------------------------------------------


def test_soft_mount_fails_after_timeo_where_a_hard_one_waits(make_cluster: Callable[..., Cluster], programs: Programs) -> None:
    cluster = make_cluster(n=2)
    cluster.allow("wait(s|ing) for", "goes on", "with EIO", "cannot be reached")
    cluster.start(mounts=1)
    soft = cluster.mount(1, "soft,timeo=1s")
    soft.start()
    soft.wait_ready()
    cluster.data(1).stop()
    on_hard = programs.start(WRITE, cluster.mount(0).path / "hard")
    on_soft = programs.start(WRITE, soft.path / "soft")
    assert on_soft.wait(SOON_S) == errno.EIO
    assert on_hard.poll() is None
    cluster.meta.stop()
    with pytest.raises(OSError, match="Input/output"):
        os.stat(soft.path / "nothing")
    assert on_hard.poll() is None
    for program in (cluster.meta, cluster.data(1)):
        cluster.restart(program)
    assert on_hard.wait(60) == 0
    (soft.path / "soft").write_text("all is well again")


def test_soft_mount_waits_for_a_lock_as_long_as_it_is_held(mounted: Callable[[str], Path], plain: Path, programs: Programs) -> None:
    (plain / "file").touch()
    soft = mounted("soft,timeo=300ms") / plain.name
    holder = programs.start(LOCK + "print('locked', flush=True)\nsignal.pause()", plain / "file")
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    waiting = programs.start(LOCK, soft / "file")
    assert_stays(lambda: waiting.poll() is None, "the lock to be waited for", 1.5)
    holder.kill()
    assert waiting.wait(SOON_S) == 0


# --- shutdown ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def blocked(make_cluster: Callable[..., Cluster], programs: Programs) -> Callable[[float], tuple[Cluster, subprocess.Popen[bytes]]]:
    """Return a maker of a cluster with a given grace and a write that waits for data server 1."""

    def make(grace_s: float) -> tuple[Cluster, subprocess.Popen[bytes]]:
        cluster = make_cluster(n=2, shutdown_grace=grace_s)
        cluster.allow("wait(s|ing) for", "goes on", "with EIO", "cannot be reached", "left to")
        cluster.start(mounts=1)
        cluster.data(1).stop()
        writer = programs.start(WRITE, cluster.mount(0).path / "file")
        cluster.mount(0).wait_for_log("wait")
        return cluster, writer

    return make


def test_at_shutdown_a_blocked_write_ends_after_the_grace_and_the_mount_stays(
    blocked: Callable[[float], tuple[Cluster, subprocess.Popen[bytes]]],
) -> None:
    cluster, writer = blocked(1.0)
    mount = cluster.mount(0)
    assert_stays(lambda: writer.poll() is None, "the write to wait", 2)
    mount.process.send_signal(signal.SIGUSR1)
    assert writer.wait(SOON_S) == errno.EIO
    assert mount.answers()
    cluster.restart(cluster.data(1))
    wait_until(lambda: subprocess.run(["cp", "/etc/hostname", mount.path / "new"], check=False).returncode == 0, "a write to go on")
    assert (mount.path / "new").read_bytes() == Path("/etc/hostname").read_bytes()


def test_write_that_can_go_on_within_the_grace_ends_well_when_the_mount_is_stopped(
    blocked: Callable[[float], tuple[Cluster, subprocess.Popen[bytes]]],
) -> None:
    cluster, writer = blocked(30.0)
    cluster.mount(0).process.send_signal(signal.SIGTERM)
    cluster.mount(0).wait_for_log("in use")
    cluster.restart(cluster.data(1))
    assert writer.wait(60) == 0
    assert cluster.mount(0).wait_for_end() == 0


def test_mount_that_is_stopped_ends_soon_though_a_write_waits_for_ever(
    blocked: Callable[[float], tuple[Cluster, subprocess.Popen[bytes]]],
) -> None:
    cluster, writer = blocked(1.0)
    cluster.mount(0).process.send_signal(signal.SIGTERM)
    assert writer.wait(SOON_S) != 0
    cluster.mount(0).wait_for_end()
