"""What the journal's events tell, and which later event of the same program takes each of them back. Pure. Called by judging.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dfs.cli.diagnosis.findings import Depth, Finding, Harm
from dfs.cli.diagnosis.observations import META, Entry, blocks_subject, disk_subject, server_subject, unit_subject
from dfs.core.events.copies import COPIES_DIFFER, NO_GOOD_COPY
from dfs.core.events.data_server import (
    BLOCKS_UNREADABLE,
    CORRUPT_RECORD,
    DATA_LOST,
    DISK_FAILED,
    DISK_GOES_ON,
    DISK_TROUBLE,
    FLOORS_LOST,
    JOURNAL_DAMAGED,
    MAP_PAGE_LOST,
    NEW_BLOCKS_FIT,
    NO_NEW_BLOCKS,
    SCRUB_FINISHED,
    SCRUB_LATE,
    STRIP_UNREADABLE,
)
from dfs.core.events.event import EventKind
from dfs.core.events.meta_server import (
    META_DISK_FITS,
    META_DISK_FULL,
    META_READ_ONLY,
    META_ROLLBACK_ACCEPTED,
    META_ROLLED_BACK,
    META_WRITES_AGAIN,
    MOUNT_CRASHED,
    SESSION_EXPIRED,
)
from dfs.core.events.mount import (
    CLOCK_OFF,
    FILES_HIDDEN,
    LEASE_LOST,
    META_GOES_ON,
    META_WAITS,
    READ_BOTH_COPIES,
    READ_ONE_COPY,
    RELEASES_DIFFER,
    WRITE_GOES_ON,
    WRITE_STALLED,
    WRITE_WAITS,
    WRITES_LOST,
)
from dfs.core.events.programs import (
    CONFIG_NEEDS_RESTART,
    CONFIG_REFUSED,
    CONFIG_RELOADED,
    CONFIG_WRONG,
    FOLDER_NOT_MOUNTED,
    FOLDER_UNUSABLE,
    MOUNT_POINT_UNUSABLE,
    OTHER_COPIES_BACK,
    PEER_MISSING,
    PORT_TAKEN,
    PROGRAM_FAILED,
    SERVICE_READY,
    SERVICE_STOPPED,
    SHUTDOWN_UNSAFE,
    STATE_TOO_NEW,
    UNEXPECTED,
)
from dfs.core.events.wire import (
    AUTHENTICATION_FAILED,
    CERTIFICATE_EXPIRES,
    CERTIFICATE_EXPIRES_SOON,
    CERTIFICATE_READ,
    CERTIFICATE_REFUSED,
    CLIENT_REFUSED,
    LIMIT_REACHED,
    SERVER_REFUSED,
    TLS_REFUSED,
)

ERRORS_SHOWN_MAX: Final = 3

Subject = Callable[[Entry], str]


def _writer(entry: Entry) -> str:
    """The program that wrote the line; without a unit, the server that the line names."""
    found = unit_subject(entry.unit)
    return found if found != entry.unit or "DFS_SERVER" not in entry.fields else server_subject(entry.fields["DFS_SERVER"])


def _named_server(entry: Entry) -> str:
    """The data server that the line tells of, whoever wrote it."""
    return server_subject(entry.fields.get("DFS_SERVER", "?"))


def _meta(entry: Entry) -> str:
    return META


def _mount(entry: Entry) -> str:
    return f"mount {entry.fields.get('DFS_PATH', '?')}"


def _file(entry: Entry) -> str:
    return f"file {entry.fields.get('DFS_PATH', '?')}"


def _caller(entry: Entry) -> str:
    return f"host {entry.fields.get('DFS_PEER', '?')}"


def _blocks(entry: Entry) -> str:
    return blocks_subject(entry.fields["DFS_SERVER"]) if "DFS_SERVER" in entry.fields else "blocks"


def _config(entry: Entry) -> str:
    return f"the configuration of {_writer(entry)}"


def _certificates(entry: Entry) -> str:
    return f"the certificates of {_writer(entry)}"


def _peer(entry: Entry) -> str:
    return f"machine {entry.fields.get('DFS_PEER', '?')}"


def _disk(entry: Entry) -> str:
    return disk_subject(entry.fields.get("DFS_SERVER", "?"))


@dataclass(frozen=True, slots=True)
class EventRule:
    """What one kind of event means as long as it is not over."""

    kind: EventKind
    situation: str
    harm: Harm
    depth: Depth
    subject: Subject
    ended_by: tuple[EventKind, ...] = ()
    """Events about the same subject that take it back."""
    cures: tuple[str, ...] = ()
    """Besides the line that shows its explanation; @DFS_...@ is replaced by the event's field."""


