"""Goal: what meta acknowledged survives kill -9 at any moment (R2). Method: a process that creates files, killed midway."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dfs.core.errors import ReadOnly
from dfs.core.events.meta_server import META_READ_ONLY
from dfs.core.ids import ROOT_INO
from dfs.core.messages.inspection import ShowMeta
from dfs.core.messages.names import ListFolder, Lookup, MakeFolder
from dfs.meta.settings import MetaSettings
from tests.unit.meta.conftest import FakeContext, MetaUnderTest, heartbeat_of

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
from pathlib import Path
from dfs.meta.settings import MetaSettings
from tests.harness.fake_data_servers import FakeDataServers
from tests.harness.waiting import wait_until
from tests.unit.meta.conftest import MetaUnderTest
servers = FakeDataServers()
meta = MetaUnderTest(Path(sys.argv[1]), MetaSettings(data_servers=servers.names), servers=servers)
meta.start()
wait_until(lambda: servers.cluster != "")
mount = meta.mount()
for number in range(100000):
    made = mount.create(b"f%d" % number)
    print(number, made.attributes.ino, made.grant.ticket, flush=True)
"""


def test_process_killed_while_creating_has_every_file_that_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "meta.db"
    command = [sys.executable, "-c", PROGRAM, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().split() for _ in range(150)]
        process.kill()
        acknowledged += [line.split() for line in process.stdout.read().splitlines() if line.count(" ") == 2]
    meta = MetaUnderTest(path, MetaSettings())
    meta.start()
    found = {e.name: e.attributes for e in meta.service.call(FakeContext(), ListFolder(ROOT_INO, b"", b"", 4096)).entries()}
    for number, ino, _ in acknowledged:
        assert found[b"f%s" % number.encode()].ino == int(ino)
    assert len(found) - len(acknowledged) in (0, 1)
    newest = max(int(ticket) for _, _, ticket in acknowledged)
    assert meta.mount(nonce=b"another session!").create(b"after").attributes.ino > newest
    meta.stop()


def test_disk_that_fails_turns_meta_read_only_with_one_event_and_sessions_live_on(meta: MetaUnderTest) -> None:
    mount = meta.mount()
    ino = mount.create(b"f").attributes.ino
    writer = meta.running().store._writer
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        for number in range(1000):
            mount.call(MakeFolder(mount.op(), ROOT_INO, b"%0200d" % number, 0o755))

    with pytest.raises(ReadOnly):
        fill()
    for _ in range(3):
        with pytest.raises(ReadOnly):
            mount.create(b"g")
    assert mount.call(Lookup(ROOT_INO, b"f")).ino == ino
    heartbeat_of(mount)
    (event,) = meta.events.of(META_READ_ONLY)
    assert "full" in event.message()
    assert meta.service.call(FakeContext(), ShowMeta()).state.startswith("read-only: ")
    assert meta.service.status().startswith("read-only: ")
    meta.crash()
    mount.create(b"g")
