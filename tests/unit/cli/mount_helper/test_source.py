"""Goal: the first word of a mount leads to one cluster or to one clear line. Method: folders with configurations, and words."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfs.cli.mount_helper.source import find_source
from dfs.core.start_errors import ConfigError, UsageError

SERVERS = "[data:0]\n[data:1]\n"


@pytest.fixture
def default(tmp_path: Path) -> Path:
    """Return the path at which the default configuration is expected."""
    return tmp_path / "dfs.conf"


def write(path: Path, name: str, port: int) -> None:
    path.write_text(f"[cluster]\nname = {name}\n[meta]\naddress = 127.0.0.1:{port}\n{SERVERS}")


def test_address_needs_no_configuration(default: Path) -> None:
    found = find_source("meta1:9000", None, default)
    assert (found.meta_address, found.config) == ("meta1:9000", None)


def test_address_counts_and_the_named_file_says_the_rest(default: Path) -> None:
    write(default, "prod", 9500)
    found = find_source("meta1:9000", default, default)
    assert found.meta_address == "meta1:9000"
    assert found.config is not None
    assert found.config.cluster.name == "prod"


def test_name_is_a_file_beside_the_default_one_or_the_default_cluster(default: Path) -> None:
    write(default, "prod", 9500)
    write(default.with_name("lab.conf"), "anything", 9600)
    assert find_source("lab", None, default).meta_address == "127.0.0.1:9600"
    assert find_source("prod", None, default).meta_address == "127.0.0.1:9500"
    assert find_source("dfs", None, default).meta_address == "127.0.0.1:9500"


def test_file_is_named_in_the_word_or_in_the_option(default: Path) -> None:
    write(default.with_name("a b.conf"), "prod", 9700)
    assert find_source(f"config={default.with_name('a b.conf')}", None, default).meta_address == "127.0.0.1:9700"
    assert find_source("prod", default.with_name("a b.conf"), default).meta_address == "127.0.0.1:9700"


@pytest.mark.parametrize(
    ("word", "error", "told"),
    [
        ("meta1:", UsageError, "a port number"),
        (":9000", UsageError, "HOST:PORT"),
        ("", UsageError, "the NAME of a configuration"),
        ("../x", UsageError, "the NAME of a configuration"),
        ("other", ConfigError, "expected a cluster 'other' in"),
        ("config=/nowhere/x.conf", ConfigError, "/nowhere/x.conf"),
    ],
)
def test_word_that_leads_nowhere_is_refused(default: Path, word: str, error: type[Exception], told: str) -> None:
    write(default, "prod", 9500)
    with pytest.raises(error) as refusal:
        find_source(word, None, default)
    assert told in str(refusal.value)


def test_name_without_any_configuration_says_where_it_was_looked_for(default: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        find_source("prod", None, default)
    assert "prod.conf" in str(refusal.value)
    assert "name = prod" in str(refusal.value)
