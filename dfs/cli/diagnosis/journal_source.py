"""The events of all dfs programs in this machine's journal, from `journalctl -o json`, and their last errors that are no events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from dfs.cli.diagnosis.observations import Entry
from dfs.cli.diagnosis.programs import Unseen, run
from dfs.cli.diagnosis.unit_source import PATTERNS
from dfs.core.events.catalogue import ALL_KINDS
from dfs.core.events.event import UNIT_FIELD

SINCE: Final = "-24h"
ENTRIES_MAX: Final = 5000
_COMMAND: Final = ("journalctl", "-o", "json", "--no-pager", f"--since={SINCE}", "-n", str(ENTRIES_MAX))


def look_at_journal() -> tuple[Entry, ...]:
    """Return the events and errors of the last day, in order of time. Raises: Unseen where there is no journal to read."""
    events = parse_entries(run([*_COMMAND, *(f"MESSAGE_ID={kind.message_id}" for kind in ALL_KINDS)]))
    errors = parse_entries(run([*_COMMAND, "-p", "err", *(f"--unit={pattern}" for pattern in PATTERNS)]))
    return tuple(sorted((*events, *(entry for entry in errors if not entry.message_id)), key=lambda entry: entry.at_s))


def parse_entries(text: str) -> tuple[Entry, ...]:
    """Return the entries in the output of `journalctl -o json`, one object per line. Raises: Unseen if it is something else."""
    try:
        return tuple(_entry(json.loads(line)) for line in text.splitlines() if line.strip())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unseen("journalctl -o json to write one JSON object per line", repr(error)) from error


def _entry(values: dict[str, Any]) -> Entry:
    texts = dict(_texts(values))
    return Entry(
        at_s=int(texts["__REALTIME_TIMESTAMP"]) / 1e6,
        unit=texts.get("_SYSTEMD_UNIT") or texts.get(UNIT_FIELD) or texts.get("SYSLOG_IDENTIFIER", "?"),
        message_id=texts.get("MESSAGE_ID", ""),
        message=texts.get("MESSAGE", ""),
        fields={name: text for name, text in texts.items() if name.startswith("DFS_")},
    )


def _texts(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the fields as text. journalctl writes what is not UTF-8 as a list of bytes, and a repeated field as a list of texts."""
    for name, value in values.items():
        if isinstance(value, list) and all(isinstance(each, int) for each in value):
            yield name, bytes(value).decode("utf-8", "backslashreplace")
        elif isinstance(value, list):
            yield name, str(value[-1])
        elif value is not None:
            yield name, str(value)
