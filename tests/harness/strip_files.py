"""The strip files of a data server of a test, seen from outside: where a block stands, whether it verifies, how to damage it.

Reads the format from docs/formats.md through the project's own parsers; works while the server runs.
"""

from __future__ import annotations

from pathlib import Path

from dfs.core.ids import BlockNo, Ino
from dfs.core.placement import Role
from dfs.core.records import HEADER_BYTES, Record, parse_record
from dfs.data.disk.geometry import MAP_PAGE_BYTES, Geometry, pieces
from dfs.data.disk.map_page import parse_map_page

SUFFIX = {Role.PRIMARY: "p", Role.SECONDARY: "s"}


class StripFile:
    """One strip file on disk."""

    def __init__(self, state: Path, ino: Ino, role: Role, *, servers: int, block_size: int) -> None:
        self.path = state / "strips" / f"{ino >> 12:07x}" / f"{ino:010x}.{SUFFIX[role]}"
        self._ino = ino
        self._geometry = Geometry(servers=servers, block_size=block_size)

    def offset(self, block_no: BlockNo) -> int | None:
        """Return where the record of a block stands in the file; None if its group is not there."""
        [(group, at, _)] = pieces(block_no // self._geometry.servers, 1)
        raw = self.path.read_bytes() if self.path.exists() else b""
        for slot in range(-(-len(raw) // self._geometry.group_bytes)):
            start = slot * self._geometry.group_bytes
            page = parse_map_page(raw[start : start + MAP_PAGE_BYTES])
            if page is not None and page.group == group:
                return self._geometry.record_offset(slot, at)
        return None

    def record(self, block_no: BlockNo) -> Record | None:
        """Return the block's record if it stands in place and verifies."""
        offset = self.offset(block_no)
        if offset is None:
            return None
        with self.path.open("rb") as file:
            file.seek(offset)
            raw = file.read(self._geometry.record_bytes)
        raw += bytes(self._geometry.record_bytes - len(raw))
        return parse_record(raw, self._ino, block_no, self._geometry.block_size)

    def flip(self, block_no: BlockNo, byte: int = 0) -> None:
        """Invert one byte of the block's data, not of its header."""
        offset = self.offset(block_no)
        assert offset is not None, f"{self.path} has no block {block_no}"
        with self.path.open("r+b") as file:
            file.seek(offset + HEADER_BYTES + byte)
            value = file.read(1)
            file.seek(offset + HEADER_BYTES + byte)
            file.write(bytes([value[0] ^ 0xFF]))
