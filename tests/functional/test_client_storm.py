"""Goal: what was acknowledged stays, appends are exact, nobody hangs, whatever happens at once (I1, I3, I6, I7). Method: two mounts
and ten threads write one file and one log while servers go down, answers get lost, meta restarts, leases expire and callers are
killed; then all heals and every byte is judged. The threads' order is not fixed; what must hold, holds for every order.
"""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from dfs.core.errors import Interrupted
from dfs.core.messages.blocks import Get, Put
from dfs.core.messages.content import Acquire, Commit, Yield
from dfs.core.messages.sessions import Heartbeat
from tests.harness.local_cluster import CallerContext, LocalCluster, Mount

O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_APPEND = 0o0, 0o1, 0o2, 0o100, 0o2000
CTX = CallerContext()
REGION = 63 * 11
"""Bytes of a writer's own region: no multiple of the block size, so that neighbours share blocks."""
STORM_S = 5.0
ACKNOWLEDGED, KILLED = "acknowledged", "killed"


class Storm:
    """The writers and what they know of the outcome of their writes."""

    def __init__(self, cluster: LocalCluster, seed: int) -> None:
        self.cluster = cluster
        self.mounts = [cluster.mount(), cluster.mount()]
        self.chance = random.Random(seed)
        self.is_over = threading.Event()
        self.regions: Counter[int] = Counter()
        """Writer -> number of its last acknowledged write."""
        self.appends: dict[tuple[int, int], str] = {}
        self.failures: list[str] = []
        for path in (b"/file", b"/log"):
            self.mounts[0].fs.release(CTX, self.mounts[0].fs.create(CTX, path, 0o644, O_WRONLY | O_CREAT))

    def run(self) -> None:
        """Let it storm, then heal everything and wait for the writers."""
        threads = []
        for number, mount in enumerate(self.mounts * 5):
            work: Callable[[Mount, int], None] = self._write_region if number < 6 else self._append
            threads.append(threading.Thread(target=self._watch, args=(work, mount, number), daemon=True))
            threads[-1].start()
        end_s = self.cluster.clock.monotonic_s() + STORM_S
        while self.cluster.clock.monotonic_s() < end_s:
            self._make_trouble()
            self.cluster.clock.sleep(self.chance.uniform(0, 0.15))
        for wire in (*self.cluster.wires.values(), self.cluster.meta_wire):
            wire.lost.clear()
        self.is_over.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "a writer hangs"

    def _make_trouble(self) -> None:
        cluster, chance = self.cluster, self.chance
        kind = chance.randrange(8)
        if kind <= 1:
            wire = cluster.wires[chance.choice(cluster.indexes)] if kind else chance.choice(self.mounts).meta
            wire.is_down = True
            cluster.clock.sleep(chance.uniform(0.05, 0.4))
            wire.is_down = False
        elif kind <= 3:
            cluster.wires[chance.choice(cluster.indexes)].lose_answers(chance.choice([Put, Get]), chance.randint(1, 3))
        elif kind <= 5:
            cluster.meta_wire.lose_answers(chance.choice([Acquire, Commit, Yield, Heartbeat]))
        elif kind == 6 and chance.random() < 0.5:
            cluster.stop_meta()
            cluster.start_meta()
        elif kind == 7 and chance.random() < 0.3:
            cluster.expire(chance.choice(self.mounts))

    def _watch(self, work: Callable[[Mount, int], None], mount: Mount, number: int) -> None:
        try:
            work(mount, number)
        except BaseException as error:  # noqa: BLE001 (the test tells of it)
            self.failures.append(f"writer {number}: {error!r}")

    def _caller(self) -> CallerContext:
        ctx = CallerContext()
        if random.random() < 0.1:
            threading.Timer(random.uniform(0, 0.3), ctx.end).start()
        return ctx

    def _write_region(self, mount: Mount, number: int) -> None:
        handle = mount.fs.open(CTX, b"/file", O_RDWR)
        count = 0
        while not self.is_over.is_set():
            count += 1
            try:
                mount.fs.write(self._caller(), handle, b"%03d:%06d|" % (number, count) * 63, number * REGION)
                self.regions[number] = count
            except Interrupted:
                continue
            if random.random() < 0.1:
                mount.fs.flush(CTX, handle)
                self.judge_region(mount, handle, number)
        mount.fs.flush(CTX, handle)
        mount.fs.release(CTX, handle)

    def _append(self, mount: Mount, number: int) -> None:
        handle = mount.fs.open(CTX, b"/log", O_WRONLY | O_APPEND)
        count = 0
        while not self.is_over.is_set():
            count += 1
            self.appends[number, count] = KILLED
            try:
                mount.fs.write(self._caller(), handle, b"<%03d:%06d>" % (number, count) + b"." * random.randrange(60), 0)
                self.appends[number, count] = ACKNOWLEDGED
            except Interrupted:
                continue
        mount.fs.flush(CTX, handle)
        mount.fs.release(CTX, handle)

    def judge_region(self, mount: Mount, handle: int, number: int) -> None:
        """Every piece of the region is the writer's own, and not older than its last acknowledged write."""
        acknowledged = self.regions[number]
        data = mount.fs.read(CTX, handle, REGION, number * REGION)
        for piece in {data[at : at + 11] for at in range(0, len(data), 11)}:
            written = re.fullmatch(rb"(\d{3}):(\d{6})\|", piece)
            assert written is not None or not acknowledged, f"foreign bytes {piece!r}"
            assert written is None or int(written[1]) == number
            assert written is None or int(written[2]) >= acknowledged, f"an old write came back: {piece!r}"

    def judge(self, mount: Mount) -> None:
        """Look at everything through a fresh mount."""
        assert not self.failures
        handle = mount.fs.open(CTX, b"/file", O_RDONLY)
        for number in range(6):
            self.judge_region(mount, handle, number)
        log = mount.fs.read(CTX, mount.fs.open(CTX, b"/log", O_RDONLY), 1 << 26, 0)
        found = Counter((int(writer), int(count)) for writer, count in re.findall(rb"<(\d{3}):(\d{6})>", log))
        for append, outcome in self.appends.items():
            assert found[append] == 1 if outcome is ACKNOWLEDGED else found[append] <= 1, f"append {append}: {outcome}"
        assert b"\0" not in log


@pytest.mark.parametrize(("seed", "servers"), [(1, 2), (2, 4)])
def test_acknowledged_writes_and_appends_survive_a_storm(tmp_path: Path, seed: int, servers: int) -> None:
    with LocalCluster(tmp_path, servers) as cluster:
        storm = Storm(cluster, seed)
        storm.run()
        storm.judge(cluster.mount())
        assert Counter(storm.appends.values())[ACKNOWLEDGED] > 50
