"""Goal: both ways to mount mean the same thing, and a wrong command line is told apart from a wrong configuration.

Method: argument lists as a person types them, turned into plans; whole programs only where they end before calling anybody.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dfs.cli.mount import main, main_distributedfs
from dfs.cli.mount_plan import plan_configured, plan_original
from dfs.client.settings import WriteBackSettings
from dfs.core.config_values import LogLevel
from dfs.core.errors import ExitCode
from dfs.core.start_errors import ConfigError, UsageError

CONFIG = """
[meta]
address = 127.0.0.1:9500
[data:0]
address = 127.0.0.1:9600
[data:1]
[mount]
attr_timeout_s = 3
allow_other = no
[log]
level = debug
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Return the path of a configuration."""
    (tmp_path / "dfs.conf").write_text(CONFIG)
    return str(tmp_path / "dfs.conf")


def test_configuration_says_who_is_called_and_how_it_is_mounted(config: str) -> None:
    plan = plan_configured(["/mnt", "--config", config])
    assert (plan.mount_point, plan.meta_address, plan.level) == (b"/mnt", "127.0.0.1:9500", LogLevel.DEBUG)
    assert plan.data_servers == ("127.0.0.1:9600", "127.0.0.1:9101")
    assert (plan.mount.attr_timeout_s, plan.mount.allow_other) == (3.0, False)


def test_meta_address_overrides_the_configuration(config: str) -> None:
    assert plan_configured(["/mnt", "--config", config, "--meta", "127.0.0.1:1"]).meta_address == "127.0.0.1:1"


def test_option_on_writeback_overrides_the_configuration_and_its_bounds_come_from_there(config: str) -> None:
    assert plan_configured(["m", "--config", config]).write_back() is None
    assert plan_configured(["m", "--config", config, "-o", "writeback"]).write_back() == WriteBackSettings()
    lines = "[mount]\nwriteback = yes\nwriteback_file_mib = 2\nwriteback_total_mib = 16\nwriteback_age_s = 0.5"
    Path(config).write_text(CONFIG.replace("[mount]", lines))
    assert plan_configured(["m", "--config", config]).write_back() == WriteBackSettings(2 << 20, 16 << 20, 0.5)
    assert plan_configured(["m", "--config", config, "-o", "writeback=no"]).write_back() is None


def test_option_on_metrics_overrides_the_configuration(config: str) -> None:
    assert not plan_configured(["m", "--config", config]).shows_metrics()
    assert plan_configured(["m", "--config", config, "-o", "metrics"]).shows_metrics()
    text = Path(config).read_text() + "[metrics]\nmount = yes\nsocket_folder = /run/x\n"
    Path(config).write_text(text)
    plan = plan_configured(["m", "--config", config])
    assert plan.shows_metrics()
    assert plan.metrics.socket_folder == "/run/x"
    assert not plan_configured(["m", "--config", config, "-o", "nometrics"]).shows_metrics()
    assert plan_configured(["m", "--source", f"config={config}"]).shows_metrics()


def test_meta_address_alone_needs_no_configuration() -> None:
    plan = plan_configured(["/mnt", "--meta", "127.0.0.1:9000"])
    assert (plan.meta_address, plan.data_servers) == ("127.0.0.1:9000", ())


def test_missing_configuration_is_an_error_of_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        plan_configured(["/mnt", "--config", str(tmp_path / "missing")])


def test_original_arguments_name_loopback_servers_in_order() -> None:
    plan = plan_original(["mnt", "9000", "9103", "9100"])
    assert (plan.mount_point, plan.meta_address) == (b"mnt", "127.0.0.1:9000")
    assert plan.data_servers == ("127.0.0.1:9103", "127.0.0.1:9100")


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["mnt"],
        ["mnt", "9000"],
        ["mnt", "9000", "9100"],
        ["mnt", "9000", "9100", "9100"],
        ["mnt", "9000", "9100", "9000"],
        ["mnt", "meta", "9100", "9101"],
        ["mnt", "9000", "9100", "0"],
    ],
)
def test_original_arguments_that_are_wrong_are_refused(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        plan_original(argv)


def test_mount_point_of_odd_bytes_is_kept() -> None:
    assert plan_original(["m\udcff", "9000", "9100", "9101"]).mount_point == b"m\xff"


def test_programs_end_with_the_documented_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--nonsense", "/mnt"]) == ExitCode.USAGE
    assert main(["/mnt", "--config", str(tmp_path / "missing")]) == ExitCode.CONFIGURATION
    assert main_distributedfs([str(tmp_path / "missing"), "9000", "9100", "9101"]) == ExitCode.MOUNT_POINT
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["dfs-mount", "dfs-mount", "distributedFS.py"]
