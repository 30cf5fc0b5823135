"""From the command line to a configuration: the one place that reads the INI files.

Owns --config, its default, the environment variable DFS_CONFIG, and which drop-ins belong to a file and in which order: *.conf in
the folder that is called as the file with ".d" at its end, by name. What they may say is dfs/core/config_file.py's. Called by every
program of dfs/cli that has a --config.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dfs.core.config import Config
from dfs.core.config_file import ConfigText, parse_config
from dfs.core.start_errors import ConfigError

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
    """Return the configuration in the file given with --config, or in the default one, and in its drop-ins.

    Raises: ConfigError if one is missing, unreadable, or wrong.
    """
    path = config_path(given)
    main = read_text(path)
    return parse_config(main.text, main.source, [read_text(drop_in) for drop_in in find_drop_ins(path)])


def has_config(given: Path | None) -> bool:
    """Tell whether there is a configuration to read: one that was named, or the default one."""
    return given is not None or config_path(given).exists()


def drop_in_folder(path: Path) -> Path:
    """Return the folder of a configuration file's drop-ins: /etc/dfs/dfs.conf has /etc/dfs/dfs.conf.d."""
    return path.with_name(f"{path.name}.d")


def find_drop_ins(path: Path) -> list[Path]:
    """Return the drop-ins of a configuration file in the order in which they are read: by name, hidden files left out.

    Raises: ConfigError if the folder can't be listed; that there is none is no error.
    """
    folder = drop_in_folder(path)
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(expected=f"a readable folder {folder}", got=error.strerror or str(error)) from error
    return [folder / name for name in names if name.endswith(".conf") and not name.startswith(".")]


def read_text(path: Path) -> ConfigText:
    """Return what one file says. Raises: ConfigError if it is missing or unreadable."""
    try:
        return ConfigText(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError(expected=f"a readable configuration file {path}", got=error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(expected=f"a configuration file in UTF-8: {path}", got=f"other bytes at offset {error.start}") from error
