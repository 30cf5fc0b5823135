"""The way to the meta-server, put together: what a mount knows, holds and has open there, and how it asks.

Called by filesystem.py; what goes to the data servers is blocks/block_path.py.
"""

from __future__ import annotations

from typing import NamedTuple

from dfs.client.blocks.capabilities import Capabilities
from dfs.client.metadata.attribute_cache import AttributeCache
from dfs.client.metadata.grant_calls import GrantCalls
from dfs.client.metadata.grants import Grants
from dfs.client.metadata.handles import Handles
from dfs.client.metadata.heartbeat import ClosedFiles
from dfs.client.metadata.inode_attributes import InodeAttributes
from dfs.client.metadata.lease import Lease
from dfs.client.metadata.lock_table import LockTable
from dfs.client.metadata.meta_link import MetaLink
from dfs.client.metadata.meta_retry import PatientMeta
from dfs.client.metadata.op_numbers import OpNumbers
from dfs.client.metadata.session import Session
from dfs.client.metadata.turns import Turns
from dfs.client.metadata.whole_folders import WholeFolders
from dfs.client.settings import MountSettings
from dfs.core.interfaces import Clock, DataServers, EventSink, MetaApi, Random, SessionDiary, Tasks


class MetaPath(NamedTuple):
    """The parts, each of which there is once in a mount."""

    patient: PatientMeta
    lease: Lease
    grants: Grants
    handles: Handles
    lock_table: LockTable
    closed: ClosedFiles
    turns: Turns
    cache: AttributeCache
    session: Session
    capabilities: Capabilities
    link: MetaLink
    calls: GrantCalls
    folders: WholeFolders
    inodes: InodeAttributes


def make_meta_path(
    *,
    settings: MountSettings,
    meta: MetaApi,
    servers: DataServers,
    clock: Clock,
    random: Random,
    tasks: Tasks,
    events: EventSink,
    diary: SessionDiary | None,
) -> MetaPath:
    """Return the parts; the session is not open."""
    patient = PatientMeta(meta, clock, random, tasks, events)
    ops, lease, turns, closed = OpNumbers(tasks), Lease(clock, tasks), Turns(tasks), ClosedFiles(tasks)
    grants = Grants(clock, tasks)
    handles, lock_table = Handles(tasks), LockTable(tasks)
    cache = AttributeCache(clock, tasks, settings.attr_timeout_s, entry_timeout_s=settings.entry_timeout_s)
    session = Session(
        settings=settings,
        meta=patient,
        servers=servers,
        lease=lease,
        grants=grants,
        cache=cache,
        handles=handles,
        locks=lock_table,
        ops=ops,
        random=random,
        tasks=tasks,
        events=events,
        diary=diary,
    )
    capabilities = Capabilities(tasks)
    link = MetaLink(meta=patient, session=session, ops=ops, tasks=tasks, learn=capabilities.learn)
    folders = WholeFolders(clock, tasks)
    return MetaPath(
        patient=patient,
        lease=lease,
        grants=grants,
        handles=handles,
        lock_table=lock_table,
        closed=closed,
        turns=turns,
        cache=cache,
        session=session,
        capabilities=capabilities,
        link=link,
        calls=GrantCalls(link=link, grants=grants, cache=cache, lease=lease, clock=clock),
        folders=folders,
        inodes=InodeAttributes(
            link=link,
            cache=cache,
            folders=folders,
            grants=grants,
            handles=handles,
            clock=clock,
            attr_timeout_s=settings.attr_timeout_s,
        ),
    )
