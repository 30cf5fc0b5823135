"""`dfsctl lost` and `dfsctl accept-loss`: which files lost blocks on two neighbouring servers, and getting over it.

A block is lost if both its servers answered and neither has a good copy: reading it fails with EIO. The meta-server names the
files, the data servers are asked for the state of every block that may be concerned, and the same rule as a mount's judges
(dfs/core/choose.py), so that what is listed is what fails. Listing changes nothing. Exit status of lost: 0 nothing, 1 something;
both: 5 a server does not answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from dfs.cli.tools.block_pairs import all_files, identify, pairs_of, require_answers
from dfs.core.choose import Verdict, choose
from dfs.core.ids import BlockNo, Ino, ServerIndex
from dfs.core.interfaces import CallContext, DataServers, MetaApi
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.data_server import Identity
from dfs.core.messages.inspection import NamedFile
from dfs.core.messages.rebuild import AcceptLoss
from dfs.core.placement import Role, twin_of


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
    identities = identify(ctx, meta, servers)
    doubtful = [server for server in identities if everywhere or _is_doubtful(identities, server)]
    if not doubtful:
        return
    for file in all_files(ctx, meta):
        lost = sorted(block for server in doubtful for block in _lost_blocks(ctx, servers, file, server))
        if lost:
            yield LostFile(file.path.decode("utf-8", "backslashreplace"), file.ino, len(lost), lost[0])


def accept_loss(ctx: CallContext, meta: MetaApi, servers: DataServers) -> dict[ServerIndex, Identity]:
    """Have all servers count their lost roles as complete; return who they are now.

    Raises: the error of the first server that does not answer, when all that do have accepted.
    """
    return require_answers(servers.call_all(ctx, {server: AcceptLoss() for server in identify(ctx, meta, servers)}))


def to_text(file: LostFile) -> str:
    """Return a lost file for people."""
    return f"{file.path}: inode {file.ino}, {file.blocks} lost blocks, the first is {file.first}"


def to_json(files: list[LostFile]) -> str:
    """Return the list for programs."""
    return json.dumps([{"path": f.path, "ino": f.ino, "lost_blocks": f.blocks, "first_block": f.first} for f in files], indent=2)


def _is_doubtful(identities: dict[ServerIndex, Identity], server: ServerIndex) -> bool:
    """Tell whether neither copy of the blocks that a server holds as primary is on a complete server."""
    twin, _ = twin_of(server, Role.PRIMARY, len(identities))
    return RoleState.COMPLETE not in (identities[server].primary, identities[twin].secondary)


def _lost_blocks(ctx: CallContext, servers: DataServers, file: NamedFile, server: ServerIndex) -> Iterator[BlockNo]:
    """Return the lost ones among a file's blocks whose primary copy belongs to a server."""
    for pair in pairs_of(ctx, servers, file.ino, file.content, server):
        if choose(pair.primary, pair.secondary).verdict is Verdict.LOST:
            yield pair.block_no