_READY: Final = (SERVICE_READY,)
_SAFE: Final = (OTHER_COPIES_BACK, *_READY)
_KERNEL: Final = ("journalctl -k -p warning -n 50",)
_SCRUB: Final = ("dfsctl scrub --server @DFS_SERVER@ --wait",)
_SCRUBBED: Final = (SCRUB_FINISHED,)
"""Takes damage back if it found none."""
_CERTIFIED: Final = (CERTIFICATE_READ,)
"""Told before what is wrong with the certificate that was read."""
_CERTIFICATE: Final = ("dfsctl tls show", "dfsctl tls renew (where the CA is kept)")

RULES: Final[tuple[EventRule, ...]] = (
    EventRule(PORT_TAKEN, "port-taken", Harm.WAITING, Depth.CAUSE, _writer, _READY, ('systemctl list-units --all "dfs-*"',)),
    EventRule(
        FOLDER_NOT_MOUNTED,
        "folder-not-mounted",
        Harm.WAITING,
        Depth.CAUSE,
        _writer,
        _READY,
        ("systemctl list-units --type=mount --all", "systemctl restart dfs.target"),
    ),
    EventRule(FOLDER_UNUSABLE, "folder-unusable", Harm.WAITING, Depth.CAUSE, _writer, _READY, _KERNEL),
    EventRule(CONFIG_WRONG, "config-wrong", Harm.WAITING, Depth.CAUSE, _writer, _READY, ("dfsctl config check",)),
    EventRule(
        CONFIG_REFUSED,
        "config-wrong",
        Harm.SOON,
        Depth.STATE,
        _config,
        (CONFIG_RELOADED, *_READY),
        ("dfsctl config check",),
    ),
    EventRule(AUTHENTICATION_FAILED, "caller-refused", Harm.NOTE, Depth.STATE, _caller, (), ("dfsctl key show",)),
    EventRule(CONFIG_NEEDS_RESTART, "config-needs-restart", Harm.NOTE, Depth.STATE, _config, _READY),
    EventRule(STATE_TOO_NEW, "releases-differ", Harm.WAITING, Depth.CAUSE, _writer, _READY, ("dfsctl --version",)),
    EventRule(PEER_MISSING, "peer-missing", Harm.WAITING, Depth.EFFECT, _writer, _READY, ("dfsctl status",)),
    EventRule(MOUNT_POINT_UNUSABLE, "mount-point-unusable", Harm.WAITING, Depth.CAUSE, _writer, _READY),
    EventRule(PROGRAM_FAILED, "program-failed", Harm.WAITING, Depth.CAUSE, _writer, _READY, _KERNEL),
    EventRule(SERVER_REFUSED, "address-wrong", Harm.WAITING, Depth.CAUSE, _writer, _READY, ("dfsctl status",)),
    EventRule(
        WRITE_STALLED,
        "write-stalled",
        Harm.WAITING,
        Depth.EFFECT,
        _named_server,
        (WRITE_GOES_ON, SERVICE_STOPPED),
        ("dfsctl status",),
    ),
    EventRule(
        WRITE_WAITS,
        "write-stalled",
        Harm.WAITING,
        Depth.EFFECT,
        _named_server,
        (WRITE_GOES_ON, SERVICE_STOPPED),
        ("dfsctl status",),
    ),
    EventRule(
        READ_ONE_COPY,
        "server-down",
        Harm.AT_RISK,
        Depth.EFFECT,
        _named_server,
        (READ_BOTH_COPIES, SERVICE_STOPPED),
        ("dfsctl status",),
    ),
    EventRule(META_WAITS, "mount-waiting", Harm.STOPPED, Depth.EFFECT, _meta, (META_GOES_ON,), ("dfsctl status",)),
    EventRule(MOUNT_CRASHED, "client-crashed", Harm.NOTE, Depth.STATE, _mount),
    EventRule(SESSION_EXPIRED, "client-crashed", Harm.NOTE, Depth.STATE, _mount),
    EventRule(FILES_HIDDEN, "files-hidden", Harm.NOTE, Depth.STATE, _mount),
    EventRule(LEASE_LOST, "lease-lost", Harm.NOTE, Depth.STATE, _writer),
    EventRule(META_ROLLED_BACK, "meta-rolled-back", Harm.AT_RISK, Depth.STATE, _meta, (META_ROLLBACK_ACCEPTED,)),
    EventRule(META_READ_ONLY, "meta-read-only", Harm.STOPPED, Depth.STATE, _meta, (META_WRITES_AGAIN, *_READY), _KERNEL),
    EventRule(META_DISK_FULL, "disk-full", Harm.WAITING, Depth.STATE, _meta, (META_DISK_FITS, *_READY)),
    EventRule(NO_NEW_BLOCKS, "disk-full", Harm.WAITING, Depth.STATE, _disk, (NEW_BLOCKS_FIT, *_READY)),
    EventRule(DISK_TROUBLE, "disk-fails", Harm.AT_RISK, Depth.CAUSE, _named_server, (DISK_GOES_ON, *_READY), _KERNEL),
    EventRule(DISK_FAILED, "disk-fails", Harm.AT_RISK, Depth.CAUSE, _named_server, _READY, _KERNEL),
    EventRule(WRITES_LOST, "writes-lost", Harm.LOST, Depth.STATE, _file),
    EventRule(DATA_LOST, "data-lost", Harm.LOST, Depth.STATE, _named_server, (), ("dfsctl lost",)),
    EventRule(NO_GOOD_COPY, "blocks-corrupt", Harm.LOST, Depth.STATE, _blocks, (), ("dfsctl lost --everywhere", "dfsctl fsck")),
    EventRule(COPIES_DIFFER, "blocks-corrupt", Harm.AT_RISK, Depth.STATE, _blocks, (), ("dfsctl fsck",)),
    EventRule(CORRUPT_RECORD, "blocks-corrupt", Harm.SOON, Depth.STATE, _blocks, _SCRUBBED, _SCRUB),
    EventRule(BLOCKS_UNREADABLE, "blocks-corrupt", Harm.SOON, Depth.STATE, _blocks, _SCRUBBED, (*_KERNEL, *_SCRUB)),
    EventRule(STRIP_UNREADABLE, "blocks-corrupt", Harm.AT_RISK, Depth.STATE, _blocks, _SCRUBBED, (*_KERNEL, *_SCRUB)),
    EventRule(MAP_PAGE_LOST, "blocks-corrupt", Harm.SOON, Depth.STATE, _blocks, _SCRUBBED, _SCRUB),
    EventRule(JOURNAL_DAMAGED, "disk-fails", Harm.SOON, Depth.STATE, _named_server, _SCRUBBED, (*_KERNEL, *_SCRUB)),
    EventRule(FLOORS_LOST, "disk-fails", Harm.SOON, Depth.STATE, _named_server, _SCRUBBED, (*_KERNEL, *_SCRUB)),
    EventRule(SCRUB_LATE, "scrub-late", Harm.SOON, Depth.STATE, _named_server, _SCRUBBED, _SCRUB),
    EventRule(CLOCK_OFF, "clock-off", Harm.SOON, Depth.STATE, _writer, _READY, ("systemctl status systemd-timesyncd",)),
    EventRule(RELEASES_DIFFER, "releases-differ", Harm.SOON, Depth.STATE, _writer, _READY),
    EventRule(SHUTDOWN_UNSAFE, "shutdown-unsafe", Harm.SOON, Depth.EFFECT, _writer, _SAFE, ("dfsctl status",)),
    EventRule(CERTIFICATE_EXPIRES, "certificate-ends", Harm.SOON, Depth.STATE, _certificates, _CERTIFIED, _CERTIFICATE),
    EventRule(CERTIFICATE_EXPIRES_SOON, "certificate-ends", Harm.SOON, Depth.CAUSE, _certificates, _CERTIFIED, _CERTIFICATE),
    EventRule(CERTIFICATE_REFUSED, "certificate-unusable", Harm.SOON, Depth.STATE, _certificates, _CERTIFIED, _CERTIFICATE[:1]),
    EventRule(TLS_REFUSED, "tls-refused", Harm.NOTE, Depth.STATE, _peer, (), ("dfsctl tls show (there)",)),
    EventRule(CLIENT_REFUSED, "client-refused", Harm.NOTE, Depth.STATE, _peer, (), ("dfsctl config check",)),
    EventRule(LIMIT_REACHED, "limit-reached", Harm.NOTE, Depth.STATE, _peer),
    EventRule(UNEXPECTED, "bug", Harm.SOON, Depth.STATE, _writer),
)
"""Events that stand for a trouble. INFO events, and warnings that say what another one says better, stand for none."""
_RULE_OF: Final = {rule.kind.message_id: rule for rule in RULES}


