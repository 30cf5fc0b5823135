"""Goal: `dfsctl tls` makes certificates that are good for what they are meant for, keeps keys to itself, and replaces nothing
unasked. Method: the main function in this process; OpenSSL, by Python's ssl, judges what was made.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dfs.cli import dfsctl
from dfs.core.certificates import read_certificate
from dfs.core.config import TlsConfig
from dfs.core.errors import ExitCode
from dfs.core.start_errors import ConfigError
from dfs.host.clock import SystemClock
from dfs.rpc.tls import TlsIdentity
from tests.harness.recorded_events import RecordedEvents

CONFIG = "[meta]\naddress = meta1:9000\n[data:0]\naddress = 10.0.0.2:9100\n[data:1]\naddress = meta1:9101\n"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "made"


def tls(command: str, *words: object) -> int:
    return dfsctl.main(["tls", command, *map(str, words)])


def identity(folder: Path, *, is_server: bool = False) -> TlsIdentity:
    return TlsIdentity(
        TlsConfig(*(str(folder / f"{name}.pem") for name in ("certificate", "key", "ca"))), RecordedEvents(), is_server=is_server
    )


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in sorted(folder.rglob("*"))}


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_init_makes_a_ca_and_files_for_hosts_and_clients(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tls("init", "--host", "meta1,10.0.0.1,::1", "--host", "data1", "--client", "laptop", "--out", out) == 0
    of_one = {"": 0o700, "/ca.pem": 0o644, "/certificate.pem": 0o644, "/key.pem": 0o600}
    assert modes(out) == {"ca.key": 0o600, "ca.pem": 0o644} | {
        name + file: mode for name in ("meta1", "data1", "laptop") for file, mode in of_one.items()
    }
    for host in ("meta1", "data1"):
        identity(out / host, is_server=True)
    identity(out / "laptop")
    with pytest.raises(ConfigError, match="not meant for this use"):
        identity(out / "laptop", is_server=True)
    shown = capsys.readouterr().out
    assert "certificate = /etc/dfs/tls/certificate.pem\nkey = /etc/dfs/tls/key.pem\nca = /etc/dfs/tls/ca.pem\n" in shown
    assert f"on data1, as root: install -g dfs -m 640 {out}/data1/*.pem /etc/dfs/tls/" in shown


def test_init_without_hosts_takes_those_of_the_configuration(out: Path, tmp_path: Path) -> None:
    (tmp_path / "dfs.conf").write_text(CONFIG)
    assert tls("init", "--config", tmp_path / "dfs.conf", "--out", out) == 0
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["10.0.0.2", "meta1"]


def test_second_init_changes_nothing(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tls("init", "--host", "a", "--out", out)
    before = bytes_in(out)
    assert tls("init", "--host", "b", "--out", out) == ExitCode.USAGE
    assert "a folder without a CA" in capsys.readouterr().err
    assert bytes_in(out) == before


def test_add_makes_further_ones_by_the_same_ca_and_replaces_none(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tls("init", "--host", "a", "--out", out)
    before = bytes_in(out)
    assert tls("add", "--host", "b", "--client", "c", "--out", out) == 0
    identity(out / "b", is_server=True)
    assert tls("add", "--host", "d", "--host", "a", "--out", out) == ExitCode.USAGE
    assert not (out / "d").exists()
    assert tls("add", "--out", out) == ExitCode.USAGE
    assert {name: data for name, data in bytes_in(out).items() if name in before} == before
    assert tls("add", "--host", "x", "--out", out / "none") == ExitCode.STATE
    assert "made by `dfsctl tls init`" in capsys.readouterr().err


def test_renew_replaces_what_ends_soon_with_the_same_names_and_another_key(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tls("init", "--host", "long", "--days", 31, "--out", out)
    tls("add", "--host", "short,10.0.0.9", "--client", "laptop", "--days", 29, "--out", out)
    before = bytes_in(out)
    assert tls("renew", "--out", out) == 0
    changed = {name for name, data in bytes_in(out).items() if before[name] != data}
    assert changed == {"short/certificate.pem", "short/key.pem", "laptop/certificate.pem", "laptop/key.pem"}
    assert read_certificate((out / "short/certificate.pem").read_text()).days_left(SystemClock().wall_ns() / 1e9) == 364
    shown = identity(out / "short", is_server=True)
    assert shown.now.certificate.name == "short"
    assert names_in(out / "short") == ("short", "10.0.0.9")
    assert names_in(out / "laptop") == ()
    capsys.readouterr()
    assert tls("renew", "--out", out) == 0
    assert capsys.readouterr().out == "no certificate ends within 30 days; --all renews all\n"
    assert tls("renew", "long", "--out", out) == 0
    assert tls("renew", "nobody", "--out", out) == ExitCode.USAGE
    assert "names in" in capsys.readouterr().err


def names_in(folder: Path) -> tuple[str, ...]:
    from dfs.cli.tls.authority import subject_of

    return subject_of((folder / "certificate.pem").read_bytes()).hosts


@pytest.mark.parametrize(
    "words",
    [
        ("--host", "a b"),
        ("--host", "a,"),
        ("--client", "../x"),
        ("--days", "0"),
        ("--host", "a", "--client", "a"),
        ("--host", "ca.pem"),
    ],
)
def test_init_with_wrong_words_makes_nothing(out: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert tls("init", "--host", "good", *words, "--out", out) == ExitCode.USAGE
    assert not out.exists()


def test_show_tells_whose_certificate_it_is_and_when_it_ends(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tls("init", "--host", "a", "--out", out, "--days", 20)
    config = tmp_path / "dfs.conf"
    config.write_text(CONFIG)
    capsys.readouterr()
    assert tls("show", "--config", config) == 0
    assert capsys.readouterr().out == "TLS is off: [tls] names no files\n"
    config.write_text(f"{CONFIG}[tls]\ncertificate = {out}/a/certificate.pem\nkey = {out}/a/key.pem\nca = {out}/ca.pem\n")
    assert tls("show", "--config", config) == ExitCode.FAILED
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{out}/a/certificate.pem: certificate a, ends soon: until 2")
    assert first.endswith(", 19 days")
    assert second.startswith(f"{out}/ca.pem: CA dfs CA cluster ")
    (out / "ca.pem").unlink()
    assert tls("show", "--config", config) == ExitCode.CONFIGURATION


def test_without_the_package_it_says_which_one_is_missing(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith(("cryptography", "dfs.cli.tls.authority", "dfs.cli.tls.folder"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.delattr("dfs.cli.tls.folder", raising=False)
    assert tls("init", "--host", "a", "--out", out) == ExitCode.FAILED
    assert capsys.readouterr().err == (
        "dfsctl: expected the Python package cryptography (in Debian: apt install python3-cryptography), got none\n"
    )
    assert not out.exists()
