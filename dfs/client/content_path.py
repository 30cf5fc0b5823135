"""The way of bytes between programs and blocks, put together: open files, writing at once or later, reading ahead, locks.

Stands on metadata/meta_path.py and blocks/block_path.py, the ways to the servers. Called by filesystem.py.
"""

from __future__ import annotations

from typing import NamedTuple

from dfs.client.allocation import Allocation
from dfs.client.blocks.block_path import BlockPath
from dfs.client.blocks.read_ahead import ReadAhead
from dfs.client.files import Files
from dfs.client.locks import Locks
from dfs.client.metadata.meta_path import MetaPath
from dfs.client.settings import WriteBackSettings
from dfs.client.write_back.service import WriteBack
from dfs.client.write_back.storing import Storing
from dfs.client.writer import Writer
from dfs.core.interfaces import Clock, EventSink, Tasks


class ContentPath(NamedTuple):
    """The parts that system calls and the mount's own tasks use."""

    reading: ReadAhead
    back: WriteBack
    files: Files
    allocation: Allocation
    locks: Locks


def make_content_path(
    *,
    meta: MetaPath,
    blocks: BlockPath,
    write_back: WriteBackSettings | None,
    clock: Clock,
    tasks: Tasks,
    events: EventSink,
) -> ContentPath:
    """Return the parts, and have attributes show what waits to be stored. `write_back`: None if nothing ever waits."""
    link, cache, inodes, grants, calls = meta.link, meta.cache, meta.inodes, meta.grants, meta.calls
    handles, lease, turns = meta.handles, meta.lease, meta.turns
    reader, replication = blocks.reader, blocks.replication
    writer = Writer(grants=grants, calls=calls, turns=turns, lease=lease, reader=reader, replication=replication)
    reading = ReadAhead(reader, clock, tasks)
    back = WriteBack(
        settings=write_back,
        link=link,
        cache=cache,
        grants=grants,
        calls=calls,
        handles=handles,
        lease=lease,
        turns=turns,
        storing=Storing(grants=grants, calls=calls, lease=lease, reader=reader, replication=replication),
        write_through=writer.write,
        reading=reading,
        clock=clock,
        tasks=tasks,
        events=events,
    )
    inodes.waiting = back.reach
    files = Files(
        link=link,
        cache=cache,
        folders=meta.folders,
        inodes=inodes,
        grants=grants,
        calls=calls,
        handles=handles,
        closed=meta.closed,
        turns=turns,
        reading=reading,
        writer=writer,
        replication=replication,
        back=back,
        clock=clock,
    )
    allocation = Allocation(link=link, files=files, inodes=inodes, grants=grants, calls=calls, turns=turns, writer=writer)
    locks = Locks(link=link, table=meta.lock_table, handles=handles, cache=cache, calls=calls, back=back, clock=clock)
    return ContentPath(reading, back, files, allocation, locks)
