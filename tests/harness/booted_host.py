"""A booted Debian in a container of its own: systemd as its first process, FUSE, its own network, disks if it is given some.

A host is an overlay over a root file system that is shared and never written; what it wrote stays over a reboot and a power cut,
until close(). Each has a cgroup of its own, because two containers in one stop each other's services. Promises: nothing of it is
left after close(): no process, mount, cgroup. Needs root and systemd-nspawn.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.harness.host_disk import HostDisk
from tests.harness.leftovers import marked_environment
from tests.harness.waiting import wait_until

BOOT_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 60.0
RUN_TIMEOUT_S: Final = 30.0
POWER_OFF: Final = signal.SIGRTMIN + 4
"""Asks systemd as the first process to shut down (systemd(1))."""
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
# The overlay, the disks and the cgroup file system are mounted in a mount namespace of their own, so that they end with the
# processes in it. The container sees nothing but the unified hierarchy, whatever this machine was booted with.
_BOOT: Final = """
set -e
name=$1 group=$2 folder=$3 lower=$4
shift 4
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
binds=()
while [ "$1" != -- ]; do
    place=$folder/disk${#binds[@]}
    mkdir -p "$place"
    mount -o loop "$1" "$place"
    binds+=("--bind=$place:$2")
    shift 2
done
shift
umount -R -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$group"
echo $$ >"/sys/fs/cgroup/$group/cgroup.procs"
exec systemd-nspawn --quiet --boot --directory="$folder/root" --register=no --keep-unit --machine="$name" --hostname="$name" \\
    --console=pipe --bind=/dev/fuse --bind=/dev/autofs --system-call-filter=bpf "${binds[@]}" "$@"
"""
_FREEZE: Final = """
set -e
umount -R -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo 1 >"/sys/fs/cgroup/$1/cgroup.freeze"
until grep -q "frozen 1" "/sys/fs/cgroup/$1/cgroup.events"; do sleep 0.01; done
"""
# A killed container leaves its cgroups, and with them what systemd attached to them.
_REMOVE_GROUP: Final = """
umount -R -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
[ ! -d "/sys/fs/cgroup/$1" ] || find "/sys/fs/cgroup/$1" -depth -type d -exec rmdir {} +
"""


@dataclass(frozen=True, slots=True)
class Wiring:
    """How a host is connected."""

    entering: tuple[str, ...] = ()
    """What its container is started through."""
    arguments: tuple[str, ...] = ("--private-network",)
    """What its container is told."""
    clearing: tuple[str, ...] = ()
    """The command that removes what its end may leave for a while."""


ALONE: Final = Wiring()
"""With nothing but loopback."""


class BootedHost:
    """One host. Use it in a `with`; it is off at first."""

    def __init__(
        self, name: str, layers: Sequence[Path], folder: Path, *, wiring: Wiring = ALONE, disks: Sequence[HostDisk] = ()
    ) -> None:
        """`layers`: what its root file system consists of, the uppermost first; `folder`: an empty one for what the host writes."""
        self.name = name
        self.disks = tuple(disks)
        self._wiring = wiring
        self._layers = tuple(layers)
        self._folder = folder
        self._group = f"dfs-test-{os.getpid()}-{name}"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        for part in ("upper", "work", "root"):
            (folder / part).mkdir(parents=True)

    def __enter__(self) -> BootedHost:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    @property
    def layers(self) -> tuple[Path, ...]:
        """What it has become, for other hosts to begin with; it must be off, and stay so."""
        assert self._nspawn is None, f"{self.name} is on"
        return (self._folder / "upper", *self._layers)

    @property
    def is_on(self) -> bool:
        """Whether it is switched on."""
        return self._nspawn is not None

    @property
    def root(self) -> Path:
        """Its root folder, as this machine sees it: what it sees itself while it is on, else what it has written so far."""
        return Path(f"/proc/{self._leader}/root") if self._leader else self._folder / "upper"

    def boot(self) -> None:
        """Switch it on, and wait until it has started all it will."""
        self.switch_on()
        self.wait_for_boot()

    def switch_on(self) -> None:
        """Switch it on."""
        assert self._nspawn is None, f"{self.name} is on"
        words = [self.name, self._group, str(self._folder), ":".join(str(layer) for layer in self._layers)]
        for disk in self.disks:
            words += [str(disk.image), disk.point]
        with (self._folder / "console").open("ab") as console:
            self._nspawn = subprocess.Popen(
                [*self._wiring.entering, *_unshare(_BOOT), *words, "--", *self._wiring.arguments],
                env=marked_environment(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )

    def wait_for_boot(self, target: str = "") -> None:
        """Wait until a host that was switched on has started all it will, or has reached a target."""
        wait_until(lambda: self._has_booted(target), f"{self.name} to boot", BOOT_TIMEOUT_S)

    def run(self, *command: str, check: bool = True, timeout_s: float = RUN_TIMEOUT_S, stdin: str = "") -> str:
        """Run a command on the host and return what it printed; with `check` its exit status must be 0."""
        done = self.try_to(*command, timeout_s=timeout_s, stdin=stdin)
        assert not check or done.returncode == 0, (
            f"{self.name}: {command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def try_to(self, *command: str, timeout_s: float = RUN_TIMEOUT_S, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command on the host and return what came of it."""
        assert self._leader, f"{self.name} is off"
        namespaces = ["-m", "-u", "-i", "-n", "-p", "-C", f"--root=/proc/{self._leader}/root", f"--wd=/proc/{self._leader}/root"]
        environment = ["env", "-i", f"PATH={_PATH}", "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
        entering = ["nsenter", "-t", str(self._leader), *namespaces, *environment, *command]
        return subprocess.run(entering, input=stdin, text=True, capture_output=True, timeout=timeout_s, check=False)

    def bring(self, files: Sequence[Path], folder: str) -> None:
        """Copy files of this machine to a folder of the host."""
        for file in files:
            self.put(f"{folder}/{file.name}", file.read_bytes())

    def put(self, path: str, content: bytes | str) -> None:
        """Write a file of the host, which may be on or off, with the folders that it needs."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link on the host, which may be on or off, in the place of one that is there."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(target)

    def power_off(self) -> None:
        """Shut it down cleanly."""
        self.press_power_button()
        self.wait_for_end()

    def press_power_button(self) -> None:
        """Have it shut down cleanly."""
        os.kill(self._leader, POWER_OFF)

    def power_cut(self) -> None:
        """End all its processes at once. What the kernel had cached of its disk is not lost."""
        assert self._nspawn is not None
        self._nspawn.kill()
        if self._leader:
            _kill(self._leader)
        self.wait_for_end()

    def lose_unsynced(self) -> None:
        """Cut its power so that its disks lose what was not synced."""
        # Nobody sees the disks refuse before the end.
        subprocess.run([*_unshare(_FREEZE), self._group], check=True, timeout=END_TIMEOUT_S)
        for disk in self.disks:
            disk.lose_unsynced(self.root)
        self.power_cut()

    def reboot(self) -> None:
        """Shut it down cleanly and boot it."""
        self.power_off()
        self.boot()

    def close(self) -> None:
        """Remove it, whatever its state."""
        if self._nspawn is not None:
            self.power_cut()

    def console(self) -> str:
        """Return what its console showed so far."""
        return (self._folder / "console").read_text(errors="replace")

    def _has_booted(self, target: str) -> bool:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, f"{self.name} ended with {self._nspawn.returncode}:\n{self.console()}"
        self._leader = self._find_leader()
        if not self._leader:
            return False
        if target:
            return self.try_to("systemctl", "is-active", "--quiet", target).returncode == 0
        # Without a bus yet it ends at once.
        state = self.try_to("systemctl", "is-system-running", "--wait", timeout_s=BOOT_TIMEOUT_S).stdout.strip()
        return state in ("running", "degraded")

    def _find_leader(self) -> int:
        """Return the process that is the container's first one, 0 if it is not there yet."""
        assert self._nspawn is not None
        pid = self._nspawn.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        is_nspawn = Path(f"/proc/{pid}/comm").read_text().strip() == "systemd-nspawn"
        return int(children[0]) if children and is_nspawn else 0

    def wait_for_end(self) -> None:
        """Wait until a host that is going off is off."""
        assert self._nspawn is not None
        self._nspawn.wait(END_TIMEOUT_S)
        leader, self._leader, self._nspawn = self._leader, 0, None
        if leader:
            wait_until(lambda: _has_ended(leader), f"the processes of {self.name} to end", END_TIMEOUT_S)
        subprocess.run([*_unshare(_REMOVE_GROUP), self._group], check=True, timeout=END_TIMEOUT_S)
        if self._wiring.clearing:
            subprocess.run(self._wiring.clearing, check=True, timeout=END_TIMEOUT_S)
        wait_until(lambda: all(disk.is_free() for disk in self.disks), f"the disks of {self.name} to be let go", END_TIMEOUT_S)


def boot_all(hosts: Iterable[BootedHost]) -> None:
    """Boot hosts beside each other."""
    begun = list(hosts)
    for host in begun:
        host.switch_on()
    for host in begun:
        host.wait_for_boot()


def _unshare(script: str) -> list[str]:
    return ["unshare", "--mount", "--propagation", "slave", "bash", "-c", script, "bash"]


def _has_ended(pid: int) -> bool:
    """Tell whether the first process of a container has ended, and so all others in it; it may be left for somebody to collect."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended with its parent
