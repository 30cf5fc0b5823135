"""`dfsctl fsck`: the meta-server's tables, and what it knows compared with what the data servers hold.

Works while the cluster serves: what is found is looked at again a moment later, with what the meta-server says by then, and only
what is still exactly so is damage; a block in the middle of a write is not. Files that were unlinked and are still open are not
checked. Without --repair nothing is changed. With it, bad copies are replaced by reading the block as a mount does (dfs/client/
reader.py), which keeps what it replaces in quarantine; nothing is ever removed. Raises the error of a server that does not answer:
a check of half the copies would prove nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final

from dfs.cli.tools.block_pairs import all_files, identify, pairs_of
from dfs.cli.tools.damage import Finding, Kind, by_kind, judge, result_of, summary
from dfs.client.blocks.file_view import FileView
from dfs.client.blocks.reader import Reader
from dfs.core.contexts import GuardedContext
from dfs.core.errors import EndReason, Interrupted, NoGoodCopy, NotFound, StaleFile, StaleTicket
from dfs.core.ids import BlockNo, Ino, ServerIndex
from dfs.core.interfaces import CallContext, Clock, DataServers, MetaApi
from dfs.core.limits import BATCH_INODES_MAX
from dfs.core.messages.blocks import Copy, ListInodes
from dfs.core.messages.inodes import Attributes, Content
from dfs.core.messages.inspection import CheckTables, FindStrays, NamedFile
from dfs.core.messages.names import Lookup

SECOND_LOOK_S: Final = 0.3
"""Time for a write under way to reach its second server."""
CHECK_TIMEOUT_S: Final = 600.0
"""How long the meta-server may take to look through its tables."""
SPAN_BLOCKS: Final = 256
"""Damaged blocks so close together are repaired by one read."""
REPAIR_S_MAX: Final = 30.0
"""How long the repair of one span may wait for a server."""

Copies = tuple[Copy, Copy]
Damage = dict[BlockNo, tuple[Kind, Copies]]


class Fsck:
    """One check of a whole cluster."""

    def __init__(
        self, meta: MetaApi, servers: DataServers, clock: Clock, reader: Reader | None, progress: Callable[[str], None]
    ) -> None:
        """Arguments: `reader`: repairs what it reads; None: change nothing. `progress`: told now and then how far it is."""
        self._meta = meta
        self._servers = servers
        self._clock = clock
        self._reader = reader
        self._progress = progress
        self.files = 0
        self.blocks = 0

    def run(self, ctx: CallContext) -> Iterator[Finding]:
        """Return what is wrong, as it is found."""
        indexes = sorted(identify(ctx, self._meta, self._servers))
        self._progress("the meta-server's tables")
        for sentence in self._meta.call(ctx, CheckTables()):
            yield Finding(Kind.META, sentence)
        seen: set[Ino] = set()
        for file in all_files(ctx, self._meta):
            if file.ino not in seen:  # not once more under its next name
                seen.add(file.ino)
                yield from self._check_file(ctx, file)
                self._progress(f"{self.files} files, {self.blocks} blocks")
        for server in indexes:
            yield from self._check_inventory(ctx, server)

    # --- files -----------------------------------------------------------------------------------------------------------

    def _check_file(self, ctx: CallContext, file: NamedFile) -> Iterator[Finding]:
        self.files += 1
        size_bytes, layout = file.content.size_bytes, file.content.layout
        self.blocks += -(-size_bytes // layout.block_size)
        found = self._look(ctx, file.ino, file.content, has_holes=False)
        if any(kind is Kind.GONE for kind, _ in found.values()) and self._has_holes(ctx, file.ino):
            found = {block_no: what for block_no, what in found.items() if what[0] is not Kind.GONE}
        if not found:
            return
        before = self._confirm(ctx, file.ino, found)
        if not before:
            return
        after = before
        if self._reader is not None:
            self._repair(ctx, self._reader, file, sorted(before))
            after = self._still(ctx, file.ino, before)
        path = file.path.decode("utf-8", "backslashreplace")
        yield from by_kind(path, file.ino, _kinds(before), _kinds(after))

    def _look(self, ctx: CallContext, ino: Ino, content: Content, *, has_holes: bool) -> Damage:
        """Return what seems wrong with a file's blocks at this moment."""
        found: Damage = {}
        for server in range(content.layout.servers):
            for block_no, primary, secondary in pairs_of(ctx, self._servers, ino, content, ServerIndex(server)):
                kind = judge(primary, secondary, has_holes=has_holes)
                if kind is not None:
                    found[block_no] = kind, (primary, secondary)
        return found

    def _has_holes(self, ctx: CallContext, ino: Ino) -> bool:
        """Tell whether blocks of a file may never have been written; asked only where both copies say so."""
        file = self._find(ctx, ino)
        return file is None or file.is_sparse

    def _confirm(self, ctx: CallContext, ino: Ino, found: Damage) -> Damage:
        """Return what of it is still exactly so after a moment, as the meta-server knows the file by then."""
        self._clock.sleep(SECOND_LOOK_S)
        again = self._look_now(ctx, ino)
        return {block_no: what for block_no, what in again.items() if found.get(block_no) == what}

    def _still(self, ctx: CallContext, ino: Ino, before: Damage) -> Damage:
        """Return what is left after a repair."""
        return {block_no: what for block_no, what in self._look_now(ctx, ino).items() if block_no in before}

    def _look_now(self, ctx: CallContext, ino: Ino) -> Damage:
        file = self._find(ctx, ino)
        if file is None or not file.content.size_bytes:
            return {}
        return self._look(ctx, ino, file.content, has_holes=file.is_sparse)

    def _find(self, ctx: CallContext, ino: Ino) -> Attributes | None:
        """Return a file as it is now; None if it is no more."""
        try:
            return self._meta.call(ctx, Lookup(ino, b""))
        except (NotFound, StaleFile):
            return None

    # --- repair ----------------------------------------------------------------------------------------------------------

    def _repair(self, ctx: CallContext, reader: Reader, file: NamedFile, blocks: list[BlockNo]) -> None:
        """Read damaged blocks, which repairs what can be; whether it did is seen afterwards."""
        for span in _spans(blocks):
            if not self._read(ctx, reader, file, span[0], span[-1]) and len(span) > 1:
                for block_no in span:  # one without a good copy must not keep the others from being repaired
                    self._read(ctx, reader, file, block_no, block_no)

    def _read(self, ctx: CallContext, reader: Reader, file: NamedFile, first: BlockNo, last: BlockNo) -> bool:
        """Read blocks first .. last; tell whether all could be read."""
        now = self._find(ctx, file.ino)
        if now is None:
            return True
        ends_s = self._clock.monotonic_s() + REPAIR_S_MAX
        bounded = GuardedContext(ctx, lambda: self._clock.monotonic_s() > ends_s, EndReason.DEADLINE)
        block_size = now.content.layout.block_size
        view = FileView(file.ino, file.path, now.content)
        try:
            reader.read(bounded, view, (last - first + 1) * block_size, first * block_size)
        except (NoGoodCopy, StaleTicket, Interrupted):
            return False
        return True

    # --- strips that nobody knows ------------------------------------------------------------------------------------------

    def _check_inventory(self, ctx: CallContext, server: ServerIndex) -> Iterator[Finding]:
        """Return the inodes on a server that the meta-server does not know, but for those in quarantine."""
        after, more = Ino(0), True
        while more:
            page = self._servers.call(ctx, server, ListInodes(after, BATCH_INODES_MAX))
            if not page.inos:
                return
            after, more = page.inos[-1], page.more
            self._progress(f"server {server}: inodes up to {after}")
            strays = self._meta.call(ctx, FindStrays(page.inos, False))
            if not strays:
                continue
            self._clock.sleep(SECOND_LOOK_S)
            there = tuple(ino for ino in strays if self._has_strips(ctx, server, ino))  # else it was removed just now
            left = self._meta.call(ctx, FindStrays(there, self._reader is not None))
            for ino in there:
                yield Finding(Kind.EXTRA, "", ino, is_repaired=ino not in left)

    def _has_strips(self, ctx: CallContext, server: ServerIndex, ino: Ino) -> bool:
        return self._servers.call(ctx, server, ListInodes(Ino(ino - 1), 1)).inos == (ino,)


def to_json(findings: list[Finding], checked: Fsck) -> str:
    """Return the whole result for programs; names and order of its members are stable."""
    result = result_of(findings)
    members = {
        "result": result.name.lower(),
        "files": checked.files,
        "blocks": checked.blocks,
        "findings": [finding.members() for finding in findings],
    }
    return json.dumps(members, indent=2)


def last_line(findings: list[Finding], checked: Fsck) -> str:
    """Return the summary for people."""
    return summary(findings, checked.files, checked.blocks)


def _kinds(damage: Damage) -> dict[BlockNo, Kind]:
    return {block_no: kind for block_no, (kind, _) in damage.items()}


def _spans(blocks: list[BlockNo]) -> Iterator[list[BlockNo]]:
    """Cut rising block numbers into groups that SPAN_BLOCKS blocks hold."""
    span: list[BlockNo] = []
    for block_no in blocks:
        if span and block_no - span[0] >= SPAN_BLOCKS:
            yield span
            span = []
        span.append(block_no)
    if span:
        yield span
