"""Goal: the units say what the programs and the configuration mean. Method: read packaging/systemd as text and compare with
the code; tests/packaging runs the units.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dfs.core.config import MetaConfig, default_server
from dfs.core.errors import ExitCode
from dfs.core.ids import ServerIndex
from dfs.host.service import STOP_TIMEOUT_S

UNITS = Path(__file__).resolve().parents[2] / "packaging" / "systemd"
SERVERS = ("dfs-meta.service", "dfs-data@.service")


def directives(name: str) -> dict[str, list[str]]:
    """Return the values of each directive of a unit, in order."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


HOPELESS = [str(int(code)) for code in (ExitCode.USAGE, ExitCode.CONFIGURATION, ExitCode.STATE, ExitCode.MOUNT_POINT)]


@pytest.mark.parametrize("name", SERVERS)
def test_server_that_was_told_something_wrong_is_not_restarted(name: str) -> None:
    assert directives(name)["RestartPreventExitStatus"] == [" ".join(HOPELESS)]


@pytest.mark.parametrize("name", SERVERS)
def test_configuration_is_checked_before_a_start_and_a_reload_and_only_the_server_s_own_verdict_ends_a_start(name: str) -> None:
    found = directives(name)
    assert found["ExecStartPre"] == ["-/usr/bin/dfsctl config check"]
    assert found["ExecReload"][0] == "/usr/bin/dfsctl config check"


def test_meta_server_that_was_told_something_wrong_is_not_restarted_by_its_socket() -> None:
    assert (
        f"in {'|'.join(HOPELESS)}) systemctl --no-block stop dfs-meta.socket;;" in directives("dfs-meta.service")["ExecStopPost"][0]
    )


@pytest.mark.parametrize("name", SERVERS)
def test_server_has_time_to_give_a_stop_up_by_itself(name: str) -> None:
    assert int(directives(name)["TimeoutStopSec"][0].removesuffix("s")) > STOP_TIMEOUT_S


def test_state_directories_are_the_configured_defaults() -> None:
    meta, data = (directives(name) for name in SERVERS)
    assert f"/var/lib/{meta['StateDirectory'][0]}" == MetaConfig().state == meta["RequiresMountsFor"][0]
    for index in range(3):
        default = default_server(ServerIndex(index)).state
        assert f"/var/lib/{data['StateDirectory'][0]}".replace("%i", str(index)) == default
        assert data["RequiresMountsFor"][0].replace("%i", str(index)) == default


def test_socket_listens_at_the_default_address_of_the_meta_server() -> None:
    assert directives("dfs-meta.socket")["ListenStream"] == [MetaConfig().address]


def test_servers_are_confined_alike() -> None:
    meta, data = ((UNITS / name).read_text().partition("# Nothing but its own folder")[2] for name in SERVERS)
    assert meta.partition("[Install]")[0] == data.partition("[Install]")[0] != ""


@pytest.mark.parametrize("unit", sorted(UNITS.glob("dfs*.*")), ids=lambda path: path.name)
def test_no_line_is_too_long_and_no_directive_stands_outside_a_section(unit: Path) -> None:
    text = unit.read_text()
    assert all(len(line) <= 132 for line in text.splitlines())
    first = next(line for line in text.splitlines() if line and not line.startswith("#"))
    assert unit.suffix in (".sysusers", ".tmpfiles") or re.fullmatch(r"\[Unit\]", first)
