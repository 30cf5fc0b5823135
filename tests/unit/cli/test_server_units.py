"""Goal: one INI file suffices; what it says of addresses and folders reaches systemd. Method: configurations as text, and the
drop-ins that the generator writes for them; tests/packaging boots with them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dfs.cli import server_units
from dfs.core.config_file import parse_config

ROOT = Path(__file__).resolve().parents[3]
TWO = "[data:0]\n[data:1]\n"
ON_NETWORK = "[Unit]\nWants=network-online.target\nAfter=network-online.target\n"


def said(text: str, **hosts: str) -> dict[str, str]:
    """Return the drop-ins for a configuration."""
    return server_units.drop_ins(parse_config(text, "dfs.conf"), {"localhost": "127.0.0.1", **hosts})


def test_defaults_need_no_drop_in() -> None:
    assert said(TWO) == {}


def test_socket_listens_where_the_meta_server_is_configured() -> None:
    assert said(TWO + "[meta]\naddress = 127.0.0.1:9500\n") == {
        "dfs-meta.socket": "[Socket]\nListenStream=\nListenStream=127.0.0.1:9500\nFreeBind=yes\n"
    }


def test_name_of_the_meta_server_is_looked_up_without_a_name_server() -> None:
    found = said(TWO + "[meta]\naddress = Meta1:9000\n", meta1="10.0.0.1")
    assert found["dfs-meta.socket"] == "[Socket]\nListenStream=\nListenStream=10.0.0.1:9000\nFreeBind=yes\n"
    assert found["dfs-meta.service"] == ON_NETWORK


def test_name_that_only_a_name_server_knows_is_left_to_the_service() -> None:
    assert said(TWO + "[meta]\naddress = meta1:9000\n")["dfs-meta.socket"] == "[Unit]\nConditionPathExists=!/\n"


def test_server_that_others_reach_waits_for_the_network() -> None:
    found = said("[data:0]\naddress = 10.0.0.2:9100\n[data:1]\naddress = localhost:9101\n[data:2]\naddress = 127.0.0.9:9102\n")
    assert found == {"dfs-data@0.service": ON_NETWORK}


def test_server_with_its_state_elsewhere_may_write_there_and_waits_for_the_disk() -> None:
    found = said('[data:0]\nstate = /srv/a "b" 100%\n[data:1]\n')
    quoted = '"/srv/a \\"b\\" 100%%"'
    assert found == {
        "dfs-data@0.service": f"[Unit]\nRequiresMountsFor={quoted}\n[Service]\nReadWritePaths={quoted}\n",
    }


@pytest.mark.parametrize("arguments", [["{}"], ["{}", "/nowhere", "/nowhere"]])
def test_generator_writes_the_drop_ins_into_the_first_folder(tmp_path: Path, arguments: list[str]) -> None:
    config, hosts = tmp_path / "dfs.conf", tmp_path / "hosts"
    config.write_text(TWO + "[meta]\naddress = store:9000\n")
    hosts.write_text("# comment\n::1 store\n10.1.1.1 other store # the store\n10.2.2.2 store\n")
    out = tmp_path / "out"
    assert server_units.main([word.format(out) for word in arguments], config, hosts) == 0
    assert "ListenStream=10.1.1.1:9000\n" in (out / "dfs-meta.socket.d" / "50-dfs.conf").read_text()
    assert (out / "dfs-meta.service.d" / "50-dfs.conf").read_text().endswith(ON_NETWORK)


def test_wrong_configuration_does_not_fail_the_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(server_units, "warn", lambda program, text: warnings.append(text))
    (tmp_path / "dfs.conf").write_text("[data:0]\n")
    assert server_units.main([str(tmp_path / "out")], tmp_path / "dfs.conf") == 0
    assert "expected 2 to 255 sections" in warnings[0]
    assert not (tmp_path / "out").exists()


def test_script_calls_the_generator(tmp_path: Path) -> None:
    script = ROOT / "packaging" / "systemd" / "dfs-server-generator"
    environment = {"PYTHONPATH": str(ROOT), "DFS_CONFIG": str(ROOT / "conf" / "dfs.conf")}
    done = subprocess.run([sys.executable, script, tmp_path], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, list(tmp_path.iterdir())) == (0, "", [])
    wrong = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert (wrong.returncode, "expected NORMAL-DIR" in wrong.stderr) == (2, True)
