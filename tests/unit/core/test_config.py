"""Goal: a configuration is read whole or refused with one line that names file, section and key. Method: texts, right and wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.core.config import Config, DataConfig, LogConfig, MountConfig, ServerConfig, default_server
from dfs.core.config_file import ConfigText, parse_config
from dfs.core.config_values import LogLevel, show_value
from dfs.core.errors import ExitCode
from dfs.core.ids import ServerIndex
from dfs.core.start_errors import ConfigError

TWO = "[data:0]\n[data:1]\n"


def error_of(text: str) -> str:
    """Return the message with which `text` is refused."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "dfs.conf")
    assert caught.value.exit_code is ExitCode.CONFIGURATION
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_parse_config_of_two_empty_server_sections_is_all_defaults() -> None:
    config = parse_config(TWO, "dfs.conf")
    assert (config.cluster.name, config.cluster.block_size) == ("dfs", 512)
    assert (config.meta.address, config.meta.state) == ("127.0.0.1:9000", "/var/lib/dfs/meta")
    assert config.data == DataConfig(require_mount=False)
    assert config.servers == (
        ServerConfig(ServerIndex(0), "127.0.0.1:9100", "/var/lib/dfs/data0"),
        ServerConfig(ServerIndex(1), "127.0.0.1:9101", "/var/lib/dfs/data1"),
    )
    assert config.mount == MountConfig(attr_timeout_s=1.0, allow_other=True)
    assert config.log == LogConfig(level=LogLevel.INFO)


def test_parse_config_of_every_key_takes_every_value() -> None:
    text = """
    # a comment, and ; another
    [cluster]
    name = films-2
    block_size = 4096
    [meta]
    address = localhost:8000
    state = /srv/meta/
    [data]
    require_mount = yes
    [data:1]
    address=127.0.0.3:8002
    state = /srv//one
    [data:0]
    address = 127.0.0.3:8001
    state = /srv/100% full/zero
    [mount]
    attr_timeout_s = 0.25
    allow_other = no
    [log]
    level = debug
    """
    config = parse_config("\n".join(line.strip() for line in text.splitlines()), "dfs.conf")
    assert (config.cluster.name, config.cluster.block_size) == ("films-2", 4096)
    assert (config.meta.address, config.meta.state) == ("localhost:8000", "/srv/meta")
    assert config.data.require_mount
    assert config.servers == (
        ServerConfig(ServerIndex(0), "127.0.0.3:8001", "/srv/100% full/zero"),
        ServerConfig(ServerIndex(1), "127.0.0.3:8002", "/srv/one"),
    )
    assert config.mount == MountConfig(attr_timeout_s=0.25, allow_other=False)
    assert config.log.level is LogLevel.DEBUG


