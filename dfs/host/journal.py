"""Where log lines go: the journal with fields under systemd, plain lines on standard error everywhere else.

Owns the root logger's one handler. A record's journal fields are its attributes in capitals: `extra={"DFS_SERVER": "2"}`.
Promises: whatever the text, a log call neither raises nor breaks a line in two, except for tracebacks; a line that belongs to a
user's operation carries its request identifier as DFS_REQUEST, whoever wrote it; in the journal each line names its unit. Called by
dfs/cli at start; JournalEvents is the services' EventSink. Never decides what is worth logging.

python3-systemd is loaded only where standard error is the journal: everywhere else dfs works without it.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
from typing import Any, Final

from dfs.core.current_request import NO_REQUEST, current_request
from dfs.core.events.event import REQUEST_FIELD, UNIT_FIELD, Event
from dfs.core.events.programs import LINES_LEFT_OUT
from dfs.core.interfaces import CallContext
from dfs.host.own_unit import own_unit
from dfs.host.repetitions import LeftOut, RepetitionFilter

_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127)}

log = logging.getLogger(__name__)


def setup_logging(level: str, program: str) -> None:
    """Send all log records of this process to the journal or to standard error.

    Arguments: the least important level, of core.config.LogLevel; the program's name as it begins its lines.
    """
    handler = _journal_handler(program) if is_journal_stream() else _plain_handler(program)
    repetitions = RepetitionFilter(_tell_left_out)
    handler.addFilter(add_request)
    handler.addFilter(repetitions)
    atexit.register(repetitions.tell_all)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def set_level(level: str) -> None:
    """Log from now on what is at least as important as `level`, of core.config.LogLevel."""
    logging.getLogger().setLevel(level.upper())


def is_journal_stream() -> bool:
    """Tell whether standard error is the connection to the journal that systemd set up (systemd.exec(5), JOURNAL_STREAM)."""
    stream = os.environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(2)
    except OSError:  # standard error is closed
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


def add_request(record: logging.LogRecord) -> bool:
    """Let a record that was made while a user's operation is carried out name it; a filter that drops nothing."""
    request = current_request()
    if request != NO_REQUEST and REQUEST_FIELD not in record.__dict__:
        setattr(record, REQUEST_FIELD, request)
    return True


class PlainLines(logging.Formatter):
    """`2026-03-01T12:00:00.000+0100 LEVEL program: message (request ID)`, then the traceback if there is one."""

    def __init__(self, program: str) -> None:
        super().__init__(f"%(asctime)s %(levelname)s {program.replace('%', '%%')}: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """Return the local time with milliseconds and its distance from UTC."""
        moment = self.converter(record.created)
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{int(record.msecs):03d}{time.strftime('%z', moment)}"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line; a file's name with a line end in it must not look like two lines."""
        request = getattr(record, REQUEST_FIELD, "")
        record.message = record.message.translate(_CONTROLS) + (f" (request {request})" if request else "")
        return super().formatMessage(record)


def _plain_handler(program: str) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainLines(program))
    return handler


def _journal_handler(program: str) -> logging.Handler:
    """Return what sends each record to the journal with its level, origin and fields."""
    from systemd import journal

    def send(message: str, /, **fields: Any) -> None:
        """Send what the journal takes: JournalHandler offers all attributes of a record, whatever their names."""
        shown = {name: _encodable(value) if isinstance(value, str) else value for name, value in fields.items() if name.isupper()}
        journal.send(_encodable(message), **shown)

    unit = own_unit()
    origin = {UNIT_FIELD: unit} if unit else {}
    handler: logging.Handler = journal.JournalHandler(sender_function=send, SYSLOG_IDENTIFIER=program, **origin)
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


class JournalEvents:
    """The services' EventSink: each event is one log record with its MESSAGE_ID and DFS_* fields."""

    def emit(self, event: Event, ctx: CallContext | None = None) -> None:
        """Log `event` once, with the request identifier of `ctx` if there is one."""
        fields = {"MESSAGE_ID": event.kind.message_id, **event.fields()}
        if ctx is not None and ctx.request_id not in ("", NO_REQUEST):
            fields[REQUEST_FIELD] = ctx.request_id
        log.log(event.kind.level, "%s", _message(event), extra=fields)


def _tell_left_out(left_out: LeftOut) -> None:
    details = {"count": left_out.count, "period_s": left_out.period_s, "example": left_out.example}
    JournalEvents().emit(Event(LINES_LEFT_OUT, details=details))


def _message(event: Event) -> str:
    """Return the event's line. One that lacks a detail of its template is still told, rather than breaking its operation."""
    try:
        return event.message()
    except (LookupError, ValueError, TypeError):
        return f"{event.kind.name} " + ", ".join(f"{name} = {value}" for name, value in event.fields().items())


def _encodable(text: str) -> str:
    """Return `text` with what UTF-8 cannot carry (bytes of odd file names) written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
