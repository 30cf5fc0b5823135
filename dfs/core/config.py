"""The configuration of a cluster: what can be set, what each key means, and the one reader of the INI file (pure).

Owns every key with its default, unit, explanation and check; conf/dfs.conf shows the same and a test compares the two.
Promises: a configuration that was read is usable as a whole; what is wrong is a ConfigError `FILE: [section] key: expected ...,
got ...`. Called by dfs/cli, which reads the file. Never guesses: unknown sections, unknown keys and odd values are errors.
"""

from __future__ import annotations

import configparser
import dataclasses
import enum
import ipaddress
import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from dfs.core.errors import ConfigError
from dfs.core.ids import ServerIndex
from dfs.core.limits import BLOCK_SIZES, SERVERS_MAX, SERVERS_MIN

DATA_PORT_BASE: Final = 9100
"""Data server i listens at DATA_PORT_BASE + i by default."""
ATTR_TIMEOUT_S_MAX: Final = 3600.0
SCRUB_MB_S_MAX: Final = 10_000.0
BYTES_PER_MB: Final = 1_000_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DECIMAL: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_DATA_SECTION: Final = re.compile(r"data:(0|[1-9][0-9]{0,8})")

S = TypeVar("S")


class LogLevel(enum.StrEnum):
    """The least important messages that are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Unfit(ValueError):
    """A value's text is not what its key expects; the argument says what that is."""


# --- reading one value: text -> value, or Unfit --------------------------------------------------------------------------


def parse_name(text: str) -> str:
    """Return a name that is safe in messages, unit names and file names."""
    if not _NAME.fullmatch(text):
        raise Unfit("1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit")
    return text


def parse_block_size(text: str) -> int:
    """Return a block size in bytes."""
    low, high = BLOCK_SIZES
    size = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
    if not low <= size <= high or size & (size - 1):
        raise Unfit(f"a power of two from {low} to {high} (bytes)")
    return size


def parse_loopback_address(text: str) -> str:
    """Return host:port, where the host is one of this machine's loopback addresses."""
    host, _, port = text.rpartition(":")
    if (
        not host
        or not re.fullmatch(r"[0-9]{1,5}", port)
        or not 1 <= int(port) <= 65535
        or not re.fullmatch(r"[A-Za-z0-9.-]+", host)
    ):
        raise Unfit("HOST:PORT with an IPv4 address or localhost, and a port from 1 to 65535")
    if not _is_loopback(host):
        raise Unfit(
            "a loopback address (127.0.0.1 or localhost), because there is no cluster key yet with which a server "
            "could tell its own clients from anyone else on the network"
        )
    return f"{host}:{int(port)}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False


def parse_folder(text: str) -> str:
    """Return the absolute path of a folder, without a slash at its end."""
    if not text.startswith("/"):
        raise Unfit("the absolute path of a folder")
    return "/" + posixpath.normpath(text).strip("/")


def parse_yes_no(text: str) -> bool:
    """Return True for yes and False for no."""
    if text not in ("yes", "no"):
        raise Unfit("yes or no")
    return text == "yes"


def parse_attr_timeout_s(text: str) -> float:
    """Return a number of seconds."""
    if not _DECIMAL.fullmatch(text) or float(text) > ATTR_TIMEOUT_S_MAX:
        raise Unfit(f"a number of seconds from 0 to {ATTR_TIMEOUT_S_MAX:.0f}")
    return float(text)


def parse_scrub_mb_s(text: str) -> float:
    """Return a number of MB (10^6 bytes) a second."""
    if not _DECIMAL.fullmatch(text) or float(text) > SCRUB_MB_S_MAX:
        raise Unfit(f"a number of MB a second from 0 to {SCRUB_MB_S_MAX:.0f}")
    return float(text)


def parse_level(text: str) -> LogLevel:
    """Return a log level."""
    try:
        return LogLevel(text)
    except ValueError:
        raise Unfit(f"one of {', '.join(LogLevel)}") from None


def show_value(value: object) -> str:
    """Return a value as it is written in the file."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


# --- the keys --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """What is to be known of a key besides its default."""

    unit: str
    description: str
    parse: Callable[[str], object]
    is_live: bool = False
    """Whether a change counts as soon as a running program reads the file again (SIGHUP)."""


def _key(unit: str, parse: Callable[[str], object], description: str, *, is_live: bool = False) -> dict[str, Key]:
    """Return a data class field's metadata."""
    return {"key": Key(unit, description, parse, is_live)}


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """[cluster]: the file system as a whole."""

    name: str = field(default="dfs", metadata=_key("name", parse_name, "What people call this file system."))
    block_size: int = field(
        default=512,
        metadata=_key(
            "bytes", parse_block_size, "Size of a block, a power of two. Counts only when the file system is made, and stays."
        ),
    )


