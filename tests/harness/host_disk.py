"""A disk of a booted host: an image with an ext4 file system, mounted while the host is on, which can lose what was not synced.

Given to tests/harness/booted_host.py, which mounts it. Needs root, loop devices and mkfs.ext4.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from pathlib import Path
from typing import Final

SHUT_DOWN: Final = 0x8004587D
"""EXT4_IOC_SHUTDOWN: from now on nothing reaches the disk, as in a power cut."""
WITHOUT_JOURNAL: Final = 2
"""Its flag for not even writing the journal out first."""
SIZE_BYTES: Final = 64 << 20


class HostDisk:
    """One disk. It has an empty file system at first."""

    def __init__(self, image: Path, point: str, size_bytes: int = SIZE_BYTES) -> None:
        """`image`: a file that is made; `point`: where the host has it mounted."""
        self.image = image
        self.point = point
        self._size_bytes = size_bytes
        self.wipe()

    def wipe(self) -> None:
        """Put a new, empty disk in its place; the host must be off."""
        self.image.unlink(missing_ok=True)
        with self.image.open("wb") as file:
            file.truncate(self._size_bytes)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True, capture_output=True)

    def lose_unsynced(self, root: Path) -> None:
        """Let nothing reach the disk any more; what was not synced is lost when the power is cut, which must follow.

        Arguments: the root folder of the host, which is on.
        """
        folder = os.open(root / self.point.lstrip("/"), os.O_RDONLY)
        try:
            fcntl.ioctl(folder, SHUT_DOWN, struct.pack("I", WITHOUT_JOURNAL))
        finally:
            os.close(folder)

    def is_free(self) -> bool:
        """Tell whether the kernel has let go of the image."""
        users = (path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file"))
        return str(self.image) not in users
