"""Goal: when two neighbours lose their disks, exactly the files with blocks on both are reported lost, reading those blocks fails,
and everything else is intact. Method: a simulated cluster; what must be lost follows from the placement (R4) alone.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from dfs.cli.tools.lost import find_lost
from dfs.core.contexts import PlainContext
from dfs.core.errors import NoGoodCopy
from dfs.core.ids import BlockNo
from dfs.core.messages.cluster import RoleState
from dfs.core.messages.data_server import Identify
from dfs.core.placement import Layout, Role
from tests.harness.baton import Baton, Crew
from tests.harness.simulated_network import Sender, SimulatedMeta, SimulatedServers
from tests.sim.cluster import BLOCK_BYTES, SimulatedCluster, simulated_stores

CTX = PlainContext("test")
FILES = [(f"/f{number}".encode(), size) for number, size in enumerate((1, 300, 512, 700, 1024, 1500, 2600, 4000, 512, 100))]
SETTLE_S_MAX = 60.0


class Losing:
    """Writes files, lets two neighbours lose their disks, and looks what is left."""

    def __init__(self, baton: Baton, folder: Path, servers: int, first: int) -> None:
        self._baton = baton
        self._cluster = SimulatedCluster(baton, f"losing {servers} {first}", folder, servers, 1)
        self._gone = (first, (first + 1) % servers)
        self.lost: dict[bytes, set[int]] = {}
        """By path: the blocks both of whose servers lost their disks."""
        self.failed: dict[bytes, set[int]] = {}
        """By path: the blocks that can't be read."""
        self.told: dict[bytes, int] = {}
        """By path: how many blocks `dfsctl lost` lists."""

    def run(self) -> None:
        """Do all that."""
        cluster, baton = self._cluster, self._baton
        for machine in (cluster.meta, *cluster.data):
            cluster.start(machine)
        mount = cluster.mounts[0]
        cluster.mount(mount)
        assert mount.process is not None
        baton.spawn(mount.process, "write", self._write).join()
        for index in self._gone:
            cluster.kill(cluster.data[index])
            cluster.data[index].disk.wipe()
        for index in self._gone:
            cluster.start(cluster.data[index])
        until_s = baton.now_s + SETTLE_S_MAX
        while not self._is_settled():
            assert baton.now_s < until_s, "the servers do not find out what is lost"
            baton.sleep(1.0)
        baton.spawn(mount.process, "read", self._read).join()

    def _write(self) -> None:
        fs = self._cluster.mounts[0].fs
        assert fs is not None
        fs.start(CTX)
        for path, size in FILES:
            handle = fs.create(CTX, path, 0o644, os.O_RDWR | os.O_CREAT)
            fs.write(CTX, handle, path * size, 0)
            fs.truncate(CTX, path, size, handle)
            layout = fs.getattr(CTX, path).content.layout
            self.lost[path] = {block for block in range(-(-size // BLOCK_BYTES)) if self._is_lost(layout, block)}
            fs.flush(CTX, handle)
            fs.release(CTX, handle)

    def _is_lost(self, layout: Layout, block: int) -> bool:
        return {layout.server_of(BlockNo(block), role) for role in Role} == set(self._gone)

    def _is_settled(self) -> bool:
        for index in self._gone:
            machine = self._cluster.data[index]
            if machine.endpoint.service is None or machine.service is None:
                return False
            identity = machine.service.call(CTX, Identify())
            if not {identity.primary, identity.secondary} <= {RoleState.COMPLETE, RoleState.LOST}:
                return False
        return True

    def _read(self) -> None:
        mount = self._cluster.mounts[0]
        fs, process = mount.fs, mount.process
        assert fs is not None
        assert process is not None
        for path, size in FILES:
            handle = fs.open(CTX, path, 0)
            content = (path * size)[:size]
            self.failed[path] = set()
            for block in range(-(-size // BLOCK_BYTES)):
                at = block * BLOCK_BYTES
                try:
                    assert fs.read(CTX, handle, BLOCK_BYTES, at) == content[at : at + BLOCK_BYTES]
                except NoGoodCopy:
                    self.failed[path].add(block)
            fs.release(CTX, handle)
        source = Sender(mount.name, mount.clock, process)
        meta = SimulatedMeta(self._cluster.network, source, self._cluster.meta.endpoint)
        servers = SimulatedServers(self._cluster.network, source)
        self.told = {file.path.encode(): file.blocks for file in find_lost(CTX, meta, servers, everywhere=False)}


@pytest.mark.parametrize(("servers", "first"), [(3, 0), (3, 2), (4, 1), (4, 3), (5, 4)])
def test_neighbours_that_lose_their_disks_lose_exactly_their_common_blocks(servers: int, first: int) -> None:
    crew = Crew()
    baton = Baton(f"losing {servers} {first}", crew)
    with tempfile.TemporaryDirectory() as folder, simulated_stores():
        losing = Losing(baton, Path(folder), servers, first)
        baton.run(losing.run)
    crew.dismiss()
    assert baton.bugs == []
    assert losing.failed == losing.lost
    assert losing.told == {path: len(blocks) for path, blocks in losing.lost.items() if blocks}
    assert any(losing.lost.values())
    assert not all(losing.lost.values())
