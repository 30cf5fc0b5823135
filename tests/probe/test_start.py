"""Goal: servers start in any order and all at once, stop cleanly, and say in one line why they can't start.
Method: real processes; the moment of each step is a condition, never a time.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.cluster import Cluster, free_ports, is_answering
from tests.harness.program import Program, module_command, script_command
from tests.harness.waiting import wait_until


def start_all_at_once(cluster: Cluster, order: random.Random) -> None:
    programs = [cluster.meta, *(cluster.data(index) for index in range(cluster.n))]
    order.shuffle(programs)
    for program in programs:
        program.start()


def is_formatted(cluster: Cluster) -> bool:
    status: Any = cluster.meta_rpc().status()
    return bool(status["shape"][0])


def test_each_server_alone_starts_answers_and_stops_without_the_others(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(n=2)
    for program in (cluster.meta, cluster.data(1), cluster.data(0)):
        program.start()
        cluster.wait_ready()
        assert program.stop() == 0


def test_server_killed_at_any_moment_of_its_start_starts_again(make_cluster: Callable[..., Cluster]) -> None:
    cluster, moment = make_cluster(n=2), random.Random(3)
    for _ in range(10):
        start_all_at_once(cluster, moment)
        lines = moment.randint(0, 1)
        for program in (cluster.meta, cluster.data(0)):
            wait_until(lambda program=program, lines=lines: len(program.log_text().splitlines()) >= lines, "a log line")  # type: ignore[misc]
            program.kill()
        cluster.data(1).stop()
    start_all_at_once(cluster, moment)
    cluster.wait_ready()
    wait_until(lambda: is_formatted(cluster), "the file system to be made")
    cluster.allow("the last stop was not clean", "after the last whole entry are left out")


@pytest.mark.parametrize("name", ["meta", "data"])
def test_second_start_of_a_server_finds_the_address_in_use(make_cluster: Callable[..., Cluster], name: str) -> None:
    cluster = make_cluster(n=2)
    first = cluster.meta if name == "meta" else cluster.data(0)
    first.start()
    cluster.wait_ready()
    second = Program("second", first.command, cluster.folder / "second.log", cluster.folder)
    second.start()
    assert second.wait_for_end() == 6
    assert_one_line(second, str(cluster.meta_port if name == "meta" else cluster.data_ports[0]))


@pytest.mark.parametrize("script", ["metaserver.py", "dataserver.py"])
def test_server_on_a_state_folder_in_use_names_who_uses_it(tmp_path: Path, script: str) -> None:
    ports = free_ports(4)
    commands = [
        script_command(script, *((port,) if script == "metaserver.py" else (0, port, other)), "--state", tmp_path / "state")
        for port, other in (ports[:2], ports[2:])
    ]
    first, second = (Program(f"p{n}", command, tmp_path / f"{n}.log", tmp_path) for n, command in enumerate(commands))
    try:
        first.start()
        wait_until(lambda: is_answering(ports[0]), "the first server to answer")
        second.start()
        assert second.wait_for_end() == 4
        assert_one_line(second, f"process {first.pid}")
        assert first.stop() == 0
    finally:
        first.end_for_sure()
        second.end_for_sure()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root meets a folder that nobody can write")
@pytest.mark.parametrize("module", ["dfs.cli.meta", "dfs.cli.data"])
def test_server_with_an_unusable_state_folder_ends_with_4(make_cluster: Callable[..., Cluster], module: str) -> None:
    cluster = make_cluster(n=2)
    config = cluster.config_file
    config.write_text(
        config.read_text().replace(f"{cluster.folder}/meta", "/proc/no").replace(f"{cluster.folder}/data0", "/proc/no0")
    )
    command = module_command(module, *((0,) if module == "dfs.cli.data" else ()), "--config", config)
    program = Program("unusable", command, cluster.folder / "unusable.log", cluster.folder)
    program.start()
    assert program.wait_for_end() == 4
    assert_one_line(program, "/proc/no")


def test_server_with_the_state_of_another_index_ends_with_4_and_names_both(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(n=2)
    cluster.start()
    wait_until(lambda: is_formatted(cluster), "the file system to be made")
    cluster.stop()
    shutil.rmtree(cluster.state_folder(0))
    cluster.state_folder(1).rename(cluster.state_folder(0))
    cluster.data(0).start()
    assert cluster.data(0).wait_for_end() == 4
    cluster.allow("expected")


def assert_one_line(program: Program, words: str) -> None:
    lines = program.log_text().splitlines()
    assert len(lines) == 1, lines
    assert ": expected " in lines[0]
    assert words in lines[0]
