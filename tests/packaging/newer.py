"""Packages of a later version: the same files under a higher number, made without building anything."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

SUFFIX = "+later"


def make_newer(packages: Sequence[Path], folder: Path) -> list[Path]:
    """Return packages with the same content as these and a higher version, made in `folder`."""
    made = []
    for package in packages:
        tree = folder / package.stem
        subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True, timeout=60)
        control = tree / "DEBIAN" / "control"
        text = control.read_text()
        version = next(line.partition(": ")[2] for line in text.splitlines() if line.startswith("Version: "))
        control.write_text(
            text.replace(f"Version: {version}", f"Version: {version}{SUFFIX}").replace(f"(= {version})", f"(= {version}{SUFFIX})")
        )
        target = folder / package.name.replace(f"_{version}_", f"_{version}{SUFFIX}_")
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, target], check=True, timeout=60, capture_output=True)
        made.append(target)
    return made
