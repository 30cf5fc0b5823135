"""systemd's generator for fstab lines of dfs: makes a line without _netdev safe, and keeps automounts alive.

Run by systemd at boot and at every daemon-reload, before any unit is loaded. For a line without _netdev systemd's own generator
makes a unit that belongs to the local file systems: it comes before the network, and its failure ends the boot in an emergency
shell. The same generator is run once more here with _netdev added to such lines; its units outrank the first ones. systemd also
gives an automount up for good when mounting fails five times in ten seconds, and programs then write below the mount point; it
is told not to count.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dfs.cli.generator_log import warn
from dfs.cli.mount_helper.fstab import FstabLine, dfs_lines
from dfs.cli.mount_helper.unit_names import escape_path

PROGRAM: Final = "dfs-generator"
FSTAB: Final = Path("/etc/fstab")
FSTAB_NAME: Final = "SYSTEMD_FSTAB"
"""Names another fstab, for systemd's generator as for this one."""
SYSTEMD_GENERATOR: Final = "/usr/lib/systemd/system-generators/systemd-fstab-generator"
DROP_IN: Final = "50-dfs.conf"
NO_LIMIT: Final = "# Written by dfs-generator.\n[Unit]\nStartLimitIntervalSec=0\n"


def main(argv: Sequence[str] | None = None, systemd_generator: str = SYSTEMD_GENERATOR) -> int:
    """Write what the dfs lines of fstab need into the folders that systemd names, and return the exit status."""
    folders = [Path(word) for word in (sys.argv[1:] if argv is None else argv)]
    if len(folders) not in (1, 3):
        print(f"{PROGRAM}: expected NORMAL-DIR [EARLY-DIR LATE-DIR], got {len(folders)} arguments", file=sys.stderr)
        return 2
    fstab = Path(os.environ.get(FSTAB_NAME) or FSTAB)
    try:
        lines = dfs_lines(fstab.read_bytes())
    except FileNotFoundError:
        return 0
    generate(lines, normal=folders[0], early=folders[len(folders) // 2], fstab=fstab, systemd_generator=systemd_generator)
    return 0


def generate(lines: Sequence[FstabLine], *, normal: Path, early: Path, fstab: Path, systemd_generator: str) -> None:
    """Write drop-ins for all lines, and units that outrank systemd's for those without _netdev.

    Raises: OSError; subprocess.CalledProcessError if systemd's generator fails.
    """
    for line in lines:
        folder = normal / f"{escape_path(line.point)}.mount.d"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DROP_IN).write_text(NO_LIMIT)
    unsafe = [line for line in lines if not line.is_on_network()]
    if not unsafe:
        return
    _run_again(systemd_generator, b"".join(line.on_network().text() for line in unsafe), early, fstab)
    for line in unsafe:
        _mask_local(line, early)
        warn(PROGRAM, f"{os.fsdecode(line.point)} in {fstab} has no _netdev: taking it for a network file system")


def _run_again(systemd_generator: str, text: bytes, early: Path, fstab: Path) -> None:
    """Let systemd's generator write its units for these lines into the folder that outranks the others."""
    number = os.memfd_create("fstab", 0)
    try:
        os.write(number, text)
        shown = f"/proc/self/fd/{number}"
        environment = os.environ | {FSTAB_NAME: shown}
        subprocess.run([systemd_generator, early, early, early], env=environment, pass_fds=[number], check=True)
    finally:
        os.close(number)
    for unit in early.glob("*mount"):
        if unit.is_file():
            unit.write_bytes(unit.read_bytes().replace(b"SourcePath=" + os.fsencode(shown), b"SourcePath=" + os.fsencode(fstab)))


def _mask_local(line: FstabLine, early: Path) -> None:
    """Take the mount out of the local file systems again, into which systemd's generator has put it."""
    name = escape_path(line.point)
    for kind in ("requires", "wants"):
        folder = early / f"local-fs.target.{kind}"
        folder.mkdir(parents=True, exist_ok=True)
        for suffix in ("mount", "automount"):
            link = folder / f"{name}.{suffix}"
            link.unlink(missing_ok=True)
            link.symlink_to(os.devnull)


if __name__ == "__main__":
    sys.exit(main())
