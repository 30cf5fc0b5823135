"""What a writer knows of its files: what each must hold, and after an operation of unknown outcome what it may hold.

The rule, byte by byte: an acknowledged write is there; of one that failed or whose mount was killed, each byte is its old or its
new value, and bytes past the old end may be zeros, until an acknowledged operation covers them. Which of the two is seen may
change: a copy that could not be repaired, because its disk is full, shows the old value when the other one's server is down.
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
    loose: dict[int, set[int]] = field(default_factory=dict)
    """Bytes that may have one of several values, by offset: left by operations that failed."""

    def explains(self, found: bytes, offset: int = 0) -> bool:
        """Tell whether bytes read from `offset` are what the page says."""
        expected = self.content[offset : offset + len(found)]
        if len(expected) != len(found):
            return False
        if found == expected:
            return True
        return all(
            value == known or value in self.loose.get(at, ())
            for at, (value, known) in enumerate(zip(found, expected, strict=True), offset)
        )


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
            if len(found) != len(page.content) or not page.explains(found):
                raise Mismatch(f"{name}: {_difference(bytes(page.content), found)}")
            return
        _check_pending(name, page, page.pending, found)
        _loosen(page, page.pending, len(found))
        page.content, page.pending = bytearray(found), None

    def check_part(self, name: str, offset: int, found: bytes, size_bytes: int) -> None:
        """Compare part of a file of which nothing is pending. Raises: Mismatch."""
        page = self.pages[name]
        expected = bytes(page.content[offset : offset + size_bytes])
        if len(found) != len(expected) or not page.explains(found, offset):
            raise Mismatch(f"{name} from {offset}: {_difference(expected, found)}")

    def wrote(self, name: str, offset: int, data: bytes) -> None:
        """Note an acknowledged write."""
        page = self.pages[name]
        content = page.content
        if len(content) < offset:
            content.extend(bytes(offset - len(content)))
        content[offset : offset + len(data)] = data
        page.loose = {at: values for at, values in page.loose.items() if not offset <= at < offset + len(data)}

    def cut(self, name: str, size_bytes: int) -> None:
        """Note an acknowledged truncate."""
        page = self.pages[name]
        content = page.content
        page.loose = {at: values for at, values in page.loose.items() if at < size_bytes}
        if len(content) > size_bytes:
            del content[size_bytes:]
        else:
            content.extend(bytes(size_bytes - len(content)))


def _loosen(page: Page, pending: Pending, size_bytes: int) -> None:
    """Note for each byte of a failed write that it may be old or new from here on."""
    for at in range(pending.offset, min(pending.offset + len(pending.data), size_bytes)):
        old = page.content[at] if at < len(page.content) else 0
        page.loose.setdefault(at, set()).update((old, pending.data[at - pending.offset]))


def _check_pending(name: str, page: Page, pending: Pending, found: bytes) -> None:
    old = page.content
    if not pending.data:
        if len(found) not in (len(old), pending.offset) or not page.explains(found[: len(old)]) or any(found[len(old) :]):
            raise Mismatch(f"{name}: neither cut at {pending.offset} nor as before, {len(found)} bytes")
        return
    end = max(len(old), pending.offset + len(pending.data))
    if not len(old) <= len(found) <= end:
        raise Mismatch(f"{name}: {len(found)} bytes, expected {len(old)} to {end}")
    before = bytes(old) + bytes(len(found) - len(old))
    after = bytearray(before)
    after[pending.offset : pending.offset + len(pending.data)] = pending.data
    for at, value in enumerate(found):
        if value not in (before[at], after[at]) and value not in page.loose.get(at, ()):
            what = f"a write of {len(pending.data)} bytes at {pending.offset} to a file of {len(old)} that ended in an error"
            raise Mismatch(f"{name}: byte {at} is {value:#04x}, not {before[at]:#04x} or {after[at]:#04x}, after {what}")


def _difference(expected: bytes, found: bytes) -> str:
    """Return in words where two contents differ first."""
    at = next((at for at, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), min(len(expected), len(found)))
    count = sum(a != b for a, b in zip(expected, found, strict=False))
    return f"expected {len(expected)} bytes, got {len(found)}; {count} differ, the first at {at}"
