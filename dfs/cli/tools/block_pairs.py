"""All files, and what the two servers of each of their blocks say of it: what the tools that look for damage have in common.

Every server verifies its copies on its own disk and sends no data. Changes nothing. Called by dfs/cli/tools/lost.py and fsck.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from dfs.core.errors import DfsError
from dfs.core.ids import NUMBER_MAX, BlockNo, Ino, ServerIndex, Ticket
from dfs.core.interfaces import CallContext, DataServers, MetaApi
from dfs.core.messages.blocks import Blocks, Copy, Get, Run, unpack_copies
from dfs.core.messages.data_server import Identify, Identity
from dfs.core.messages.inodes import Content
from dfs.core.messages.inspection import ListFiles, NamedFile, ShowMeta
from dfs.core.placement import Role, twin_of

FILES_AT_ONCE: Final = 1000
BLOCKS_AT_ONCE: Final = 8192
ANY_CUT: Final = Ticket(NUMBER_MAX)
"""Never refused as stale: a file that is truncated while the list is made may be listed as it was."""


class Pair(NamedTuple):
    """The two copies of a block as their servers told them."""

    block_no: BlockNo
    primary: Copy
    secondary: Copy


def identify(ctx: CallContext, meta: MetaApi, servers: DataServers) -> dict[ServerIndex, Identity]:
    """Learn where the data servers are and return who they are. Raises: the error of the first that does not answer."""
    told = meta.call(ctx, ShowMeta())
    servers.set_addresses({at.server: at.address for at in told.data_servers}, told.shape.cluster)
    return require_answers(servers.call_all(ctx, {at.server: Identify() for at in sorted(told.data_servers)}))


def require_answers(answers: dict[ServerIndex, Identity | DfsError]) -> dict[ServerIndex, Identity]:
    """Return the answers. Raises: the error of the first server that gave none."""
    found = {}
    for server, answer in answers.items():
        if isinstance(answer, DfsError):
            raise answer
        found[server] = answer
    return found


def all_files(ctx: CallContext, meta: MetaApi) -> Iterator[NamedFile]:
    """Return all names of regular files with content, page by page."""
    folder, name, more = Ino(0), b"", True
    while more:
        page = meta.call(ctx, ListFiles(folder, name, FILES_AT_ONCE))
        folder, name, more = page.next_folder, page.next_name, page.more
        yield from page.files


def pairs_of(ctx: CallContext, servers: DataServers, ino: Ino, content: Content, server: ServerIndex) -> Iterator[Pair]:
    """Return the copies of a file's blocks whose primary copy belongs to a server. Raises: the error of a server."""
    layout, step = content.layout, content.layout.servers
    twin, twin_role = twin_of(server, Role.PRIMARY, step)
    last = layout.block_of(content.size_bytes - 1)
    for first in range(layout.first_block_on(server, Role.PRIMARY), last + 1, BLOCKS_AT_ONCE * step):
        count = min(BLOCKS_AT_ONCE, (last - first) // step + 1)
        copies = {}
        calls = {
            each: Get(ino, ANY_CUT, content.cuts, (), (Run(role, BlockNo(first), count),))
            for each, role in ((server, Role.PRIMARY), (twin, twin_role))
        }
        for each, answer in servers.call_all(ctx, calls).items():
            if isinstance(answer, DfsError):
                raise answer
            assert isinstance(answer, Blocks)
            copies[each] = unpack_copies(answer.copies)
        for at, (primary, secondary) in enumerate(zip(copies[server], copies[twin], strict=True)):
            yield Pair(BlockNo(first + at * step), primary, secondary)
