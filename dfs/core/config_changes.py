"""Two configurations compared: which keys differ, and which of them count without a restart (pure).

Called by dfs/cli/reloading.py. Which keys those are stands beside each key in dfs/core/config.py.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from dfs.core.config import SECTIONS, Config, keys_of
from dfs.core.config_values import show_value


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
    were, are = ({export.name: export for export in config.exports} for config in (old, new))
    for export in {**were, **are}:
        changes += _section_changes(f"export:{export}", were.get(export), are.get(export))
    return tuple(changes)


def with_live_keys(config: Config, newer: Config) -> Config:
    """Return `config` with those values of `newer` that count without a restart: what a program that reloads goes on with."""
    sections = {}
    for name, section_class in SECTIONS.items():
        live = {key: getattr(getattr(newer, name), key) for key, about in keys_of(section_class).items() if about.is_live}
        sections[name] = dataclasses.replace(getattr(config, name), **live)
    return dataclasses.replace(config, **sections, exports=newer.exports)


def _section_changes(name: str, old: object, new: object) -> list[Change]:
    """Return the differences between two states of a section, of which one may be None."""
    changes = []
    for key, about in keys_of(type(old if new is None else new)).items():
        was, now = ("" if section is None else show_value(getattr(section, key)) for section in (old, new))
        if was != now:
            changes.append(Change(name, key, was, now, about.is_live))
    return changes
