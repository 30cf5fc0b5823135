"""`dfsctl ls-blocks PATH`: where a file's blocks are, at which generation, and whether each copy verifies.

PATH is below a mount, whose meta-server is then asked, or `dfs:/a/b` from the root of the configured file system. Every server
verifies its copies on its own disk and sends no data. Blocks that step by N share their servers, so a line is a run of such
blocks of which everything else is the same too. Changes and repairs nothing. Exit status: 0 both copies of all blocks are good
and equal, 1 some are not or can't be asked for, 5 the meta-server does not answer.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from dfs.cli.arguments import PREFIX
from dfs.cli.mount_table import find_mount_above
from dfs.core.errors import DfsError, ExitCode
from dfs.core.ids import ROOT_INO, BlockNo, Ino, ServerIndex
from dfs.core.interfaces import CallContext, DataServers, MetaApi
from dfs.core.limits import REQUEST_BLOCKS_MAX
from dfs.core.messages.blocks import COPY_FORMAT, Blocks, Copy, CopyState, Get, Run, unpack_copies
from dfs.core.messages.inodes import Attributes
from dfs.core.messages.inspection import ShowMeta
from dfs.core.messages.names import Lookup
from dfs.core.placement import Role
from dfs.core.plan import blocks_of, plan_range
from dfs.core.start_errors import UsageError
from dfs.fusefs.mount_point import MOUNT_TYPE

UNREACHABLE: Final = "unreachable"
OK: Final = "ok"
OLDER: Final = "older"
DIFFERS: Final = "differs"
_STATES: Final = {state: OK if state.has_bytes else state.name.lower() for state in CopyState}


@dataclass(frozen=True, slots=True)
class BlockRange:
    """Blocks first, first + step, ... last: alike in all that follows."""

    first: int
    last: int
    step: int
    primary: int
    """Server of replica 1."""
    secondary: int
    generation: int
    """The highest that verifies; 0 if none does."""
    primary_state: str
    secondary_state: str

    @property
    def is_good(self) -> bool:
        """Whether both copies verify and are the same, or both say that the block was never written."""
        return self.primary_state == self.secondary_state and self.primary_state in (OK, "absent")

    def text(self) -> str:
        """Return the line for people."""
        blocks = f"block {self.first}" if self.first == self.last else f"blocks {self.first}-{self.last} step {self.step}"
        generation = f"generation {self.generation}" if self.generation else "no generation"
        return (
            f"{blocks}: primary server {self.primary} {self.primary_state}, "
            f"secondary server {self.secondary} {self.secondary_state}, {generation}"
        )


@dataclass(frozen=True, slots=True)
class Place:
    """What PATH names."""

    base: Ino
    path: bytes
    meta_address: str
    """Of the mount; empty for `dfs:/...`: the configured one."""


def find_place(text: str) -> Place:
    """Return what PATH names. Raises: UsageError."""
    if text.startswith(PREFIX):
        return Place(ROOT_INO, os.fsencode(text).removeprefix(PREFIX.encode()).strip(b"/"), "")
    try:
        found = os.stat(text)
    except OSError as error:
        raise UsageError(f"a file below a mount, or {PREFIX}PATH", f"{text}: {error.strerror}") from error
    mount = find_mount_above(os.path.realpath(text))
    if mount is None or mount.type != MOUNT_TYPE:
        raise UsageError(f"a file below a mount, or {PREFIX}PATH", f"{text}, which is on no dfs mount")
    return Place(Ino(found.st_ino), b"", os.fsdecode(mount.source))


def list_blocks(ctx: CallContext, place: Place, meta: MetaApi, servers: DataServers) -> list[BlockRange]:
    """Return the ranges of a file's blocks, rising by first block. Raises: UsageError if it is no file; meta's errors."""
    attributes = meta.call(ctx, Lookup(place.base, place.path))
    if not stat.S_ISREG(attributes.mode):
        raise UsageError("a regular file", "something else")
    status = meta.call(ctx, ShowMeta())
    servers.set_addresses({at.server: at.address for at in status.data_servers}, status.shape.cluster)
    ranges: list[BlockRange] = []
    open_ranges: dict[int, BlockRange] = {}
    for one in _blocks(ctx, attributes, servers):
        stripe = one.first % one.step
        found = open_ranges.get(stripe)
        if found is not None and replace(found, first=0, last=0) == replace(one, first=0, last=0):
            open_ranges[stripe] = replace(found, last=one.last)
            continue
        if found is not None:
            ranges.append(found)
        open_ranges[stripe] = one
    return sorted([*ranges, *open_ranges.values()], key=lambda found: found.first)


def show(ranges: Sequence[BlockRange], *, as_json: bool, write: Callable[[str], None] = print) -> int:
    """Print the ranges and return the exit status."""
    if as_json:
        write(json.dumps([asdict(found) for found in ranges], indent=2))
    else:
        for found in ranges:
            write(found.text())
    return ExitCode.DONE if all(found.is_good for found in ranges) else ExitCode.FAILED


def _blocks(ctx: CallContext, attributes: Attributes, servers: DataServers) -> Iterator[BlockRange]:
    """Yield every block of the file as a range of one."""
    content = attributes.content
    count = -(-content.size_bytes // content.layout.block_size)
    for start in range(0, count, REQUEST_BLOCKS_MAX // 2):
        last = BlockNo(min(start + REQUEST_BLOCKS_MAX // 2, count) - 1)
        copies = _ask(ctx, attributes, servers, BlockNo(start), last)
        for number in range(start, last + 1):
            yield _judge(attributes, BlockNo(number), copies)


def _ask(
    ctx: CallContext, attributes: Attributes, servers: DataServers, first: BlockNo, last: BlockNo
) -> dict[tuple[Role, int], Copy]:
    """Return what the servers that answer say of the copies of the blocks first .. last."""
    content = attributes.content
    plan = plan_range(content.layout, first, last)
    calls: dict[ServerIndex, Get] = {
        server: Get(attributes.ino, content.newest_cut, content.cuts, (), runs) for server, runs in plan.items()
    }
    found: dict[tuple[Role, int], Copy] = {}
    for server, answer in servers.call_all(ctx, calls).items():
        if not isinstance(answer, DfsError):
            found |= _unpack(plan[server], answer, content.layout.servers)
    return found


def _unpack(runs: Sequence[Run], answer: Blocks, servers: int) -> dict[tuple[Role, int], Copy]:
    found: dict[tuple[Role, int], Copy] = {}
    at = 0
    for run in runs:
        end = at + run.blocks * COPY_FORMAT.size
        for number, copy in zip(blocks_of(run, servers), unpack_copies(answer.copies[at:end]), strict=True):
            found[run.role, number] = copy
        at = end
    return found


def _judge(attributes: Attributes, block_no: BlockNo, copies: dict[tuple[Role, int], Copy]) -> BlockRange:
    layout = attributes.content.layout
    first, second = (copies.get((role, block_no)) for role in Role)
    return BlockRange(
        first=block_no,
        last=block_no,
        step=layout.servers,
        primary=layout.server_of(block_no, Role.PRIMARY),
        secondary=layout.server_of(block_no, Role.SECONDARY),
        generation=max((copy.generation for copy in (first, second) if copy is not None and copy.state.has_bytes), default=0),
        primary_state=_state(first, second),
        secondary_state=_state(second, first),
    )


def _state(copy: Copy | None, other: Copy | None) -> str:
    """Return the word for a copy, also compared with the other one."""
    if copy is None:
        return UNREACHABLE
    if copy.state.has_bytes and other is not None and other.state.has_bytes:
        if copy.generation != other.generation:
            return OLDER if copy.generation < other.generation else OK
        if copy[1:] != other[1:]:
            return DIFFERS
    return _STATES[copy.state]
