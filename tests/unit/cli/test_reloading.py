"""Goal: after SIGHUP a server does what the file says now as far as it can, and names what it can't. Method: configurations in
memory, events recorded; the log level is the real one of a logger's root, put back afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from dfs.cli.reloading import Reloading
from dfs.core.config import Config
from dfs.core.config_changes import find_changes, with_live_keys
from dfs.core.config_file import parse_config
from dfs.core.start_errors import ConfigError
from tests.harness.recorded_events import RecordedEvents

BASE = "[data:0]\n[data:1]\n"


def config(text: str = "") -> Config:
    return parse_config(text + BASE, "dfs.conf")


class Program:
    """A data server that reloads: `file` is what its configuration file says."""

    def __init__(self) -> None:
        self.file: Config | ConfigError = config()
        self.applied: list[float] = []
        self.events = RecordedEvents()
        self.reloading = Reloading(
            read=self._read,
            running=config(),
            sections=("data", "log"),
            apply=lambda found: self.applied.append(found.data.scrub_mb_s),
            events=self.events,
        )

    def _read(self) -> Config:
        if isinstance(self.file, ConfigError):
            raise self.file
        return self.file

    def reload(self, file: Config | ConfigError) -> list[str]:
        """Return the lines of the events of one reload."""
        self.file = file
        before = len(self.events.events)
        self.reloading.reload()
        return [f"{event.kind.name}: {event.message()}" for event in self.events.events[before:]]


@pytest.fixture
def program() -> Iterator[Program]:
    level = logging.getLogger().level
    yield Program()
    logging.getLogger().setLevel(level)


def test_live_keys_count_at_once_and_are_told(program: Program) -> None:
    lines = program.reload(config("[log]\nlevel = debug\n[data]\nscrub_mb_s = 2.5\n"))
    assert program.applied == [2.5]
    assert logging.getLogger().level == logging.DEBUG
    assert lines == [
        "CONFIG_RELOADED: the configuration was read again: [data] scrub_mb_s = 2.5 (was 10); [log] level = debug (was info)"
    ]


def test_other_keys_are_named_each_time_until_they_are_as_before(program: Program) -> None:
    changed = config("[data]\nrequire_mount = yes\n")
    for _ in range(2):
        assert program.reload(changed)[1] == (
            "CONFIG_NEEDS_RESTART: changed in the configuration, but counts only after a restart of this program: "
            "[data] require_mount = yes (was no)"
        )
    assert [line.split(":")[0] for line in program.reload(config())] == ["CONFIG_RELOADED"]


def test_keys_of_other_programs_are_not_spoken_of(program: Program) -> None:
    assert program.reload(config("[meta]\naddress = 127.0.0.1:9001\n[mount]\nallow_other = no\n")) == [
        "CONFIG_RELOADED: the configuration was read again: nothing that counts at once has changed"
    ]


def test_wrong_configuration_changes_nothing_and_is_told(program: Program) -> None:
    program.reload(config("[data]\nscrub_mb_s = 2\n"))
    lines = program.reload(ConfigError("a number", "much", "dfs.conf: [data] scrub_mb_s"))
    assert program.applied == [2.0]
    assert lines == [
        "CONFIG_REFUSED: the configuration was not read again, what was read before stays in force: "
        "dfs.conf: [data] scrub_mb_s: expected a number, got much"
    ]


def test_sections_that_come_and_go_are_changes_too() -> None:
    more = config("[data:2]\nstate = /srv/two\n")
    assert [str(change) for change in find_changes(config(), more)] == [
        "[data:2] address = 127.0.0.1:9102 (was nothing)",
        "[data:2] state = /srv/two (was nothing)",
    ]
    assert [change.new for change in find_changes(more, config())] == ["", ""]


def test_with_live_keys_takes_those_and_no_others() -> None:
    newer = config("[log]\nlevel = error\n[meta]\naddress = 127.0.0.1:9001\n[data]\nrequire_mount = yes\nscrub_mb_s = 0\n")
    assert with_live_keys(config(), newer) == config("[log]\nlevel = error\n[data]\nscrub_mb_s = 0\n")
