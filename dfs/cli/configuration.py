"""From the command line to a configuration: the one place that reads the INI file.

Owns --config, its default, and the environment variable DFS_CONFIG. What the file may say is dfs/core/config.py's. Called by
every program of dfs/cli that has a --config.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dfs.core.config import Config, parse_config
from dfs.core.errors import ConfigError

DEFAULT_FILE: Final = Path("/etc/dfs/dfs.conf")
ENVIRONMENT_NAME: Final = "DFS_CONFIG"
"""Names the file where --config does not."""


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """What a program was started with, and how it reads that again."""

    running: Config
    read: Callable[[], Config]
    """Raises: ConfigError."""


def add_config_option(parser: argparse._ActionsContainer) -> None:
    """Let the program (a parser, or a group in one) take --config FILE; unset it is None, see `config_path`."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"configuration (default: ${ENVIRONMENT_NAME}, else {DEFAULT_FILE})",
    )


def config_path(given: Path | None) -> Path:
    """Return the configuration file to be read: the one given, else DFS_CONFIG's, else /etc/dfs/dfs.conf."""
    return given or Path(os.environ.get(ENVIRONMENT_NAME) or DEFAULT_FILE)


def open_config(given: Path | None) -> ConfigSource:
    """Return the configuration as read_config() does, and the way to read the same file again. Raises: ConfigError."""
    return ConfigSource(read_config(given), lambda: read_config(given))


def read_config(given: Path | None) -> Config:
    """Return the configuration in the file given with --config, or in the default one.

    Raises: ConfigError if it is missing, unreadable, or wrong.
    """
    path = config_path(given)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(expected=f"a readable configuration file {path}", got=error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(expected=f"a configuration file in UTF-8: {path}", got=f"other bytes at offset {error.start}") from error
    return parse_config(text, str(path))
