"""Where measuring is done: namespaces of mounts, processes and network of their own. Needs root.

Nothing can be left: when the first process inside ends, or the one that started it, the kernel kills all others and takes their
mounts down. The peers keep their ports, their state folders with fixed names, and their daemons, without this machine seeing
any of them. And a mount that is taken off the tree really ends: whoever makes a mount namespace copies all mounts that there are
and so keeps them alive, those of others, too. Here no others' are kept, and nobody copies ours.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from dfs.fusefs.mount_point import list_mounts

ADDRESS: Final = "10.99.0.1"
"""Of the inside's loopback interface: both peers refuse 127.0.0.1 as a server's address."""
INSIDE: Final = (
    "setpriv", "--pdeathsig", "KILL",
    "unshare", "--mount", "--pid", "--net", "--fork", "--kill-child=KILL", "--mount-proc", "--propagation", "private",
)  # fmt: skip
FIRST_PID: Final = 1
"""Of what run_inside() starts, as that sees itself."""
END_TIMEOUT_S: Final = 20.0


def why_impossible() -> str:
    """Return in words why there can be no inside on this machine, nothing if there can."""
    if os.geteuid() != 0:
        return f"expected root, for namespaces and packages, got user number {os.geteuid()}"
    lacking = [name for name in ("setpriv", "unshare", "ip", "mount") if shutil.which(name) is None]
    if lacking:
        return f"no {', '.join(lacking)} on this machine"
    tried = subprocess.run([*INSIDE, "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"no namespaces on this machine: {tried.stderr.strip()}"


def run_module_inside(module: str, argv: Sequence[str], parent: Path | None) -> int:
    """Run a module of ours inside with its arguments and `--inside FOLDER`, a temporary folder below `parent`."""
    with tempfile.TemporaryDirectory(prefix="dfs-bench-", dir=parent) as folder:
        return run_inside([sys.executable, "-m", module, *argv, "--inside", folder])


def run_inside(command: Sequence[str]) -> int:
    """Run a command inside and return its exit status; it and all that it started are gone afterwards, also after a signal."""
    process = subprocess.Popen([*INSIDE, *command], stdin=subprocess.DEVNULL)
    with _ending_on_sigterm():
        try:
            return process.wait()
        finally:
            # At Ctrl-C the terminal told those inside, too: they end by themselves, and tell what they measured so far.
            with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                process.wait(END_TIMEOUT_S)
            process.kill()
            process.wait()


@contextlib.contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def furnish(folder: Path) -> None:
    """Prepare the inside, from within: a network, no mounts of others, and folders of programs with fixed names in `folder`.

    SIGTERM then ends the calling program as Ctrl-C does, so that it stops in order what it started. Raises: SystemExit outside,
    where it would take the machine's own mounts away.
    """
    if os.getpid() != FIRST_PID:
        raise SystemExit(f"expected --inside in namespaces of our own, as process {FIRST_PID}, got process {os.getpid()}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for mounted in reversed(list_mounts()):
        if mounted.type.startswith(b"fuse."):
            run("umount", "--lazy", os.fsdecode(mounted.point))
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
    run("mount", "-t", "tmpfs", "none", "/run")
    for name in ("/var/lib/glusterd", "/var/log/glusterfs"):
        if Path(name).is_dir():
            own = folder / f"own-{Path(name).name}"
            own.mkdir()
            run("mount", "--bind", own, name)


def run(*command: object) -> str:
    """Run a program that ends by itself, and return what it printed. Raises: AssertionError that says what it complained of."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False, timeout=60
    )
    assert done.returncode == 0, f"{' '.join(words)}: status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
    return done.stdout