def test_networks_that_may_read_metrics_are_kept_as_addresses_are_compared_with() -> None:
    assert parse_config(TWO, "dfs.conf").metrics.networks_allowed == ()
    metrics = parse_config(TWO + "[metrics]\nnetworks = 10.0.0.0/8,192.0.2.7 , fd00::/8", "dfs.conf").metrics
    assert metrics.networks == "10.0.0.0/8, 192.0.2.7/32, fd00::/8"
    assert [str(network) for network in metrics.networks_allowed] == ["10.0.0.0/8", "192.0.2.7/32", "fd00::/8"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[cluster]\nname = a b", "dfs.conf: [cluster] name: expected 1 to 64 letters, "),
        ("[cluster]\nname =", "beginning with a letter or digit, got nothing"),
        (
            "[cluster]\nblock_size = 500",
            "dfs.conf: [cluster] block_size: expected a power of two from 512 to 1048576 (bytes), got 500",
        ),
        ("[cluster]\nblock_size = 256", "got 256"),
        ("[cluster]\nblock_size = 2097152", "got 2097152"),
        ("[cluster]\nblock_size = 4K", "got 4K"),
        ("[cluster]\nblock_size = -512", "got -512"),
        ("[meta]\naddress = 9000", "dfs.conf: [meta] address: expected HOST:PORT with an IPv4 address or a host name, "),
        ("[meta]\naddress = 127.0.0.1:0", "a port from 1 to 65535, got 127.0.0.1:0"),
        ("[meta]\naddress = 127.0.0.1:65536", "got 127.0.0.1:65536"),
        ("[meta]\naddress = [::1]:9000", "expected HOST:PORT with an IPv4 address"),
        ("[meta]\naddress = 0.0.0.0:9000", "the address at which the others reach this server, not 0.0.0.0, got 0.0.0.0:9000"),
        ("[meta]\naddress = 10.0.0.300:9000", "got 10.0.0.300:9000"),
        ("[meta]\naddress = -meta:9000", "got -meta:9000"),
        ("[meta]\naddress = meta..lan:9000", "got meta..lan:9000"),
        ("[cluster]\ninsecure_network = 1", "dfs.conf: [cluster] insecure_network: expected yes or no, got 1"),
        ("[meta]\nstate = dfs/meta", "dfs.conf: [meta] state: expected the absolute path of a folder, got dfs/meta"),
        ("[data]\nrequire_mount = true", "dfs.conf: [data] require_mount: expected yes or no, got true"),
        ("[mount]\nattr_timeout_s = -1", "dfs.conf: [mount] attr_timeout_s: expected a number of seconds from 0 to 3600, got -1"),
        ("[mount]\nattr_timeout_s = nan", "got nan"),
        ("[mount]\nattr_timeout_s = 3601", "got 3601"),
        ("[mount]\nattr_timeout_s = 1s", "got 1s"),
        ("[metrics]\nmeta = on", "dfs.conf: [metrics] meta: expected yes or no, got on"),
        (
            "[metrics]\nnetworks =",
            "networks: expected none, or at most 64 networks such as 10.0.0.0/8, with commas between, got nothing",
        ),
        ("[metrics]\nnetworks = 10.0.0.1/8", "got 10.0.0.1/8"),
        ("[metrics]\nnetworks = 10.0.0.0/8,", "got 10.0.0.0/8,"),
        ("[metrics]\nnetworks = all", "got all"),
        ("[metrics]\nnetworks = " + ",".join(["10.0.0.0/8"] * 65), "at most 64 networks"),
        ("[metrics]\nsocket_folder = run", "expected the absolute path of a folder, got run"),
        ("[log]\nlevel = loud", "dfs.conf: [log] level: expected one of debug, info, warning, error, got loud"),
        ("[log]\nlevel = info # more", "dfs.conf: [log] level: expected a comment on a line of its own, got 'info # more'"),
        ("[meta]\nstate = /a\n  address = x", "dfs.conf: [meta] state: expected printable characters on one line"),
        (
            "[mete]\n",
            "dfs.conf: [mete]: expected one of the sections cluster, meta, data, tls, mount, metrics, shutdown, log, data:0, "
            "data:1, ..., export:NAME, got another",
        ),
        (
            "[tls]\ncertificate = /a.pem\nca = /c.pem\n",
            "dfs.conf: [tls]: expected all of certificate, key, ca, or none, got no key",
        ),
        ("[tls]\nkey = key.pem\n", "dfs.conf: [tls] key: expected the absolute path of a file, or nothing, got key.pem"),
        ("[DEFAULT]\nstate = /a", "dfs.conf: [DEFAULT]: expected one of the sections"),
        ("[data:x]\n", "dfs.conf: [data:x]: expected one of the sections"),
        ("[data:01]\n", "dfs.conf: [data:01]: expected one of the sections"),
        ("[meta]\nport = 9000", "dfs.conf: [meta] port: expected one of the keys address, state, got another"),
        ("[meta]\nState = /a", "dfs.conf: [meta] State: expected one of the keys address, state, got another"),
        ("[data:2]\nindex = 2", "dfs.conf: [data:2] index: expected one of the keys address, state, got another"),
        ("[meta]\nstate = /a\nstate = /b", "dfs.conf: [meta] state: expected each key once, got it again in line 5"),
        ("[data:0]\n", "dfs.conf: [data:0]: expected each section once, got it again in line 3"),
        ("[meta]\nstate", "dfs.conf: line 4: expected [section], key = value, or # comment, got 'state"),
        ("[data:3]\n", "dfs.conf: [data:3]: expected data servers numbered 0 to 2, got no [data:2]"),
        (
            "[data:2]\nstate = /var/lib/dfs/meta/",
            "[data:2] state: expected one that no other server has, got /var/lib/dfs/meta, as in [meta]",
        ),
        ("[data:2]\nstate = /var/lib/dfs/x/../data1", "got /var/lib/dfs/data1, as in [data:1]"),
        (
            "[data:2]\naddress = localhost:9101",
            "[data:2] address: expected one that no other server has, got 127.0.0.1:9101, as in [data:1]",
        ),
    ],
)
def test_parse_config_of_a_mistake_names_where_and_what(text: str, message: str) -> None:
    assert message in error_of(TWO + text)


