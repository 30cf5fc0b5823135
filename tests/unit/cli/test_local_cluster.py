"""Goal: `make up` writes a configuration that the programs accept, and refuses what can't work, in one line.
Method: the configuration is read back by the real reader; mistakes go through main(). tests/probe/test_make.py does the rest.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dfs.cli.local_cluster import LocalCluster, main
from dfs.core.config_file import parse_config


def test_configuration_names_every_server_with_its_own_address_and_folder(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path / "run", tmp_path / "mnt", 9500, 4)
    config = parse_config(cluster.config_text(), "dfs.conf")
    assert config.meta.address == "127.0.0.1:9500"
    assert [server.address for server in config.servers] == [f"127.0.0.1:{port}" for port in (9600, 9601, 9602, 9603)]
    folders = {config.meta.state, *(server.state for server in config.servers)}
    assert len(folders) == 5
    assert all(folder.startswith(f"{tmp_path}/run/") for folder in folders)


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        ([], "required: action"),
        (["sideways"], "'sideways'"),
        (["up", "--base-port", "x"], "'x'"),
        (["up", "--base-port", "65500"], "65500"),
        (["up", "--servers", "1"], "got 1"),
        (["up", "--servers", "many"], "'many'"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], got: str) -> None:
    assert main(arguments) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert got in line


def test_down_where_nothing_ever_ran_is_harmless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down", "--folder", str(tmp_path / "run"), "--mount", str(tmp_path / "mnt")]) == 0
    assert "Stopped" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_up_over_a_foreign_mount_is_refused_before_anything_is_mounted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--folder", str(tmp_path / "run"), "--mount", "/proc"]) == 7
    assert "a mount of type proc" in capsys.readouterr().err
