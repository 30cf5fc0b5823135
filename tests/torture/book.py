"""What a writer knows of its files: what each must hold, and after an operation of unknown outcome what it may hold.

The rule, byte by byte: an acknowledged write is there; of one that failed or whose mount was killed, each byte is its old or its
new value, and bytes past the old end may be zeros. Once such a file was read, what was read is what it holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Pending:
    """An operation on a file's bytes whose outcome is not known."""

    offset: int
    data: bytes
    """Empty for a truncate to `offset`."""


@dataclass(slots=True)
class Page:
    """One file."""

    content: bytearray = field(default_factory=bytearray)
    pending: Pending | None = None


class Mismatch(AssertionError):
    """A file holds what it must not: data was lost or made up."""


class Book:
    """The files of one writer by name."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.pending_names: list[tuple[str, str | None]] = []
        """Renames (from, to) and removals (name, None) of unknown outcome, at most one at a time."""

    def check(self, name: str, found: bytes) -> None:
        """Compare a whole file with what it may hold, and take what was found as what it holds. Raises: Mismatch."""
        page = self.pages[name]
        if page.pending is None:
            if found != page.content:
                raise Mismatch(f"{name}: {_difference(bytes(page.content), found)}")
            return
        _check_pending(name, page.content, page.pending, found)
        page.content, page.pending = bytearray(found), None

    def check_part(self, name: str, offset: int, found: bytes, size_bytes: int) -> None:
        """Compare part of a file of which nothing is pending. Raises: Mismatch."""
        expected = bytes(self.pages[name].content[offset : offset + size_bytes])
        if found != expected:
            raise Mismatch(f"{name} from {offset}: {_difference(expected, found)}")

    def wrote(self, name: str, offset: int, data: bytes) -> None:
        """Note an acknowledged write."""
        content = self.pages[name].content
        if len(content) < offset:
            content.extend(bytes(offset - len(content)))
        content[offset : offset + len(data)] = data

    def cut(self, name: str, size_bytes: int) -> None:
        """Note an acknowledged truncate."""
        content = self.pages[name].content
        if len(content) > size_bytes:
            del content[size_bytes:]
        else:
            content.extend(bytes(size_bytes - len(content)))


def _check_pending(name: str, old: bytearray, pending: Pending, found: bytes) -> None:
    if not pending.data:
        if found not in (bytes(old), bytes(old[: pending.offset]) + bytes(max(0, pending.offset - len(old)))):
            raise Mismatch(f"{name}: neither cut at {pending.offset} nor as before, {len(found)} bytes")
        return
    end = max(len(old), pending.offset + len(pending.data))
    if not len(old) <= len(found) <= end:
        raise Mismatch(f"{name}: {len(found)} bytes, expected {len(old)} to {end}")
    before = bytes(old) + bytes(len(found) - len(old))
    after = bytearray(before)
    after[pending.offset : pending.offset + len(pending.data)] = pending.data
    for at, value in enumerate(found):
        if value not in (before[at], after[at]):
            raise Mismatch(f"{name}: byte {at} is {value:#04x}, neither its old {before[at]:#04x} nor its new {after[at]:#04x}")


def _difference(expected: bytes, found: bytes) -> str:
    """Return in words where two contents differ first."""
    at = next((at for at, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), min(len(expected), len(found)))
    count = sum(a != b for a, b in zip(expected, found, strict=False))
    return f"expected {len(expected)} bytes, got {len(found)}; {count} differ, the first at {at}"
