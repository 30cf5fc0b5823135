"""The configuration files, in INI format: text in, a configuration out (pure).

Promises: a configuration that was read is usable as a whole; what is wrong is a ConfigError `FILE: [section] key: expected ...,
got ...`. A drop-in adds to the files before it: a key that is in several files means what the last one says. Called
by dfs/cli/configuration.py, which reads the files. Never guesses: unknown sections, unknown keys and odd values are errors.
"""

from __future__ import annotations

import configparser
import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeVar

from dfs.core.config import (
    SECTIONS,
    ClusterConfig,
    Config,
    DataConfig,
    ExportConfig,
    Key,
    LogConfig,
    MetaConfig,
    MetricsConfig,
    MountConfig,
    ServerConfig,
    ShutdownConfig,
    TlsConfig,
    default_server,
    keys_of,
)
from dfs.core.config_values import parse_name
from dfs.core.ids import ServerIndex
from dfs.core.limits import SERVERS_MAX, SERVERS_MIN
from dfs.core.start_errors import ConfigError
from dfs.core.unfit import Unfit

_DATA_SECTION: Final = re.compile(r"data:(0|[1-9][0-9]{0,8})")
_EXPORT_SECTION: Final = re.compile(r"export:(.*)")

S = TypeVar("S")


class ConfigText(NamedTuple):
    """One file."""

    text: str
    source: str
    """Its name, for messages."""


class _Given(NamedTuple):
    """What one key was given as."""

    text: str
    source: str


_Sections = dict[str, dict[str, _Given]]
"""What all files together say: section -> key -> the last word on it."""


def parse_config(text: str, source: str, drop_ins: Sequence[ConfigText] = ()) -> Config:
    """Return the configuration in `text` and the drop-ins, each of which has the last word over those before it.

    Arguments: `source`: the name of the file that `text` is from, for messages.
    Raises: ConfigError for the first thing that is wrong.
    """
    sections: _Sections = {}
    for file in (ConfigText(text, source), *drop_ins):
        parser = _parse_ini(file.text, file.source)
        _check_sections(parser, file.source)
        for name in parser.sections():
            said = {key: _Given(value, file.source) for key, value in parser[name].items()}
            sections.setdefault(name, {}).update(said)
    config = Config(
        cluster=_section(ClusterConfig(), "cluster", sections),
        meta=_section(MetaConfig(), "meta", sections),
        data=_section(DataConfig(), "data", sections),
        servers=tuple(_section(default_server(index), f"data:{index}", sections) for index in _server_indexes(sections, source)),
        mount=_section(MountConfig(), "mount", sections),
        metrics=_section(MetricsConfig(), "metrics", sections),
        shutdown=_section(ShutdownConfig(), "shutdown", sections),
        log=_section(LogConfig(), "log", sections),
        tls=_section(TlsConfig(), "tls", sections),
        exports=tuple(_section(ExportConfig(export), f"export:{export}", sections) for export in _export_names(sections, source)),
    )
    _check_tls(config.tls, sections)
    _check_distinct(config, sections, source)
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
        section_class = _class_of(name)
        if section_class is None:
            expected = f"one of the sections {', '.join(SECTIONS)}, data:0, data:1, ..., export:NAME"
            raise ConfigError(expected, "another", f"{source}: [{name}]")
        known = keys_of(section_class)
        for key in parser[name]:
            if key not in known:
                raise ConfigError(f"one of the keys {', '.join(known)}", "another", f"{source}: [{name}] {key}")


def _class_of(name: str) -> type | None:
    """Return the class of a section; None if there is no such section."""
    if _DATA_SECTION.fullmatch(name):
        return ServerConfig
    return ExportConfig if _EXPORT_SECTION.fullmatch(name) else SECTIONS.get(name)


def _export_names(sections: _Sections, source: str) -> list[str]:
    """Return the names of all exports, in the order of the files."""
    names = [match[1] for name in sections if (match := _EXPORT_SECTION.fullmatch(name))]
    for name in names:
        try:
            parse_name(name)
        except Unfit as unfit:
            raise ConfigError(str(unfit), name or "nothing", f"{source}: the name in [export:{name}]") from unfit
    return names


def _server_indexes(sections: _Sections, source: str) -> list[ServerIndex]:
    """Return the N of all sections [data:N], rising from 0 without holes (R3)."""
    found = sorted(int(match[1]) for name in sections if (match := _DATA_SECTION.fullmatch(name)))
    if not SERVERS_MIN <= len(found) <= SERVERS_MAX:
        raise ConfigError(
            f"{SERVERS_MIN} to {SERVERS_MAX} sections, one per data server", str(len(found)), f"{source}: [data:0], [data:1], ..."
        )
    for index, number in enumerate(found):
        if number != index:
            raise ConfigError(f"data servers numbered 0 to {len(found) - 1}", f"no [data:{index}]", f"{source}: [data:{number}]")
    return [ServerIndex(number) for number in found]


def _section(default: S, name: str, sections: _Sections) -> S:
    """Return `default`, a data class of keys, with what the files say in section `name`."""
    keys = keys_of(type(default))
    said = sections.get(name, {})
    values = {key: _value(keys[key], given.text, f"{given.source}: [{name}] {key}") for key, given in said.items()}
    return dataclasses.replace(default, **values)  # type: ignore[type-var]


def _value(key: Key, text: str, where: str) -> object:
    if re.search(r"\s[#;]", text):
        raise ConfigError("a comment on a line of its own", repr(text), where)
    if not text.isprintable():
        raise ConfigError("printable characters on one line (is the next line indented?)", repr(text), where)
    try:
        return key.parse(text)
    except Unfit as unfit:
        raise ConfigError(str(unfit), text or "nothing", where) from unfit


def _check_tls(tls: TlsConfig, sections: _Sections) -> None:
    """Refuse half a description: nobody shall believe that TLS is on when it is not."""
    files = {key: getattr(tls, key) for key in keys_of(TlsConfig)}
    missing = [key for key, file in files.items() if not file]
    if missing and len(missing) < len(files):
        given = next(iter(sections["tls"].values()))
        raise ConfigError(f"all of {', '.join(files)}, or none", f"no {' and no '.join(missing)}", f"{given.source}: [tls]")


def _check_distinct(config: Config, sections: _Sections, source: str) -> None:
    """Refuse servers that would get in each other's way."""
    servers = [("meta", config.meta.address, config.meta.state)]
    servers += [(f"data:{server.index}", server.address, server.state) for server in config.servers]
    addresses = ((name, address.replace("localhost:", "127.0.0.1:")) for name, address, _ in servers)
    _refuse_equal(addresses, "address", sections, source)
    _refuse_equal(((name, state) for name, _, state in servers), "state", sections, source)


def _refuse_equal(values: Iterable[tuple[str, str]], key: str, sections: _Sections, source: str) -> None:
    owners: dict[str, str] = {}
    for section, value in values:
        owner = owners.setdefault(value, section)
        if owner != section:
            given = sections.get(section, {}).get(key)
            where = f"{source if given is None else given.source}: [{section}] {key}"
            raise ConfigError("one that no other server has", f"{value}, as in [{owner}]", where)
