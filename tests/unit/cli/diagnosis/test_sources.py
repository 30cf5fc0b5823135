"""Goal: what systemctl and journalctl write is read as they mean it, and what they can't do is said in one line.
Method: their output as it looks on Debian 12, and small programs that behave badly.
"""

from __future__ import annotations

import json
import sys

import pytest

from dfs.cli.diagnosis.journal_source import parse_entries
from dfs.cli.diagnosis.observations import Entry, Unit
from dfs.cli.diagnosis.programs import Unseen, run
from dfs.cli.diagnosis.unit_source import parse_units

SHOWN = """\
NRestarts=2
ExecMainStatus=6
Result=exit-code
Id=dfs-data@0.service
LoadState=loaded
ActiveState=failed
StatusText=

NRestarts=0
ExecMainStatus=0
Result=success
Id=dfs-meta.service
LoadState=loaded
ActiveState=active
StatusText=serving 7 files = 3 MiB

Id=dfs-mount@x.service
LoadState=not-found
ActiveState=inactive
"""


def test_units_are_read_with_what_they_say_of_themselves() -> None:
    assert parse_units(SHOWN) == (
        Unit("dfs-data@0.service", "failed", "exit-code", 6, 2, ""),
        Unit("dfs-meta.service", "active", "success", 0, 0, "serving 7 files = 3 MiB"),
    )
    assert parse_units("") == ()


def test_entries_are_read_with_odd_bytes_repeated_fields_and_without_a_unit() -> None:
    line = {
        "__REALTIME_TIMESTAMP": "1700000000500000",
        "_SYSTEMD_UNIT": "dfs-meta.service",
        "MESSAGE_ID": "a" * 32,
        "MESSAGE": [111, 100, 100, 255],
        "DFS_PATH": ["/a", "/b"],
        "DFS_SERVER": "1",
        "_PID": "7",
        "BIG": None,
    }
    by_hand = {"__REALTIME_TIMESTAMP": "1", "SYSLOG_IDENTIFIER": "dfs-mount", "MESSAGE": "hello"}
    text = f"{json.dumps(line)}\n{json.dumps(by_hand)}\n"
    assert parse_entries(text) == (
        Entry(1_700_000_000.5, "dfs-meta.service", "a" * 32, "odd\\xff", {"DFS_PATH": "/b", "DFS_SERVER": "1"}),
        Entry(0.000001, "dfs-mount", "", "hello", {}),
    )


def test_entry_whose_unit_the_journal_missed_is_of_the_unit_that_it_names_itself() -> None:
    """The journal looks for the unit when it comes to a line; a program that told why it ends may have ended by then."""
    named = {"__REALTIME_TIMESTAMP": "1", "SYSLOG_IDENTIFIER": "mount.dfs", "DFS_UNIT": "mnt-x.mount", "MESSAGE": "no cluster"}
    (entry,) = parse_entries(json.dumps(named))
    assert entry.unit == "mnt-x.mount"
    (entry,) = parse_entries(json.dumps({**named, "_SYSTEMD_UNIT": "dfs-mount@mnt-x.service"}))
    assert entry.unit == "dfs-mount@mnt-x.service"


@pytest.mark.parametrize("text", ["-- No entries --\n", "[1]\n", "{}\n", '{"__REALTIME_TIMESTAMP": "x"}\n'])
def test_other_output_is_refused(text: str) -> None:
    with pytest.raises(Unseen, match="one JSON object per line"):
        parse_entries(text)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["dfs-no-such-program"], "no such program"),
        ([sys.executable, "-c", "import sys; sys.exit('not booted with systemd')"], "not booted with systemd"),
        ([sys.executable, "-c", "import sys; print('no journal files', file=sys.stderr)"], "no journal files"),
        (["/"], "Permission denied"),
    ],
)
def test_program_that_can_not_help_is_a_reason_in_one_line(command: list[str], reason: str) -> None:
    with pytest.raises(Unseen, match=reason) as caught:
        run(command)
    assert "\n" not in str(caught.value)