def judge_journal(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Yield, for each trouble that the journal tells of and that nothing later takes back, one finding."""
    open_troubles: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in entries:
        for key in [key for key in open_troubles if _ends(entry, key)]:
            del open_troubles[key]
        rule = _RULE_OF.get(entry.message_id)
        if rule is not None:
            open_troubles.setdefault((entry.message_id, rule.subject(entry), entry.unit), []).append(entry)
    for (message_id, subject, _), told in open_troubles.items():
        yield _finding(_RULE_OF[message_id], subject, told)
    yield from _errors(entries)


def _ends(entry: Entry, key: tuple[str, str, str]) -> bool:
    """Tell whether a line takes back a trouble that the same program told before."""
    message_id, subject, unit = key
    rule = _RULE_OF[message_id]
    if entry.unit != unit or not any(entry.message_id == kind.message_id for kind in rule.ended_by):
        return False
    if entry.message_id == SCRUB_FINISHED.message_id and entry.fields.get("DFS_DAMAGED", "0") != "0":
        return False
    is_about_all = entry.message_id in (SERVICE_READY.message_id, SERVICE_STOPPED.message_id)
    return is_about_all or rule.subject(entry) == subject


def _errors(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Yield the last errors that are no events, one finding per program."""
    by_unit: dict[str, list[Entry]] = {}
    for entry in entries:
        if not entry.message_id:
            by_unit.setdefault(entry.unit, []).append(entry)
    for unit, told in by_unit.items():
        seen = tuple(_shown(entry) for entry in told[-ERRORS_SHOWN_MAX:])
        title = f"{unit} has logged {len(told)} errors within a day"
        cures = (f'journalctl -u "{unit}" -p err --since -1d',)
        yield Finding("errors-logged", f"log of {unit}", Harm.NOTE, Depth.EFFECT, title, seen, cures)


def _shown(entry: Entry) -> str:
    line = entry.message.partition("\n")[0]
    return f"journal of {entry.unit}, {datetime.fromtimestamp(entry.at_s, UTC):%Y-%m-%d %H:%M:%S} UTC: {line}"


def _finding(rule: EventRule, subject: str, told: list[Entry]) -> Finding:
    last = told[-1]
    times = () if len(told) == 1 else (f"it was told {len(told)} times within a day",)
    return Finding(
        situation=rule.situation,
        subject=subject,
        harm=rule.harm,
        depth=rule.depth,
        title=last.message,
        evidence=(_shown(last), *times),
        cures=(*(_fill(cure, last) for cure in rule.cures), f"journalctl -x MESSAGE_ID={rule.kind.message_id} -n 1"),
    )


def _fill(cure: str, entry: Entry) -> str:
    return re.sub("@([A-Z_]+)@", lambda match: entry.fields.get(match[1], "N"), cure)
