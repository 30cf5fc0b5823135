"""What `dfsctl fsck` calls damage: one block's two copies judged, and findings as people and programs see them. Pure.

| kind    | the copies of a block below the size                                               | --repair                  |
|---------|------------------------------------------------------------------------------------|---------------------------|
| corrupt | one verifies, the other does not                                                   | replaced by the good one  |
| stale   | both verify, one at an older generation                                            | replaced by the newer one |
| missing | one verifies, the other server has none, or can't tell (it is rebuilding)          | replaced by the good one  |
| differs | both verify at the same generation with other bytes: nobody knows which is right   | -                         |
| lost    | neither verifies: reading fails with EIO                                           | -                         |
| gone    | both servers say "never written", though the file has no holes: it reads as zeros  | -                         |

Blocks that both servers call absent in a file that may have holes are holes: nothing tells them from blocks that are gone. `extra`:
strips of an inode that the meta-server does not know; --repair puts it into quarantine, from which it is removed after 7 days.
`meta`: the meta-server's own tables contradict each other; nothing repairs that.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dfs.core.choose import Verdict, choose
from dfs.core.ids import BlockNo, Ino
from dfs.core.messages.blocks import Copy, CopyState


class Kind(enum.StrEnum):
    """What is wrong."""

    CORRUPT = "corrupt"
    STALE = "stale"
    MISSING = "missing"
    DIFFERS = "differs"
    LOST = "lost"
    GONE = "gone"
    EXTRA = "extra"
    META = "meta"


class Result(enum.IntEnum):
    """The outcome, which is also the exit status."""

    CLEAN = 0
    REPAIRED = 1
    DAMAGE_LEFT = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong: blocks of a file in one way, an inode that nobody knows, or a sentence on meta's tables."""

    kind: Kind
    path: str
    """Of the file; for Kind.META what is wrong."""
    ino: int = 0
    blocks: int = 0
    first: int = 0
    is_repaired: bool = False

    def text(self) -> str:
        """Return the line for people."""
        if self.kind is Kind.META:
            return f"meta-server: {self.path}"
        outcome = "quarantined" if self.kind is Kind.EXTRA else "repaired"
        ending = f": {outcome}" if self.is_repaired else ""
        if self.kind is Kind.EXTRA:
            return f"inode {self.ino}: extra, data servers hold strips of it and the meta-server does not know it{ending}"
        return f"{self.path}: inode {self.ino}, {self.blocks} blocks {self.kind}, the first is {self.first}{ending}"

    def members(self) -> dict[str, Any]:
        """Return the JSON object; names and order of its members are stable."""
        return {
            "kind": str(self.kind),
            "path": self.path,
            "ino": self.ino,
            "blocks": self.blocks,
            "first_block": self.first,
            "repaired": self.is_repaired,
        }


def judge(primary: Copy, secondary: Copy, *, has_holes: bool) -> Kind | None:
    """Return what is wrong with a block below the size, None if nothing is."""
    choice = choose(primary, secondary)
    if choice.verdict is Verdict.LOST:
        return Kind.LOST
    if choice.verdict is Verdict.HOLE:
        return None if has_holes else Kind.GONE
    if choice.differ:
        return Kind.DIFFERS
    if choice.repair is None:
        return None
    states = {primary.state, secondary.state}
    if CopyState.CORRUPT in states:
        return Kind.CORRUPT
    return Kind.STALE if states == {CopyState.PRESENT} else Kind.MISSING


def by_kind(path: str, ino: Ino, before: dict[BlockNo, Kind], after: dict[BlockNo, Kind]) -> list[Finding]:
    """Return a file's findings, those repaired and those left apart.

    Arguments: what was wrong with which block, and what still is.
    """
    groups: dict[tuple[Kind, bool], list[BlockNo]] = {}
    for block_no, kind in sorted(before.items()):
        groups.setdefault((kind, block_no not in after), []).append(block_no)
    return [Finding(kind, path, ino, len(found), found[0], is_repaired) for (kind, is_repaired), found in groups.items()]


def result_of(findings: Iterable[Finding]) -> Result:
    """Return the outcome of a whole check."""
    states = {finding.is_repaired for finding in findings}
    if False in states:
        return Result.DAMAGE_LEFT
    return Result.REPAIRED if states else Result.CLEAN


def summary(findings: Sequence[Finding], files: int, blocks: int) -> str:
    """Return the last line for people."""
    words = ("clean", "everything found was repaired", "damage is left")[result_of(findings)]
    return f"{files} files, {blocks} blocks checked: {words}"
