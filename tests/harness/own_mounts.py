"""A mount namespace of a test's own, in which mount(8) finds the mount helper of this checkout.

What is mounted in it is seen in it alone, so that neither /sbin nor /etc/fstab of this machine are touched. Needs root.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final

from dfs.fusefs.mount_point import MountedAt, parse_mountinfo
from tests.harness.leftovers import marked_environment
from tests.harness.waiting import wait_until

HELPERS: Final = Path(__file__).resolve().parents[2] / "scripts"
COMMAND_TIMEOUT_S: Final = 60.0
BEGIN: Final = """
set -e
mkdir over
mount -t tmpfs none over
mkdir over/upper over/work
ln -s {helpers}/mount.dfs {helpers}/mount.fuse.dfs over/upper
mount -t overlay none -o "lowerdir=$(realpath /sbin),upperdir=$PWD/over/upper,workdir=$PWD/over/work" "$(realpath /sbin)"
touch fstab
mount --bind fstab /etc/fstab
mount -t tmpfs none /run
touch ready
exec sleep infinity
"""


class FakeSystemd:
    """What the helper takes for systemd: starts the client as dfs-mount@.service says, and notes what it was asked for."""

    def __init__(self, folder: Path, own: OwnMounts) -> None:
        self._folder, self._own = folder, own
        folder.mkdir()
        own.cover("/usr/bin")
        for name in ("systemctl", "journalctl"):
            program = folder / name
            command = f"{sys.executable} -m tests.harness.fake_systemd {shlex.quote(str(folder))} {name}"
            program.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(HELPERS.parent))} exec {command} "$@"\n')
            program.chmod(0o755)
            assert own.run("cp", program, "/usr/bin").returncode == 0

    def mount(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Mount as an administrator does; the helper finds the fake."""
        return self._own.run("mount", *arguments)

    def asked(self) -> list[str]:
        """Return the commands that systemctl was given."""
        noted = self._folder / "asked"
        return noted.read_text().splitlines() if noted.exists() else []

    def journal(self) -> str:
        """Return what the clients have logged."""
        return (self._folder / "journal").read_text()


class OwnMounts:
    """Runs commands in the namespace; use it in a `with`. What is mounted there, and serves it, is ended with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> OwnMounts:
        self._folder.mkdir(exist_ok=True)
        script = BEGIN.format(helpers=shlex.quote(str(HELPERS)))
        self._keeper = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script], cwd=self._folder, env=marked_environment(), stdin=subprocess.DEVNULL
        )
        wait_until(lambda: (self._folder / "ready").exists() or self._process.poll() is not None, "a mount namespace")
        assert self._process.poll() is None, "no mount namespace"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.run("umount", "--all", "--lazy", "--types", "fuse.dfs")
        wait_until(lambda: len(self.processes()) <= 1, "the clients to end with their mounts")
        self._process.kill()
        self._process.wait()

    def pretend_systemd(self) -> FakeSystemd:
        """Let the helper believe that systemd runs this machine: what it calls is tests/harness/fake_systemd.py."""
        assert self.run("mkdir", "-p", "/run/systemd/system").returncode == 0
        assert (
            self.run("cp", HELPERS.parent / "packaging" / "systemd" / "dfs-mount@.service", "/run/systemd/system").returncode == 0
        )
        return FakeSystemd(self._folder / "systemd", self)

    def cover(self, target: str) -> None:
        """Let what is written below `target` from now on be seen in the namespace alone."""
        done = self.run(
            "sh",
            "-c",
            f"cd {shlex.quote(str(self._folder))}/over && mkdir -p u w &&"
            f" mount -t overlay none -o lowerdir={target},upperdir=$PWD/u,workdir=$PWD/w {target}",
        )
        assert done.returncode == 0, done.stderr

    def fstab(self, *lines: str) -> None:
        """Let these be the lines of /etc/fstab."""
        (self._folder / "fstab").write_text("".join(f"{line}\n" for line in lines))

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command until it has ended and nobody holds its output any more; return what came of it."""
        return subprocess.run(
            self.command(*command),
            env=marked_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_TIMEOUT_S,
        )

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(self.command(*command), env=marked_environment(), stderr=subprocess.PIPE, text=True)

    def command(self, *command: str | Path) -> list[str]:
        """Return a command line that runs a command in the namespace."""
        return ["nsenter", f"--mount=/proc/{self._process.pid}/ns/mnt", *map(str, command)]

    def mounted(self, point: Path) -> MountedAt | None:
        """Return what is mounted at a point, as the kernel says."""
        mounts = parse_mountinfo(Path(f"/proc/{self._process.pid}/mountinfo").read_bytes())
        return next((mount for mount in reversed(mounts) if mount.point == os.fsencode(point)), None)

    def flags(self, point: Path) -> set[str]:
        """Return the kernel's flags of what is mounted at a point."""
        mounted = self.mounted(point)
        assert mounted is not None, f"nothing is mounted at {point}"
        return {flag.decode() for flag in mounted.flags}

    def processes(self) -> list[int]:
        """Return the numbers of the processes that live in the namespace."""
        own = os.stat(f"/proc/{self._process.pid}/ns/mnt").st_ino
        found: list[int] = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.stat(folder / "ns" / "mnt").st_ino == own:
                    found.append(int(folder.name))
            except OSError:
                continue  # ended meanwhile
        return found

    def clients(self) -> list[int]:
        """Return the numbers of the clients in the namespace."""
        return [pid for pid in self.processes() if _runs_helper(pid)]

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        assert self._keeper is not None, "not entered"
        return self._keeper


def _runs_helper(pid: int) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(os.path.basename(argument) in (b"mount.dfs", b"mount.fuse.dfs", b"dfs.cli.mount") for argument in arguments)
