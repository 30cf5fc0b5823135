"""Goal: an operator finds every event, whole, on one line or with its fields. Method: real processes' standard error for plain
lines, the arguments given to journald for fields.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.core.contexts import PlainContext
from dfs.core.current_request import WorkingOn
from dfs.core.events.copies import COPY_REPAIRED, NO_GOOD_COPY
from dfs.core.events.event import Event, Level
from dfs.core.events.mount import WRITE_WAITS
from dfs.core.events.programs import LINES_LEFT_OUT
from dfs.core.ids import BlockNo, Generation, Ino, ServerIndex
from dfs.core.interfaces import EventSink
from dfs.host import own_unit
from dfs.host.journal import JournalEvents, setup_logging
from dfs.host.repetitions import TOLD_MAX, RepetitionFilter

EVENT = Event(
    NO_GOOD_COPY,
    ino=Ino(7),
    path=b"/films/\xff.mkv",
    block=BlockNo(3),
    generation=Generation(9),
    details={"primary": "corrupt", "secondary": "absent"},
)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[dict[str, str]]]:
    """Logging as under systemd; yields what the journal was given."""
    root, messages = logging.getLogger(), []
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr("systemd.journal.sendv", lambda *fields: messages.append(dict(f.split("=", 1) for f in fields)))
    monkeypatch.setattr(own_unit, "CONTROL_GROUPS", tmp_path / "cgroup")
    (tmp_path / "cgroup").write_text("0::/dfs.slice/dfs-data@2.service\n")
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    root.handlers = []  # pytest's own must not be closed by setup_logging
    try:
        setup_logging("info", "dfs-data")
        yield messages
    finally:
        root.handlers = handlers
        root.setLevel(level)


def standard_error_of(body: str, **environment: str) -> list[str]:
    """Return the lines that a process with `body` after setup_logging writes to standard error."""
    program = (
        f"import logging\nfrom dfs.host.journal import *\nsetup_logging('info', 'dfs-data')\nlog = logging.getLogger('x')\n{body}"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        stderr=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, **environment},
        timeout=20,
    )
    return run.stderr.splitlines()


def test_plain_line_has_time_level_program_and_message() -> None:
    (line,) = standard_error_of("log.debug('hidden')\nlog.warning('disk %s is slow', 3)")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} WARNING dfs-data: disk 3 is slow", line)


def test_plain_line_of_a_name_with_line_ends_and_odd_bytes_stays_one_line() -> None:
    (line,) = standard_error_of(r"log.error('%s', 'a\nb\r\x1b[31m' + b'\xff'.decode('utf-8', 'surrogateescape'))")
    assert line.endswith(r"ERROR dfs-data: a\x0ab\x0d\x1b[31m\udcff")


def test_plain_line_of_an_exception_is_followed_by_its_traceback() -> None:
    lines = standard_error_of("try: 1 / 0\nexcept ZeroDivisionError: log.critical('a bug', exc_info=True)")
    assert "CRITICAL dfs-data: a bug" in lines[0]
    assert lines[1].startswith("Traceback")
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_plain_line_of_an_event_ends_with_its_request() -> None:
    body = (
        "from dfs.core.events.event import Event\nfrom dfs.core.events.mount import WRITE_WAITS\n"
        "from dfs.core.contexts import PlainContext\n"
        "event = Event(WRITE_WAITS, server=2, details={'reason': 'refused'})\n"
        "JournalEvents().emit(event, PlainContext(request_id='r-17'))\nJournalEvents().emit(event, PlainContext())"
    )
    with_request, without = standard_error_of(body)
    assert with_request.endswith("WARNING dfs-data: writing waits for server 2: refused (request r-17)")
    assert without.endswith("WARNING dfs-data: writing waits for server 2: refused")


def test_journal_stream_of_another_file_means_plain_lines() -> None:
    (line,) = standard_error_of("log.info('here')", JOURNAL_STREAM="1:1")
    assert line.endswith("INFO dfs-data: here")


def test_closed_standard_error_harms_nobody() -> None:
    program = (
        "import logging\nfrom dfs.host.journal import *\nsetup_logging('info', 'dfs-data')\nlogging.error('x')\n"
        "print(is_journal_stream())"
    )
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", program]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=20)
    assert run.stdout == "False\n"


def test_event_reaches_the_journal_once_with_all_its_fields(sent: list[dict[str, str]]) -> None:
    sink: EventSink = JournalEvents()
    sink.emit(EVENT, PlainContext(request_id="r-17"))
    (message,) = sent
    assert message["MESSAGE"] == (
        "/films/\\xff.mkv (inode 7) block 3: no good copy, the read fails with EIO; primary is corrupt, secondary is absent"
    )
    expected = {
        "MESSAGE_ID": NO_GOOD_COPY.message_id,
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "dfs-data",
        "DFS_UNIT": "dfs-data@2.service",
        "DFS_INO": "7",
        "DFS_PATH": "/films/\\xff.mkv",
        "DFS_BLOCK": "3",
        "DFS_GENERATION": "9",
        "DFS_REQUEST": "r-17",
    }
    assert expected.items() <= message.items()
    assert {"DFS_PRIMARY": "corrupt", "DFS_SECONDARY": "absent"}.items() <= message.items()
    assert all(name.isupper() for name in message)


def test_event_without_context_has_no_request_field(sent: list[dict[str, str]]) -> None:
    JournalEvents().emit(EVENT)
    JournalEvents().emit(EVENT, PlainContext())
    assert all("DFS_REQUEST" not in message for message in sent)


def test_event_that_lacks_a_detail_of_its_template_is_told_nevertheless(sent: list[dict[str, str]]) -> None:
    JournalEvents().emit(Event(COPY_REPAIRED, server=ServerIndex(2), details={"role": "primary"}))
    assert sent[0]["MESSAGE"] == "COPY_REPAIRED DFS_SERVER = 2, DFS_PATH = ?, DFS_ROLE = primary"
    assert sent[0]["MESSAGE_ID"] == COPY_REPAIRED.message_id


def test_journal_gets_tracebacks_and_origin_and_odd_text(sent: list[dict[str, str]]) -> None:
    try:
        raise ValueError("odd \udcff")
    except ValueError:
        logging.getLogger("dfs.data.scrub").exception("a bug")
    assert sent[0]["MESSAGE"].startswith("a bug\nTraceback")
    assert sent[0]["MESSAGE"].endswith("ValueError: odd \\udcff")
    assert sent[0]["LOGGER"] == "dfs.data.scrub"
    assert sent[0]["CODE_FILE"] == __file__


def test_journal_that_fails_does_not_break_the_caller(
    sent: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no journal")

    monkeypatch.setattr("systemd.journal.send", fail)
    JournalEvents().emit(EVENT)
    assert sent == []
    assert "no journal" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("level", "priority"), [(Level.CRITICAL, "2"), (Level.ERROR, "3"), (Level.WARNING, "4"), (Level.INFO, "6")]
)
def test_priority_of_each_level_is_syslogs(level: int, priority: str, sent: list[dict[str, str]]) -> None:
    logging.getLogger("dfs").log(level, "x")
    assert sent[0]["PRIORITY"] == priority


def test_any_line_written_while_a_request_is_carried_out_names_it(sent: list[dict[str, str]]) -> None:
    with WorkingOn("a1b2c3-7"):
        logging.getLogger("dfs.data.disk.strips").warning("a torn record")
        JournalEvents().emit(EVENT)
    logging.getLogger("dfs.data.disk.strips").warning("another")
    assert [message.get("DFS_REQUEST") for message in sent] == ["a1b2c3-7", "a1b2c3-7", None]


def test_repetitions_are_counted_and_told_with_what_they_were(sent: list[dict[str, str]]) -> None:
    event = Event(WRITE_WAITS, server=ServerIndex(1), details={"reason": "refused"})
    for _ in range(TOLD_MAX + 5):
        JournalEvents().emit(event)
    (repetitions,) = (each for each in logging.getLogger().handlers[0].filters if isinstance(each, RepetitionFilter))
    repetitions.tell_all()
    assert [message["MESSAGE_ID"] for message in sent] == [WRITE_WAITS.message_id] * TOLD_MAX + [LINES_LEFT_OUT.message_id]
    assert sent[-1]["DFS_COUNT"] == "5"
    assert sent[-1]["DFS_EXAMPLE"] == "writing waits for server 1: refused"


def test_process_that_ends_tells_what_it_left_out() -> None:
    lines = standard_error_of("for number in range(30): log.warning('disk %d', number)")
    assert len(lines) == TOLD_MAX + 1
    assert "10 more lines of the same kind were left out" in lines[-1]
    assert lines[-1].endswith(f"disk {TOLD_MAX}")


def test_python3_systemd_is_loaded_under_systemd_only() -> None:
    (line,) = standard_error_of("import sys\nlog.warning('systemd.journal' in sys.modules)")
    assert line.endswith("WARNING dfs-data: False")
