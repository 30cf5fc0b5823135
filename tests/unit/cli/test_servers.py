"""Goal: the servers' programs read their arguments as documented, and every mistake is one line with its exit code.
Method: main functions in this process; the function that would run a server notes what it was given instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dfs.cli import data, dfsctl, meta
from dfs.meta.settings import LOG_BYTES, MetaSettings

CONFIG = """\
[cluster]
name = lab
block_size = 4096
[meta]
address = 127.0.0.1:9500
state = /srv/meta
[data]
require_mount = yes
[data:0]
address = 127.0.0.1:9600
state = /srv/zero
[data:1]
address = 127.0.0.1:9601
state = /srv/one
"""
Main = Callable[[Sequence[str]], int]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return what the servers that would have run were given."""
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(meta, "run_meta_server", lambda **options: given.append(options))
    monkeypatch.setattr(data, "run_data_server", lambda **options: given.append(options))
    monkeypatch.delenv("DFS_CONFIG", raising=False)
    return given


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    file = tmp_path / "dfs.conf"
    file.write_text(CONFIG)
    return file


def test_metaserver_with_the_original_arguments_listens_on_loopback(ran: list[dict[str, Any]]) -> None:
    assert meta.main_metaserver(["9000"]) == 0
    assert ran[0]["address"] == "127.0.0.1:9000"
    assert ran[0]["folder"] == Path("dfs-state/meta")
    assert ran[0]["settings"].data_servers == ()
    assert ran[0]["settings"].block_size == 512


def test_dataserver_with_the_original_arguments_takes_the_port_at_its_index(ran: list[dict[str, Any]]) -> None:
    assert data.main_dataserver(["2", "9100", "9101", "9102"]) == 0
    assert (ran[0]["index"], ran[0]["addresses"][2]) == (2, "127.0.0.1:9102")
    assert ran[0]["folder"] == Path("dfs-state/data-2")
    assert not ran[0]["require_mount"]


@pytest.mark.parametrize(
    ("program", "arguments"), [(meta.main_metaserver, ["9000"]), (data.main_dataserver, ["0", "9100", "9101"])]
)
def test_server_with_state_option_keeps_its_state_there(ran: list[dict[str, Any]], program: Main, arguments: list[str]) -> None:
    assert program([*arguments, "--state", "/srv/elsewhere"]) == 0
    assert ran[0]["folder"] == Path("/srv/elsewhere")


def test_meta_with_a_configuration_takes_all_from_it(ran: list[dict[str, Any]], config_file: Path) -> None:
    assert meta.main(["--config", str(config_file)]) == 0
    assert ran[0]["address"] == "127.0.0.1:9500"
    assert ran[0]["folder"] == Path("/srv/meta")
    assert ran[0]["settings"] == MetaSettings("lab", 4096, ("127.0.0.1:9600", "127.0.0.1:9601"), log_bytes=LOG_BYTES)


def test_configured_server_can_read_its_configuration_again(ran: list[dict[str, Any]], config_file: Path) -> None:
    meta.main(["--config", str(config_file)])
    data.main(["0", "--config", str(config_file)])
    config_file.write_text(CONFIG.replace("name = lab", "name = other"))
    assert [(given["source"].running.cluster.name, given["source"].read().cluster.name) for given in ran] == [("lab", "other")] * 2


def test_data_with_a_configuration_named_by_the_environment_takes_its_section(
    ran: list[dict[str, Any]], config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DFS_CONFIG", str(config_file))
    assert data.main(["1"]) == 0
    assert (ran[0]["addresses"][1], ran[0]["folder"], ran[0]["require_mount"]) == ("127.0.0.1:9601", Path("/srv/one"), True)


@pytest.mark.parametrize(
    ("program", "arguments", "got"),
    [
        (meta.main_metaserver, [], "required: PORT"),
        (meta.main_metaserver, ["ninety"], "'ninety'"),
        (meta.main_metaserver, ["0"], "'0'"),
        (meta.main_metaserver, ["65536"], "'65536'"),
        (meta.main_metaserver, ["9000", "9001"], "9001"),
        (meta.main_metaserver, ["9000", "--stat", "x"], "--stat"),
        (meta.main, ["9000"], "9000"),
        (data.main_dataserver, [], "required: INDEX, PORT"),
        (data.main_dataserver, ["0"], "required: PORT"),
        (data.main_dataserver, ["0", "9100"], "got 1"),
        (data.main_dataserver, ["0", "9100", "9100"], "9100 twice"),
        (data.main_dataserver, ["2", "9100", "9101"], "INDEX from 0 to 1, for 2 ports, got 2"),
        (data.main_dataserver, ["-1", "9100", "9101"], "-1"),
        (data.main_dataserver, ["one", "9100", "9101"], "'one'"),
        (data.main_dataserver, ["0", "9100", "99999"], "'99999'"),
        (data.main_dataserver, ["0", *(str(port) for port in range(9000, 9256))], "256"),
        (dfsctl.main, [], "required: COMMAND"),
        (dfsctl.main, ["dance"], "'dance'"),
        (dfsctl.main, ["status", "--meta", "nowhere"], "'nowhere'"),
        (dfsctl.main, ["status", "--meta", "a:1", "--config", "x"], "not allowed with"),
        (dfsctl.main, ["dump-strip"], "required: FILE"),
    ],
)
def test_program_with_wrong_arguments_says_so_in_one_line_and_ends_with_2(
    ran: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], program: Main, arguments: list[str], got: str
) -> None:
    assert program(arguments) == 2
    assert not ran
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert ": expected " in line
    assert got in line


@pytest.mark.parametrize("program", [meta.main, lambda argv: data.main(["0", *argv]), lambda argv: dfsctl.main(["status", *argv])])
@pytest.mark.parametrize(
    "content", [None, b"[meta", b"[meta]\naddress = 0.0.0.0:9000\n[data:0]\n[data:1]\n", b"[data:0]\n", b"\xff"]
)
def test_program_with_a_missing_or_bad_configuration_ends_with_3(
    ran: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path, program: Main, content: bytes | None
) -> None:
    file = tmp_path / "dfs.conf"
    if content is not None:
        file.write_bytes(content)
    assert program(["--config", str(file)]) == 3
    assert not ran
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert str(file) in line


def test_data_with_an_index_that_is_not_configured_ends_with_2(
    ran: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], config_file: Path
) -> None:
    assert data.main(["2", "--config", str(config_file)]) == 2
    assert f"INDEX from 0 to 1, for the 2 data servers in {config_file}, got 2" in capsys.readouterr().err


@pytest.mark.parametrize("program", [meta.main, meta.main_metaserver, data.main, data.main_dataserver, dfsctl.main])
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_program_asked_for_help_or_version_answers_and_ends_with_0(
    capsys: pytest.CaptureFixture[str], program: Main, option: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        program([option])
    assert ended.value.code == 0
    assert capsys.readouterr().out
