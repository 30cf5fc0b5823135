"""Goal: `dfsctl init` describes a cluster beside the configuration file, and `dfsctl config check` reads all files as servers do.
Method: the main function in this process, with the shipped file in a folder of its own.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dfs.cli import dfsctl
from dfs.cli.configuration import read_config

SAMPLE = Path(__file__).resolve().parents[4] / "conf" / "dfs.conf"
SERVERS = "127.0.0.1:9100,127.0.0.2:9100,127.0.0.3:9100"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return Path(shutil.copy(SAMPLE, tmp_path))


def init(file: Path, *options: str) -> int:
    return dfsctl.main(["init", "--config", str(file), *options])


def drop_in(file: Path) -> Path:
    return file.parent / "dfs.conf.d" / "10-cluster.conf"


def test_init_describes_the_cluster_and_leaves_the_file_as_it_is(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(file, "--servers", SERVERS, "--meta", "127.0.0.9:9000", "--name", "lab") == 0
    assert capsys.readouterr().out == f"wrote {drop_in(file)}: meta-server at 127.0.0.9:9000, 3 data servers\n"
    config = read_config(file)
    assert [server.address for server in config.servers] == SERVERS.split(",")
    assert (config.meta.address, config.cluster.name) == ("127.0.0.9:9000", "lab")
    assert file.read_bytes() == SAMPLE.read_bytes()
    assert [path.name for path in drop_in(file).parent.iterdir()] == ["10-cluster.conf"]
    assert drop_in(file).stat().st_mode & 0o777 == 0o644


def test_init_again_changes_something_only_when_forced(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(file, "--servers", SERVERS) == 0
    assert init(file, "--servers", SERVERS) == 0
    assert "says so already" in capsys.readouterr().out
    other = SERVERS.replace("9100", "9200")
    assert init(file, "--servers", other) == 2
    assert "--force to replace" in capsys.readouterr().err
    assert read_config(file).servers[0].address == "127.0.0.1:9100"
    assert init(file, "--servers", other, "--force") == 0
    assert read_config(file).servers[0].address == "127.0.0.1:9200"


@pytest.mark.parametrize(
    ("servers", "status", "got"),
    [
        ("127.0.0.1:9100", 2, "expected 2 to 255 data servers, got 1"),
        ("127.0.0.1:9100,nowhere", 2, "expected HOST:PORT, got 'nowhere'"),
        ("127.0.0.1:9100,127.0.0.1:9100", 3, "got 127.0.0.1:9100, as in [data:0]"),
        ("127.0.0.1:9100,0.0.0.0:9100", 3, "expected the address at which the others reach this server"),
    ],
)
def test_init_with_a_cluster_that_can_not_be_writes_nothing(
    file: Path, capsys: pytest.CaptureFixture[str], servers: str, status: int, got: str
) -> None:
    assert init(file, "--servers", servers) == status
    assert got in capsys.readouterr().err
    assert not drop_in(file).exists()


def test_init_against_the_word_of_another_drop_in_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drop_in(file).parent.mkdir()
    (drop_in(file).parent / "20-more.conf").write_text("[data:3]\n")
    assert init(file, "--servers", SERVERS) == 3
    assert "with what the other files say" in capsys.readouterr().err
    assert not drop_in(file).exists()


def test_init_where_nothing_can_be_written_ends_with_4(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drop_in(file).parent.mkdir()
    (drop_in(file).parent / ".10-cluster.conf.part").mkdir()
    assert init(file, "--servers", SERVERS) == 4
    assert "to write" in capsys.readouterr().err


def test_drop_ins_are_read_in_the_order_of_their_names_and_others_not_at_all(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = drop_in(file).parent
    folder.mkdir()
    for name, level in {"9.conf": "error", "10.conf": "debug", ".99.conf": "info", "99.conf.dpkg-old": "nonsense"}.items():
        (folder / name).write_text(f"[log]\nlevel = {level}\n")
    assert read_config(file).log.level == "error"
    assert dfsctl.main(["config", "check", "--config", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{file}: good",
        f"{folder / '10.conf'}: good",
        f"{folder / '9.conf'}: good",
        "cluster dfs: meta-server at 127.0.0.1:9000, 2 data servers",
    ]


def test_config_check_of_a_wrong_drop_in_names_it_and_ends_with_3(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drop_in(file).parent.mkdir()
    drop_in(file).write_text("[log]\nlevel = loud\n")
    assert dfsctl.main(["config", "check", "--config", str(file)]) == 3
    captured = capsys.readouterr()
    assert not captured.out
    assert f"{drop_in(file)}: [log] level: expected one of debug, info, warning, error, got loud" in captured.err
