"""A disk of its own for a folder, in memory: small, so that it is soon full, or read-only. Only root can mount one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def tmpfs_on(folder: Path, options: str) -> Iterator[Path]:
    """Mount it on a folder, which is made if there is none, and take it away at the end whoever still uses it.

    Arguments: `options`: of tmpfs(5), such as size=4M or ro.
    """
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
