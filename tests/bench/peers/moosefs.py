"""MooseFS as its manual sets it up: a master, two chunkservers, goal 2, trash time 0, all else at its defaults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.bench.namespace import ADDRESS, run
from tests.bench.peers.peer import PeerTarget
from tests.harness.program import Program
from tests.harness.waiting import wait_until

NAME: Final = "moosefs"
EMPTY: Final = Path("/var/lib/mfs/metadata.mfs.empty")
"""Comes with the package: the metadata of a file system without files."""
COPIES: Final = 2
FIRST_PORT: Final = 9431
MASTER: Final = """WORKING_USER = root
WORKING_GROUP = root
DATA_PATH = {folder}/master
EXPORTS_FILENAME = {folder}/exports.cfg
TOPOLOGY_FILENAME = {folder}/topology.cfg
MATOML_LISTEN_HOST = {address}
MATOCS_LISTEN_HOST = {address}
MATOCL_LISTEN_HOST = {address}
"""
CHUNKSERVER: Final = """WORKING_USER = root
WORKING_GROUP = root
DATA_PATH = {folder}/chunks{number}
HDD_CONF_FILENAME = {folder}/chunks{number}.hdd
MASTER_HOST = {address}
BIND_HOST = {address}
CSSERV_LISTEN_HOST = {address}
CSSERV_LISTEN_PORT = {port}
"""
READY_TIMEOUT_S: Final = 60.0


@contextmanager
def moosefs_target(folder: Path) -> Iterator[PeerTarget]:
    """Start it in a folder and mount it."""
    programs = [_master(folder), *(_chunkserver(folder, number) for number in range(COPIES))]
    try:
        programs[0].start()
        programs[0].wait_for_log(r"main master server module: listen on", READY_TIMEOUT_S)
        for program in programs[1:]:
            program.start()
        target = PeerTarget(NAME, folder, lambda path: run("mfsmount", "-H", ADDRESS, path))
        run("mfssetgoal", "-r", COPIES, target.path)
        run("mfssettrashtime", "-r", 0, target.path)
        _wait_for_chunkservers(folder, programs, target)
        yield target
        run("umount", target.path)
    finally:
        for program in reversed(programs):
            program.end_for_sure()


def _master(folder: Path) -> Program:
    (folder / "master").mkdir(parents=True)
    (folder / "master" / "metadata.mfs").write_bytes(EMPTY.read_bytes())
    (folder / "exports.cfg").write_text("* / rw,alldirs,maproot=0\n")
    (folder / "topology.cfg").write_text("")
    config = folder / "master.cfg"
    config.write_text(MASTER.format(folder=folder, address=ADDRESS))
    return Program("mfsmaster", ["mfsmaster", "-f", "-c", str(config), "start"], folder / "master.log", folder)


def _chunkserver(folder: Path, number: int) -> Program:
    name = f"chunks{number}"
    (folder / name).mkdir()
    (folder / f"{name}-disk").mkdir()
    (folder / f"{name}.hdd").write_text(f"{folder}/{name}-disk\n")
    config = folder / f"{name}.cfg"
    config.write_text(CHUNKSERVER.format(folder=folder, number=number, address=ADDRESS, port=FIRST_PORT + number))
    return Program(name, ["mfschunkserver", "-f", "-c", str(config), "start"], folder / f"{name}.log", folder)


def _wait_for_chunkservers(folder: Path, programs: list[Program], target: PeerTarget) -> None:
    """Wait until a file really gets its two copies: the master takes a while to know a chunkserver's space."""

    def has_copies() -> bool:
        for program in programs:
            assert program.is_running(), f"{program.name} ended:\n{program.log_text()[-2000:]}"
        probe = target.path / "probe"
        probe.write_bytes(b"x")
        return f"chunks with {COPIES} copies" in run("mfscheckfile", probe)

    def has_space() -> bool:
        return int(run("stat", "-f", "-c", "%a", target.path)) > 0

    wait_until(has_space, f"the chunkservers to register in {folder}", READY_TIMEOUT_S)
    wait_until(has_copies, "a file to have two copies", READY_TIMEOUT_S)
    (target.path / "probe").unlink()
