"""Goal: whoever reads an event in the journal finds what it means and commands that work. Method: the catalogue is read as systemd
reads it and compared with the events, both ways; each command is given to dfsctl's parser or compared with a list; systemd's own
journalctl, where there is one, compiles the file.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from dfs.cli.dfsctl import make_dfsctl_parser
from dfs.core.events.catalogue import ALL_KINDS
from dfs.core.events.event import REQUEST_FIELD, EventKind

CATALOG = Path(__file__).resolve().parents[2] / "packaging" / "dfs.catalog"
HEADER = re.compile(r"([A-Z][A-Za-z-]*): (.+)")
VARIABLE = re.compile(r"@([A-Z_]+)@")
"""What systemd replaces (replace-var.c): capitals and underscores between two @."""
UNIT = re.compile(r"dfs-(meta|data@\d+|data@\*|mount@\*|\*)(\.service)?|dfs\.target|systemd-timesyncd")
PARTS = ("What happened:", "Likely causes:", "What to do:")
KINDS = {kind.message_id: kind for kind in ALL_KINDS}


@dataclass(frozen=True)
class Entry:
    """One entry of the catalogue."""

    message_id: str
    headers: dict[str, str]
    body: str

    def commands(self) -> list[list[str]]:
        """Return its commands as words, with something for each field."""
        lines = [line.strip() for line in self.body.splitlines() if line.startswith("    ")]
        return [shlex.split(VARIABLE.sub("1", line)) for line in lines]


def parse_catalog(text: str) -> list[Entry]:
    """Return the entries as systemd's catalog.c finds them. Raises: AssertionError for what it would refuse."""
    entries: list[Entry] = []
    lines: list[str] = []
    message_id = ""
    for line in [*text.splitlines(), "-- end"]:
        if not line.startswith("-- "):
            assert message_id or not line.strip() or line.startswith("#"), f"text outside of an entry: {line!r}"
            lines += [] if line.startswith("#") else [line]
            continue
        if message_id:
            head, _, body = "\n".join(lines).partition("\n\n")
            found = [HEADER.fullmatch(each) for each in head.splitlines()]
            assert all(found), f"not a header in {head!r}"
            assert body.strip(), f"{message_id} has no text"
            entries.append(Entry(message_id, {match[1]: match[2] for match in found if match}, body.strip("\n")))
        message_id, lines = line[3:].strip(), []
        assert re.fullmatch(r"[0-9a-f]{32}|end", message_id), f"not an id: {line!r}"
    return entries


ENTRIES = parse_catalog(CATALOG.read_text(encoding="utf-8"))
NAMES = {kind.message_id: kind.name for kind in ALL_KINDS}


def name_of(entry: Entry) -> str:
    return NAMES.get(entry.message_id, entry.message_id)


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.name)
def test_every_event_has_exactly_one_entry(kind: EventKind) -> None:
    assert [entry.message_id for entry in ENTRIES].count(kind.message_id) == 1


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_every_entry_belongs_to_an_event_and_uses_its_fields_only(entry: Entry) -> None:
    kind = KINDS[entry.message_id]
    used = set(VARIABLE.findall("".join([*entry.headers.values(), entry.body])))
    assert used <= kind.fields() | {REQUEST_FIELD}
    assert all(re.fullmatch(r"[A-Z_]+", field) for field in kind.fields()), "systemd replaces names of capitals and _ only"


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_every_entry_tells_what_happened_why_and_what_to_do(entry: Entry) -> None:
    assert set(entry.headers) == {"Subject", "Defined-By"}
    assert entry.headers["Defined-By"] == "dfs"
    places = [entry.body.find(part) for part in PARTS]
    assert places[0] == 0
    assert places == sorted(places)
    assert -1 not in places
    assert entry.commands(), "what to do has no command"
    assert all(line.startswith("    ") for line in entry.body.splitlines() if line.startswith(" "))
    assert max(map(len, entry.body.splitlines())) <= 90


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_every_command_is_one_that_its_program_understands(entry: Entry) -> None:
    for program, *arguments in entry.commands():
        if arguments == ["--version"]:
            assert program == "dfsctl"
        elif program == "dfsctl":
            make_dfsctl_parser().parse_args(arguments)
        elif program == "systemctl":
            check_systemctl(*arguments)
        else:
            assert program == "journalctl", program
            check_journalctl(arguments)


def check_systemctl(verb: str, *arguments: str) -> None:
    if verb == "list-units":
        assert set(arguments) <= {"--all", "dfs-*", "dfs-mount@*", "--type=mount"}
        return
    assert verb in ("start", "stop", "restart", "reload", "status")
    assert all(UNIT.fullmatch(unit) for unit in arguments), arguments
    assert arguments


def check_journalctl(arguments: list[str]) -> None:
    rest = " ".join(arguments)
    for known in (r"-u \S+", r"-n \d+", r"-b -1", r"--since -\d+(min|h|d)", "-x", "-k", "-p warning", "-o verbose", "--disk-usage"):
        rest = re.sub(rf"(^| ){known}(?= |$)", "", rest)
    rest = re.sub(r"(^| )(--vacuum-size=\d+M|MESSAGE_ID=[0-9a-f]{32}|DFS_[A-Z]+=\d+)(?= |$)", "", rest)
    assert not rest.strip(), f"journalctl {' '.join(arguments)}"
    for unit in re.findall(r"-u (\S+)", " ".join(arguments)):
        assert UNIT.fullmatch(unit), unit


def test_catalogue_is_what_journalctl_compiles_and_shows(tmp_path: Path) -> None:
    journalctl = shutil.which("journalctl")
    if journalctl is None:
        return  # parse_catalog has checked the same rules
    folder = tmp_path / "usr" / "lib" / "systemd" / "catalog"
    folder.mkdir(parents=True)
    shutil.copy(CATALOG, folder / "dfs.catalog")
    done = subprocess.run([journalctl, f"--root={tmp_path}", "--update-catalog"], check=True, capture_output=True, text=True)
    assert done.stdout + done.stderr == ""
    database = (tmp_path / "var" / "lib" / "systemd" / "catalog" / "database").read_bytes()
    for kind in ALL_KINDS:
        assert bytes.fromhex(kind.message_id) in database, kind.name
    for entry in ENTRIES:
        assert entry.headers["Subject"].encode() in database
