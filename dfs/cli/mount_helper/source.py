"""The first word of a mount: which cluster it names, by address, by the name of a configuration, or by its file.

Owns the forms `HOST:PORT`, `NAME` and `config=FILE`. NAME is /etc/dfs/NAME.conf, or else /etc/dfs/dfs.conf if its [cluster] has
that name. Called by dfs-mount for what the mount helper was given.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dfs.cli.arguments import parse_address
from dfs.cli.configuration import DEFAULT_FILE, read_config
from dfs.core.config import Config
from dfs.core.start_errors import ConfigError, UsageError

CONFIG_WORD: Final = "config="


@dataclass(frozen=True, slots=True)
class Source:
    """A cluster, found."""

    meta_address: str
    """host:port of the meta-server."""
    config: Config | None
    """The configuration that describes it; None: nothing but the address is known here."""


def find_source(word: str, config_file: Path | None, default_file: Path = DEFAULT_FILE) -> Source:
    """Return the cluster that the first word of a mount names.

    Arguments: `config_file`: of the option config=FILE, which says what the word does not. `default_file`: the one whose cluster is
    found by its name; others are found beside it.
    Raises: UsageError, ConfigError.
    """
    if word.startswith(CONFIG_WORD):
        return _configured(read_config(Path(word.removeprefix(CONFIG_WORD))))
    if ":" in word:
        return Source(parse_address(word), None if config_file is None else read_config(config_file))
    if config_file is not None:
        return _configured(_named(read_config(config_file), word, config_file))
    if not word or "/" in word or word.startswith("."):
        raise UsageError(expected="HOST:PORT, the NAME of a configuration in /etc/dfs, or config=FILE", got=repr(word))
    own_file = default_file.with_name(f"{word}.conf")
    if own_file == default_file or own_file.exists():
        return _configured(read_config(own_file))
    if not default_file.exists():
        raise ConfigError(expected=f"{own_file}, or {default_file} with [cluster] name = {word}", got="neither file")
    return _configured(_named(read_config(default_file), word, default_file))


def _configured(config: Config) -> Source:
    return Source(config.meta.address, config)


def _named(config: Config, name: str, path: Path) -> Config:
    if config.cluster.name != name:
        raise ConfigError(expected=f"a cluster {name!r} in {path}", got=f"[cluster] name = {config.cluster.name}")
    return config