@dataclass(frozen=True, slots=True)
class MetaConfig:
    """[meta]: the meta-server."""

    address: str = field(
        default="127.0.0.1:9000", metadata=_key("HOST:PORT", parse_loopback_address, "Where the meta-server listens.")
    )
    state: str = field(default="/var/lib/dfs/meta", metadata=_key("folder", parse_folder, "Where it keeps names and attributes."))


@dataclass(frozen=True, slots=True)
class DataConfig:
    """[data]: all data servers."""

    require_mount: bool = field(
        default=False,
        metadata=_key(
            "yes or no",
            parse_yes_no,
            "Refuse to start unless the state folder is a mount point, rather than fill the root disk.",
        ),
    )
    scrub_mb_s: float = field(
        default=10.0,
        metadata=_key(
            "MB a second",
            parse_scrub_mb_s,
            "How fast each server reads all it stores, about once a day, to find damage; 0: only when told to.",
            is_live=True,
        ),
    )

    @property
    def scrub_bytes_per_s(self) -> int:
        """`scrub_mb_s` as the data servers count."""
        return round(self.scrub_mb_s * BYTES_PER_MB)


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """[data:N]: data server N. The defaults depend on N: see default_server."""

    index: ServerIndex
    address: str = field(metadata=_key("HOST:PORT", parse_loopback_address, "Where this data server listens."))
    state: str = field(metadata=_key("folder", parse_folder, "Where it keeps its blocks; a disk of its own is best."))


@dataclass(frozen=True, slots=True)
class MountConfig:
    """[mount]: every mount of the file system."""

    attr_timeout_s: float = field(
        default=1.0,
        metadata=_key(
            "seconds",
            parse_attr_timeout_s,
            "How long a mount may answer from attributes it has already seen; open asks again.",
        ),
    )
    allow_other: bool = field(
        default=True, metadata=_key("yes or no", parse_yes_no, "Let users other than the one who mounted use the files.")
    )


@dataclass(frozen=True, slots=True)
class LogConfig:
    """[log]: all programs."""

    level: LogLevel = field(
        default=LogLevel.INFO,
        metadata=_key(
            "one of debug, info, warning, error", parse_level, "The least important messages that are logged.", is_live=True
        ),
    )


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file. `servers` in order of their index, without holes, at least two."""

    cluster: ClusterConfig
    meta: MetaConfig
    data: DataConfig
    servers: tuple[ServerConfig, ...]
    mount: MountConfig
    log: LogConfig


SECTIONS: Final[dict[str, type]] = {
    "cluster": ClusterConfig,
    "meta": MetaConfig,
    "data": DataConfig,
    "mount": MountConfig,
    "log": LogConfig,
}
"""Sections of which there is one each; [data:N] come besides, as ServerConfig."""


def keys_of(section_class: type) -> dict[str, Key]:
    """Return the keys that a section's class has, by name, in order."""
    return {found.name: found.metadata["key"] for found in dataclasses.fields(section_class) if "key" in found.metadata}


def default_server(index: ServerIndex) -> ServerConfig:
    """Return what an empty section [data:INDEX] means."""
    return ServerConfig(index, f"127.0.0.1:{DATA_PORT_BASE + index}", f"/var/lib/dfs/data{index}")


# --- two configurations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """A key that says something else in a newer configuration."""

    section: str
    key: str
    old: str
    """As it is written in the file; empty: the section was not there."""
    new: str
    is_live: bool

    def __str__(self) -> str:
        return f"[{self.section}] {self.key} = {self.new or 'nothing'} (was {self.old or 'nothing'})"


def find_changes(old: Config, new: Config) -> tuple[Change, ...]:
    """Return the keys whose values differ, in the order of the file."""
    changes: list[Change] = []
    for name in SECTIONS:
        changes += _section_changes(name, getattr(old, name), getattr(new, name))
    before, after = ({server.index: server for server in config.servers} for config in (old, new))
    for index in sorted(before.keys() | after.keys()):
        changes += _section_changes(f"data:{index}", before.get(index), after.get(index))
    return tuple(changes)


def with_live_keys(config: Config, newer: Config) -> Config:
    """Return `config` with those values of `newer` that count without a restart: what a program that reloads goes on with."""
    sections = {}
    for name, section_class in SECTIONS.items():
        live = {key: getattr(getattr(newer, name), key) for key, about in keys_of(section_class).items() if about.is_live}
        sections[name] = dataclasses.replace(getattr(config, name), **live)
    return dataclasses.replace(config, **sections)


def _section_changes(name: str, old: object, new: object) -> list[Change]:
    """Return the differences between two states of a section, of which one may be None."""
    changes = []
    for key, about in keys_of(type(old if new is None else new)).items():
        was, now = ("" if section is None else show_value(getattr(section, key)) for section in (old, new))
        if was != now:
            changes.append(Change(name, key, was, now, about.is_live))
    return changes


# --- the file --------------------------------------------------------------------------------------------------------------


