"""How a program tells why it ends: one line on standard error for a person, an event with its explanation for the journal.

Owns which event stands for which error of dfs/core/errors.py. Called by dfs/cli/arguments.py when an error has reached the top of a
program, so also before any logging was set up. Never decides the exit status.
"""

from __future__ import annotations

import sys
from typing import Final

from dfs.core.errors import DfsError, PeerError
from dfs.core.events.event import Event, EventKind
from dfs.core.events.programs import (
    CONFIG_WRONG,
    FOLDER_NOT_MOUNTED,
    FOLDER_UNUSABLE,
    MOUNT_POINT_UNUSABLE,
    PEER_MISSING,
    PORT_TAKEN,
    PROGRAM_FAILED,
    STATE_TOO_NEW,
    UNEXPECTED,
)
from dfs.core.start_errors import AddressInUse, ConfigError, MountPointError, NotMounted, PeerStartError, StateError, TooNew
from dfs.host.journal import JournalEvents, is_journal_stream, setup_logging

KINDS: Final[tuple[tuple[type[DfsError], EventKind], ...]] = (
    (AddressInUse, PORT_TAKEN),
    (NotMounted, FOLDER_NOT_MOUNTED),
    (TooNew, STATE_TOO_NEW),
    (StateError, FOLDER_UNUSABLE),
    (ConfigError, CONFIG_WRONG),
    (PeerStartError, PEER_MISSING),
    (PeerError, PEER_MISSING),
    (MountPointError, MOUNT_POINT_UNUSABLE),
)
"""The first class that fits; whatever fits none is PROGRAM_FAILED."""


def end_event(program: str, error: DfsError) -> Event:
    """Return the event that tells why a program ends."""
    kind = next((kind for cls, kind in KINDS if isinstance(error, cls)), PROGRAM_FAILED)
    return Event(kind, details={"program": program, "reason": one_line(str(error))})


def report_end(program: str, error: DfsError) -> None:
    """Tell why a program ends: in the journal, if that is where its standard error goes, else there on one line."""
    if is_journal_stream():
        setup_logging("info", program)
        JournalEvents().emit(end_event(program, error))
    else:
        print(f"{program}: {one_line(str(error))}", file=sys.stderr)


def report_bug(program: str, bug: Exception) -> None:
    """Tell of an error that nobody expected, of which the traceback is shown already."""
    if is_journal_stream():
        setup_logging("info", program)
        JournalEvents().emit(Event(UNEXPECTED, details={"what": one_line(repr(bug))}))
    else:
        print(f"{program}: a bug: {one_line(repr(bug))}", file=sys.stderr)


def one_line(text: str) -> str:
    """Return `text` without line ends, so that a message stays one line in a terminal and in the journal."""
    return " ".join(text.split())
