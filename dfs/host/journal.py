"""Where log lines go: the journal with fields under systemd, plain lines on standard error everywhere else.

Owns the root logger's one handler and the way extra fields travel on a log record (FIELDS). Promises: whatever the text, a log
call neither raises nor breaks a line in two, except for tracebacks. Called by dfs/cli at start; JournalEvents is the services'
EventSink. Never decides what is worth logging.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Final

from systemd import journal

from dfs.core.events import Event
from dfs.core.interfaces import CallContext

FIELDS: Final = "journal_fields"
"""Attribute of a log record that holds its further journal fields, a Mapping[str, str]."""
REQUEST_FIELD: Final = "DFS_REQUEST"
NO_REQUEST: Final = "-"
_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG_PRIORITY: Final = 7
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127)}

log = logging.getLogger(__name__)


def setup_logging(level: str, program: str) -> None:
    """Send all log records of this process to the journal or to standard error.

    Arguments: the least important level, of core.config.LogLevel; the program's name as it begins its lines.
    """
    handler: logging.Handler
    if is_journal_stream():
        handler = JournalFieldsHandler(program)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(PlainLines(program))
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
        request = fields_of(record).get(REQUEST_FIELD)
        record.message = record.message.translate(_CONTROLS) + (f" (request {request})" if request else "")
        return super().formatMessage(record)


class JournalFieldsHandler(logging.Handler):
    """Sends each record to the journal with its level, origin and fields."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        try:
            journal.send(
                _encodable(self.format(record)),
                PRIORITY=str(priority_of(record.levelno)),
                SYSLOG_IDENTIFIER=self._program,
                LOGGER=record.name,
                THREAD_NAME=record.threadName or "",
                CODE_FILE=record.pathname,
                CODE_LINE=record.lineno,
                CODE_FUNC=record.funcName,
                **{name: _encodable(value) for name, value in fields_of(record).items()},
            )
        except Exception:  # noqa: BLE001 - logging's own rule: a log call never breaks its caller
            self.handleError(record)


class JournalEvents:
    """The services' EventSink: each event is one log record with its MESSAGE_ID and DFS_* fields."""

    def emit(self, event: Event, ctx: CallContext | None = None) -> None:
        """Log `event` once, with the request identifier of `ctx` if there is one."""
        fields = {"MESSAGE_ID": event.kind.message_id, **event.fields()}
        if ctx is not None and ctx.request_id not in ("", NO_REQUEST):
            fields[REQUEST_FIELD] = ctx.request_id
        log.log(event.kind.level, "%s", _message(event), extra={FIELDS: fields})


def _message(event: Event) -> str:
    """Return the event's line. One that lacks a detail of its template is still told, rather than breaking its operation."""
    try:
        return event.message()
    except (LookupError, ValueError, TypeError):
        words = {**event.fields(), **event.details}
        return f"{event.kind.name} " + ", ".join(f"{name} = {value}" for name, value in words.items())


def fields_of(record: logging.LogRecord) -> Mapping[str, str]:
    """Return the further journal fields of a record."""
    fields: Mapping[str, str] = getattr(record, FIELDS, {})
    return fields


def priority_of(levelno: int) -> int:
    """Return syslog's priority for a level of logging."""
    return next((priority for level, priority in _PRIORITIES if levelno >= level), _DEBUG_PRIORITY)


def _encodable(text: str) -> str:
    """Return `text` with what UTF-8 cannot carry (bytes of odd file names) written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
