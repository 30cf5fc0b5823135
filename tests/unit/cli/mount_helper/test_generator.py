"""Goal: no fstab line of dfs can end a boot in an emergency shell or let an automount go. Method: fstab texts, given to the
generator beside a stand-in for systemd's own that does with its fstab what the real one does with a network file system.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dfs.cli.mount_helper import generator

ROOT = Path(__file__).resolve().parents[4]
STAND_IN = """#!/bin/sh
cat "$SYSTEMD_FSTAB" > {seen}
mkdir -p "$2/remote-fs.target.requires"
printf '[Unit]\\nSourcePath=%s\\nBefore=remote-fs.target\\n' "$SYSTEMD_FSTAB" > "$2/mnt-a\\x2db.mount"
ln -s '../mnt-a\\x2db.mount' "$2/remote-fs.target.requires"
"""


class Run:
    """One run of the generator."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fstab, self.seen = folder / "fstab", folder / "seen"
        self.normal, self.early, self.late = (folder / name for name in ("normal", "early", "late"))
        for made in (self.normal, self.early, self.late):
            made.mkdir()
        self.stand_in = folder / "systemd-fstab-generator"
        self.stand_in.write_text(STAND_IN.format(seen=self.seen))
        self.stand_in.chmod(0o755)
        monkeypatch.setenv("SYSTEMD_FSTAB", str(self.fstab))
        self.warnings: list[str] = []
        monkeypatch.setattr(generator, "warn", lambda program, text: self.warnings.append(text))

    def on(self, *lines: str) -> None:
        """Run on an fstab of these lines."""
        self.fstab.write_text("".join(f"{line}\n" for line in lines))
        assert generator.main([str(self.normal), str(self.early), str(self.late)], str(self.stand_in)) == 0


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a generator with folders of its own."""
    return Run(tmp_path, monkeypatch)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file()}


def test_line_with_netdev_gets_a_drop_in_against_the_limit_and_nothing_else(run: Run) -> None:
    run.on("meta1:9000 /mnt/a-b dfs _netdev,nofail,x-systemd.automount 0 0")
    assert files(run.normal) == {r"mnt-a\x2db.mount.d/50-dfs.conf"}
    assert "[Unit]\nStartLimitIntervalSec=0\n" in (run.normal / r"mnt-a\x2db.mount.d/50-dfs.conf").read_text()
    assert files(run.early) == files(run.late) == set()
    assert run.warnings == []


def test_line_without_netdev_is_made_again_as_one_of_the_network_and_taken_from_the_local_ones(run: Run) -> None:
    run.on("UUID=1 / ext4 defaults 0 1", "meta1:9000 /mnt/a-b dfs defaults 0 0", "meta1:9000 /mnt/c dfs _netdev 0 0")
    assert run.seen.read_text() == "meta1:9000 /mnt/a-b dfs defaults,_netdev 0 0\n"
    assert files(run.normal) == {r"mnt-a\x2db.mount.d/50-dfs.conf", "mnt-c.mount.d/50-dfs.conf"}
    masks = {f"local-fs.target.{kind}/mnt-a\\x2db.{suffix}" for kind in ("requires", "wants") for suffix in ("mount", "automount")}
    assert files(run.early) == masks | {r"mnt-a\x2db.mount", r"remote-fs.target.requires/mnt-a\x2db.mount"}
    assert all(os.readlink(run.early / mask) == "/dev/null" for mask in masks)
    assert (run.early / r"mnt-a\x2db.mount").read_text() == f"[Unit]\nSourcePath={run.fstab}\nBefore=remote-fs.target\n"
    assert run.warnings == [f"/mnt/a-b in {run.fstab} has no _netdev: taking it for a network file system"]


def test_fstab_without_dfs_or_no_fstab_at_all_makes_nothing(run: Run) -> None:
    run.on("UUID=1 / ext4 defaults 0 1")
    run.fstab.unlink()
    assert generator.main([str(run.normal), str(run.early), str(run.late)], str(run.stand_in)) == 0
    assert files(run.normal) == files(run.early) == set()


def test_generator_of_systemd_that_fails_is_no_success(run: Run) -> None:
    run.stand_in.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(subprocess.CalledProcessError):
        run.on("meta1:9000 /mnt/a-b dfs defaults 0 0")


def test_shipped_program_runs_the_generator(run: Run) -> None:
    run.fstab.write_text("meta1:9000 /mnt/a-b dfs _netdev 0 0\n")
    script = ROOT / "packaging" / "systemd" / "dfs-generator"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, script, run.normal, run.early, run.late], env=environment, check=True)
    assert files(run.normal) == {r"mnt-a\x2db.mount.d/50-dfs.conf"}
