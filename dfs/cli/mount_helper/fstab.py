"""The lines of fstab that mount dfs, and what must be added to them (pure).

Called by dfs/cli/mount_helper/generator.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

TYPES: Final = (b"dfs", b"fuse.dfs")
NETWORK: Final = b"_netdev"
_ESCAPE: Final = re.compile(rb"\\([0-7]{3})")
_FIELDS_MIN: Final = 3


class FstabLine(NamedTuple):
    """One mount, its fields as they are written."""

    fields: tuple[bytes, ...]

    @property
    def point(self) -> bytes:
        """Where it is mounted; blanks and the like stand in fstab as octal numbers."""
        return _ESCAPE.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), self.fields[1])

    @property
    def options(self) -> Sequence[bytes]:
        """Its options."""
        return self.fields[3].split(b",") if len(self.fields) > _FIELDS_MIN else [b"defaults"]

    def is_on_network(self) -> bool:
        """Tell whether systemd is told that it needs the network: it knows some types by name, and dfs is none of them."""
        return NETWORK in self.options

    def on_network(self) -> FstabLine:
        """Return the line with what tells systemd so."""
        options = b",".join([*self.options, NETWORK])
        return FstabLine((*self.fields[:_FIELDS_MIN], options, *self.fields[_FIELDS_MIN + 1 :]))

    def text(self) -> bytes:
        """Return the line as it stands in fstab."""
        return b" ".join(self.fields) + b"\n"


def dfs_lines(fstab: bytes) -> list[FstabLine]:
    """Return the lines of a fstab that mount dfs."""
    lines = (FstabLine(tuple(line.split())) for line in fstab.split(b"\n") if not line.lstrip().startswith(b"#"))
    return [line for line in lines if len(line.fields) >= _FIELDS_MIN and line.fields[2] in TYPES and line.point.startswith(b"/")]
