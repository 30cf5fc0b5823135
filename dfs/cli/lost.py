"""`dfsctl lost` and `dfsctl accept-loss`: which files lost blocks on two neighbouring servers, and getting over it.

A block is lost if both its servers answered and neither has a good copy: reading it fails with EIO. The meta-server names the
files, the data servers are asked for the state of every block that may be concerned, and the same rule as a mount's judges
(dfs/core/choose.py), so that what is listed is what fails. Listing changes nothing. Exit status of lost: 0 nothing, 1 something;
both: 5 a server does not answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final, NamedTuple

from dfs.core.block_messages import AcceptLoss, Blocks, Get, Identify, Identity, Run, unpack_copies
from dfs.core.choose import Verdict, choose
from dfs.core.cluster_messages import RoleState
from dfs.core.errors import DfsError
from dfs.core.ids import NUMBER_MAX, BlockNo, Ino, ServerIndex, Ticket
from dfs.core.interfaces import CallContext, DataServers, MetaApi
from dfs.core.meta_messages import ListFiles, NamedFile, ShowMeta
from dfs.core.placement import Role, twin_of

FILES_AT_ONCE: Final = 1000
BLOCKS_AT_ONCE: Final = 8192
ANY_CUT: Final = Ticket(NUMBER_MAX)
"""Never refused as stale: a file that is truncated while the list is made may be listed as it was."""


class LostFile(NamedTuple):
    """A file with lost blocks."""

    path: str
    ino: Ino
    blocks: int
    """How many are lost."""
    first: BlockNo


def find_lost(ctx: CallContext, meta: MetaApi, servers: DataServers, *, everywhere: bool) -> Iterator[LostFile]:
    """Return the files with lost blocks, as they are found.

    Arguments: `everywhere`: look at all blocks, not only at those of two neighbours that are both not complete.
    Raises: the error of the first server that does not answer.
    """
    identities = _identify(ctx, meta, servers)
    doubtful = [server for server in identities if everywhere or _is_doubtful(identities, server)]
    if not doubtful:
        return
    folder, name, more = Ino(0), b"", True
    while more:
        page = meta.call(ctx, ListFiles(folder, name, FILES_AT_ONCE))
        folder, name, more = page.next_folder, page.next_name, page.more
        for file in page.files:
            lost = sorted(block for server in doubtful for block in _lost_blocks(ctx, servers, file, server))
            if lost:
                yield LostFile(file.path.decode("utf-8", "backslashreplace"), file.ino, len(lost), lost[0])


def accept_loss(ctx: CallContext, meta: MetaApi, servers: DataServers) -> dict[ServerIndex, Identity]:
    """Have all servers count their lost roles as complete; return who they are now.

    Raises: the error of the first server that does not answer, when all that do have accepted.
    """
    return _answers(servers.call_all(ctx, {server: AcceptLoss() for server in _identify(ctx, meta, servers)}))


def to_text(file: LostFile) -> str:
    """Return a lost file for people."""
    return f"{file.path}: inode {file.ino}, {file.blocks} lost blocks, the first is {file.first}"


def to_json(files: list[LostFile]) -> str:
    """Return the list for programs."""
    return json.dumps([{"path": f.path, "ino": f.ino, "lost_blocks": f.blocks, "first_block": f.first} for f in files], indent=2)


def _identify(ctx: CallContext, meta: MetaApi, servers: DataServers) -> dict[ServerIndex, Identity]:
    told = meta.call(ctx, ShowMeta())
    servers.set_addresses({at.server: at.address for at in told.data_servers}, told.shape.cluster)
    return _answers(servers.call_all(ctx, {at.server: Identify() for at in sorted(told.data_servers)}))


def _answers(answers: dict[ServerIndex, Identity | DfsError]) -> dict[ServerIndex, Identity]:
    found = {}
    for server, answer in answers.items():
        if isinstance(answer, DfsError):
            raise answer
        found[server] = answer
    return found


def _is_doubtful(identities: dict[ServerIndex, Identity], server: ServerIndex) -> bool:
    """Tell whether neither copy of the blocks that a server holds as primary is on a complete server."""
    twin, _ = twin_of(server, Role.PRIMARY, len(identities))
    return RoleState.COMPLETE not in (identities[server].primary, identities[twin].secondary)


def _lost_blocks(ctx: CallContext, servers: DataServers, file: NamedFile, server: ServerIndex) -> Iterator[BlockNo]:
    """Return the lost ones among a file's blocks whose primary copy belongs to a server."""
    layout, step = file.content.layout, file.content.layout.servers
    twin, twin_role = twin_of(server, Role.PRIMARY, step)
    last = layout.block_of(file.content.size_bytes - 1)
    for first in range(layout.first_block_on(server, Role.PRIMARY), last + 1, BLOCKS_AT_ONCE * step):
        count = min(BLOCKS_AT_ONCE, (last - first) // step + 1)
        copies = {}
        calls = {
            each: Get(file.ino, ANY_CUT, file.content.cuts, (), (Run(role, BlockNo(first), count),))
            for each, role in ((server, Role.PRIMARY), (twin, twin_role))
        }
        for each, answer in servers.call_all(ctx, calls).items():
            if isinstance(answer, DfsError):
                raise answer
            assert isinstance(answer, Blocks)
            copies[each] = unpack_copies(answer.copies)
        for at, (primary, secondary) in enumerate(zip(copies[server], copies[twin], strict=True)):
            if choose(primary, secondary).verdict is Verdict.LOST:
                yield BlockNo(first + at * step)