def parse_config(text: str, source: str) -> Config:
    """Return the configuration in `text`.

    Arguments: `source`: the file's name, for messages.
    Raises: ConfigError for the first thing that is wrong.
    """
    parser = _parse_ini(text, source)
    _check_sections(parser, source)
    config = Config(
        cluster=_section(ClusterConfig(), "cluster", parser, source),
        meta=_section(MetaConfig(), "meta", parser, source),
        data=_section(DataConfig(), "data", parser, source),
        servers=tuple(
            _section(default_server(index), f"data:{index}", parser, source) for index in _server_indexes(parser, source)
        ),
        mount=_section(MountConfig(), "mount", parser, source),
        log=_section(LogConfig(), "log", parser, source),
    )
    _check_distinct(config, source)
    return config


def _parse_ini(text: str, source: str) -> configparser.RawConfigParser:
    """Return the sections and keys of an INI text, with case kept, without interpolation and without a section of defaults."""
    parser = configparser.RawConfigParser(
        strict=True, delimiters=("=",), comment_prefixes=("#", ";"), default_section="", empty_lines_in_values=False
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text, source)
    except configparser.DuplicateSectionError as error:
        raise ConfigError("each section once", f"it again in line {error.lineno}", f"{source}: [{error.section}]") from error
    except configparser.DuplicateOptionError as error:
        where = f"{source}: [{error.section}] {error.option}"
        raise ConfigError("each key once", f"it again in line {error.lineno}", where) from error
    except configparser.MissingSectionHeaderError as error:
        raise ConfigError("a [section] first", repr(error.line.strip()), f"{source}: line {error.lineno}") from error
    except configparser.ParsingError as error:
        number, _ = error.errors[0]  # the line beside it is quoted in some releases of Python and not in others
        line = text.splitlines()[number - 1]
        raise ConfigError("[section], key = value, or # comment", repr(line), f"{source}: line {number}") from error
    return parser


def _check_sections(parser: configparser.RawConfigParser, source: str) -> None:
    """Refuse sections and keys that nothing would read."""
    for name in parser.sections():
        if name not in SECTIONS and not _DATA_SECTION.fullmatch(name):
            raise ConfigError(f"one of the sections {', '.join(SECTIONS)}, data:0, data:1, ...", "another", f"{source}: [{name}]")
        known = keys_of(SECTIONS.get(name, ServerConfig))
        for key in parser[name]:
            if key not in known:
                raise ConfigError(f"one of the keys {', '.join(known)}", "another", f"{source}: [{name}] {key}")


def _server_indexes(parser: configparser.RawConfigParser, source: str) -> list[ServerIndex]:
    """Return the N of all sections [data:N], rising from 0 without holes (R3)."""
    found = sorted(int(match[1]) for name in parser.sections() if (match := _DATA_SECTION.fullmatch(name)))
    if not SERVERS_MIN <= len(found) <= SERVERS_MAX:
        raise ConfigError(
            f"{SERVERS_MIN} to {SERVERS_MAX} sections, one per data server", str(len(found)), f"{source}: [data:0], [data:1], ..."
        )
    for index, number in enumerate(found):
        if number != index:
            raise ConfigError(f"data servers numbered 0 to {len(found) - 1}", f"no [data:{index}]", f"{source}: [data:{number}]")
    return [ServerIndex(number) for number in found]


def _section(default: S, name: str, parser: configparser.RawConfigParser, source: str) -> S:
    """Return `default`, a data class of keys, with what the file says in section `name`."""
    if not parser.has_section(name):
        return default
    keys = keys_of(type(default))
    given = {key: _value(keys[key], text, f"{source}: [{name}] {key}") for key, text in parser[name].items()}
    return dataclasses.replace(default, **given)  # type: ignore[type-var]


def _value(key: Key, text: str, where: str) -> object:
    if re.search(r"\s[#;]", text):
        raise ConfigError("a comment on a line of its own", repr(text), where)
    if not text.isprintable():
        raise ConfigError("printable characters on one line (is the next line indented?)", repr(text), where)
    try:
        return key.parse(text)
    except Unfit as unfit:
        raise ConfigError(str(unfit), text or "nothing", where) from unfit


def _check_distinct(config: Config, source: str) -> None:
    """Refuse servers that would get in each other's way."""
    servers = [("meta", config.meta.address, config.meta.state)]
    servers += [(f"data:{server.index}", server.address, server.state) for server in config.servers]
    _refuse_equal(((name, address.replace("localhost:", "127.0.0.1:")) for name, address, _ in servers), "address", source)
    _refuse_equal(((name, state) for name, _, state in servers), "state", source)


def _refuse_equal(values: Iterable[tuple[str, str]], key: str, source: str) -> None:
    owners: dict[str, str] = {}
    for section, value in values:
        owner = owners.setdefault(value, section)
        if owner != section:
            raise ConfigError("one that no other server has", f"{value}, as in [{owner}]", f"{source}: [{section}] {key}")