@pytest.mark.parametrize(("text", "got"), [("", "0"), ("[data:0]\n", "1"), ("".join(f"[data:{i}]\n" for i in range(256)), "256")])
def test_parse_config_of_too_few_or_too_many_servers_is_refused(text: str, got: str) -> None:
    assert error_of(text) == f"dfs.conf: [data:0], [data:1], ...: expected 2 to 255 sections, one per data server, got {got}"


def test_parse_config_of_text_before_the_first_section_is_refused() -> None:
    assert error_of("state = /a\n" + TWO) == "dfs.conf: line 1: expected a [section] first, got 'state = /a'"


@given(st.text())
def test_parse_config_of_any_text_is_a_configuration_or_a_config_error(text: str) -> None:
    for whole in (text, TWO + text, f"{TWO}[meta]\nstate = {text}", f"{TWO}[meta]\naddress = {text}"):
        try:
            config = parse_config(whole, "dfs.conf")
        except ConfigError as error:
            where = error.where
        else:
            where = "dfs.conf: "
            assert isinstance(config, Config)
        assert where.startswith("dfs.conf: ")


@given(st.integers(0, 254))
def test_default_server_of_every_index_is_a_valid_section(index: int) -> None:
    server = default_server(ServerIndex(index))
    text = "".join(f"[data:{i}]\n" for i in range(max(2, index + 1)))
    assert parse_config(text, "dfs.conf").servers[index] == server
    assert server.address == f"127.0.0.1:{9100 + index}"


@pytest.mark.parametrize(
    ("value", "shown"), [(True, "yes"), (False, "no"), (1.0, "1"), (0.25, "0.25"), (512, "512"), (LogLevel.INFO, "info")]
)
def test_show_value_is_what_the_file_says(value: object, shown: str) -> None:
    assert show_value(value) == shown


# --- drop-ins ----------------------------------------------------------------------------------------------------------------


def test_last_file_has_the_last_word_on_each_key() -> None:
    config = parse_config(
        TWO + "[log]\nlevel = debug\n[meta]\nstate = /a\n",
        "dfs.conf",
        [ConfigText("[meta]\nstate = /b\naddress = 127.0.0.1:1\n", "10.conf"), ConfigText("[meta]\nstate = /c\n", "20.conf")],
    )
    assert (config.meta.state, config.meta.address, config.log.level) == ("/c", "127.0.0.1:1", LogLevel.DEBUG)


def test_drop_in_may_add_servers_and_say_more_of_others() -> None:
    config = parse_config(TWO, "dfs.conf", [ConfigText("[data:2]\n[data:0]\nstate = /zero\n", "10.conf")])
    assert [server.state for server in config.servers] == ["/zero", "/var/lib/dfs/data1", "/var/lib/dfs/data2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[meta]\nstate = x", "10.conf: [meta] state: expected the absolute path of a folder, got x"),
        ("[meta]\nport = 1", "10.conf: [meta] port: expected one of the keys"),
        ("x", "10.conf: line 1: expected a [section] first"),
        ("[data:1]\nstate = /var/lib/dfs/data0", "10.conf: [data:1] state: expected one that no other server has"),
        ("[data:3]\n", "dfs.conf: [data:3]: expected data servers numbered 0 to 2"),
    ],
)
def test_mistake_in_a_drop_in_names_that_file(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(TWO, "dfs.conf", [ConfigText(text, "10.conf")])
    assert message in str(caught.value)
