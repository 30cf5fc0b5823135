"""The programs that use the mounts: they carry out the steps of a plan, one after the other, and tell the oracle what they saw.

A program lives in its mount's process and dies with it; when the mount is back, another takes up what is left of its steps. Called
by run.py.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from dfs.cli.tools.scrub import order_scrub
from dfs.client.filesystem import FileSystem
from dfs.core.errors import (
    AlreadyExists,
    BadHandle,
    DfsError,
    EndReason,
    FolderNotEmpty,
    GrantLost,
    Interrupted,
    InvalidArgument,
    IsAFolder,
    NoSpace,
    NotAFolder,
    NotFound,
    NotPermitted,
    ReadOnly,
    StaleFile,
    WouldBlock,
    WouldDeadlock,
)
from dfs.core.events.event import Event
from dfs.core.events.mount import WRITES_LOST
from dfs.core.ids import NO_OP, NO_SESSION, ROOT_INO, OpId, SessionId
from dfs.core.interfaces import ROOT_CALLER
from dfs.core.limits import PLEDGE_S
from dfs.core.locks import OFFSET_MAX, LockKind, LockOwner, LockRange
from dfs.core.messages.inodes import Entry
from dfs.core.messages.names import Lookup
from dfs.core.messages.scrub import EVERYTHING
from tests.harness.baton import Baton
from tests.sim.cluster import MountMachine
from tests.sim.contents import AppendFile, Change, Look, Outcome, RegisterFile, Stamps
from tests.sim.locking import LOCK_BYTES, LockBook
from tests.sim.names import Kind, Listed, NameOp
from tests.sim.plan import NAMING, WHOLE_LOCKS, Do, Step

FOLDER = b"/names"
TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
FLOCK_S_MAX = 3.0
LOOKS = 3
"""The second asks for all names; the third, a little later, is answered by the mount alone."""
LOOKED_FOR = (Do.CREATE, Do.MKDIR, Do.SYMLINK, Do.LINK, Do.RENAME)
REFUSALS = (AlreadyExists, NotFound, NotAFolder, IsAFolder, FolderNotEmpty, InvalidArgument, NotPermitted)
"""Answers that tell what stands where."""


class Impatient:
    """The context of one system call, interrupted after a while."""

    def __init__(self, baton: Baton, request_id: str, patience_s: float | None) -> None:
        self.request_id = request_id
        self.caller = ROOT_CALLER
        self.session: SessionId = NO_SESSION
        self.acknowledged: OpId = NO_OP
        self.deadline_s: float | None = None
        self._baton = baton
        self._until_s = None if patience_s is None else baton.now_s + patience_s

    def cancelled(self) -> EndReason | None:
        return EndReason.SIGNAL if self._until_s is not None and self._baton.now_s >= self._until_s else None


@dataclass
class Observed:
    """All that programs did and saw: the oracle's memory. `wrong`: what must not have been."""

    stamps: Stamps = field(default_factory=Stamps)
    files: dict[str, RegisterFile | AppendFile] = field(default_factory=dict)
    names: list[NameOp] = field(default_factory=list)
    unsigned: set[int] = field(default_factory=set)
    """Steps that made a file, and have not written all of their signature into it, as far as they know."""
    locks: LockBook = field(default_factory=LockBook)
    wrong: list[str] = field(default_factory=list)
    late_s: float = 0.0
    """How long a message may be under way, beyond what is usual."""
    blackouts: int = 0
    """How often both holders of some blocks may have lost what was not fsynced."""
    may_fail: set[type[DfsError]] = field(default_factory=set)
    """Errors that the faults of the plan explain."""

    given_up: int = 0
    """How often mounts gave up what waited, and told it."""

    def note_loss(self, owner: str, event: Event) -> None:
        """Note what a mount tells: what waited of a file is given up."""
        if event.kind is not WRITES_LOST:
            return
        self.given_up += 1
        for file in self.files.values():
            for change in file.changes:
                if file.path == event.path and change.owner == owner and change.waits:
                    change.outcome = Outcome.LOST

    def note_blackout(self) -> None:
        """Note that both holders of some blocks may have lost what was not fsynced."""
        self.blackouts += 1
        for file in self.files.values():
            for change in file.changes:
                change.may_be_lost()

    def file(self, name: str) -> RegisterFile | AppendFile:
        """Return what is known of a file."""
        if name not in self.files:
            path = f"/{name}".encode()
            self.files[name] = AppendFile(path) if name[0] == "a" else RegisterFile(path)
        return self.files[name]


@dataclass(slots=True)
class _Handle:
    number: int
    opened: int
    is_written: bool = False


class Program:
    """One program on one mount. `left`: steps not begun yet."""

    def __init__(self, baton: Baton, machine: MountMachine, number: int, steps: Iterable[Step], observed: Observed) -> None:
        self.baton = baton
        self.machine = machine
        self.number = number
        self.name = f"{machine.name}.{number}"
        self.left = list(steps)
        self.doing: Step | None = None
        self.is_over = False
        self._observed = observed
        self._handles: dict[str, _Handle] = {}

    @property
    def owner(self) -> str:
        """Name the mount, anew after each start."""
        return f"{self.machine.name}/{self.machine.starts}"

    def run(self) -> None:
        """Carry out what is left, then close everything."""
        self._handles.clear()
        while self.left:
            self.baton.sleep(self.left[0].pause_s)
            self.doing = step = self.left.pop(0)
            result = self._carry_out(step)
            self.baton.note(f"{self.name} #{step.number} {step.do.value} {step.name} {result}")
            self.doing = None
        for name in list(self._handles):
            self._carry_out(Step(-1, self.machine.number, self.number, Do.CLOSE, name))
        self.is_over = True

    def _carry_out(self, step: Step) -> str:
        ctx = Impatient(self.baton, f"{self.name}.{step.number}", step.patience_s)
        try:
            if step.do in NAMING:
                return self._change_names(ctx, step)
            if step.do is Do.READ:
                return self._read(ctx, step)
            if step.do is Do.ORPHAN:
                return self._use_orphan(ctx, step)
            if step.do is Do.SCRUB:
                return self._scrub(ctx, step)
            if step.do in (Do.LOCK, Do.UNLOCK):
                return self._lock(ctx, step) if step.do is Do.LOCK else self._unlock(ctx, step)
            if step.do is Do.FSYNC:
                return self._fsync(ctx, step.name)
            if step.do is Do.CLOSE:
                return self._close(ctx, step.name)
            return self._change(ctx, step)
        except Interrupted as error:
            if error.reason == EndReason.SIGNAL.value and step.patience_s is None:
                self._observed.wrong.append(f"{self.name} #{step.number} was interrupted by nobody")
            return f"interrupted: {error.reason}"
        except StaleFile:
            self._handles.pop(step.name, None)
            return "stale"
        except GrantLost as error:
            if not self._losses():
                self._observed.wrong.append(f"{self.name} #{step.number}: {error!r}, and no session was lost")
            return "lost"
        except (NoSpace, ReadOnly, DfsError) as error:
            if type(error) not in self._observed.may_fail:
                self._observed.wrong.append(f"{self.name} #{step.number} {step.do.value} {step.name} failed: {error!r}")
            return f"failed: {type(error).__name__}"  # no more, for the reason names the run's folder, and traces must be equal

    @property
    def _fs(self) -> FileSystem:
        fs = self.machine.fs
        assert fs is not None
        return fs

    # --- files -----------------------------------------------------------------------------------------------------------

    def _open(self, ctx: Impatient, name: str) -> _Handle:
        handle = self._handles.get(name)
        if handle is None:
            opened = self._observed.stamps.next()
            flags = os.O_RDWR | os.O_CREAT | (os.O_APPEND if name[0] == "a" else 0)
            number = self._fs.create(ctx, self._observed.file(name).path, 0o644, flags)
            handle = self._handles[name] = _Handle(number, opened)
        return handle

    def _losses(self) -> int | None:
        """Return how many sessions were lost, if this mount writes back."""
        return self._fs._grants.losses() if self._fs._back.is_on else None

    def _change(self, ctx: Impatient, step: Step) -> str:
        """Write, append or truncate."""
        handle, file = self._open(ctx, step.name), self._observed.file(step.name)
        is_cut = step.do is Do.TRUNCATE
        start = 0 if step.do is Do.APPEND else step.offset
        tag = 0 if is_cut else next(file.tags)
        end = None if is_cut else start + step.size
        change = Change(tag, self.owner, self._fs.session, start, end, self._observed.stamps.next(), self.baton.now_s)
        change.late_s += self._observed.late_s
        file.changes.append(change)
        blackouts, losses, given_up = self._observed.blackouts, self._losses(), self._observed.given_up
        try:
            if is_cut:
                self._fs.truncate(ctx, file.path, start, handle.number)
            else:
                assert self._fs.write(ctx, handle.number, bytes([tag]) * step.size, start) == step.size
            change.outcome = Outcome.ACKNOWLEDGED
            change.losses = None if is_cut else losses
            if self._observed.blackouts != blackouts:
                change.may_be_lost()  # what some servers had stored before is as lost as if all had
            if self._observed.given_up != given_up and not is_cut:
                change.outcome = Outcome.LOST  # perhaps this, too
        except DfsError:
            change.outcome = Outcome.FAILED if change.session == self._fs.session else Outcome.LOST
            raise
        finally:
            change.ended, change.ended_s = self._observed.stamps.next(), self.baton.now_s
            if change.outcome is Outcome.RUNNING:
                change.outcome = Outcome.LOST  # killed
        if isinstance(file, RegisterFile) and change.session == self._fs.session:
            file.note_acknowledged(change)
        return f"{step.offset}+{step.size} as {tag}"

    def _read(self, ctx: Impatient, step: Step) -> str:
        handle, file = self._open(ctx, step.name), self._observed.file(step.name)
        offset, wanted = (0, 1 << 15) if isinstance(file, AppendFile) and step.number % 2 else (step.offset, step.size)
        look, losses = Look(self.owner, self._observed.stamps.next(), self.baton.now_s, handle.opened), self._losses()
        data = self._fs.read(ctx, handle.number, wanted, offset)
        if losses is not None and losses == self._losses() and not self._observed.may_fail:
            look = replace(look, losses=losses)
        if isinstance(file, AppendFile):
            file.note_read(look, offset, wanted, data)
        else:
            self._observed.wrong += [f"{self.name} #{step.number} read: {text}" for text in file.check(look, offset, wanted, data)]
        return f"{offset}+{wanted}: {len(data)}"

    def _fsync(self, ctx: Impatient, name: str) -> str:
        handle = self._open(ctx, name)
        began = self._observed.stamps.next()
        self._fs.fsync(ctx, handle.number)
        for change in self._observed.file(name).changes:
            is_there = not change.waits or change.owner == self.owner
            change.is_durable = change.is_durable or (is_there and change.ended is not None and change.ended < began)
        self._publish(name, began)
        return "done"

    def _close(self, ctx: Impatient, name: str) -> str:
        handle = self._handles.pop(name, None)
        if handle is None:
            return "not open"
        self._relies_no_more(name, range(LOCK_BYTES))
        began = self._observed.stamps.next()
        try:
            self._fs.flush(ctx, handle.number)
        except StaleFile:
            return "stale"
        finally:
            try:
                self._fs.release(ctx, handle.number)
            except (BadHandle, StaleFile):
                return "stale"
        self._publish(name, began)
        return "done"

    def _publish(self, name: str, began: int) -> None:
        """Note that the sizes this mount had acknowledged before are known to meta."""
        stamp = self._observed.stamps.next()
        for change in self._observed.file(name).changes:
            is_done = change.outcome is Outcome.ACKNOWLEDGED and change.ended is not None and change.ended < began
            if is_done and change.owner == self.owner and change.published is None:
                change.published, change.published_s = stamp, self.baton.now_s

    # --- locks -----------------------------------------------------------------------------------------------------------

    def _lock(self, ctx: Impatient, step: Step) -> str:
        """Lock some bytes, or the whole file; some wait for it, with flock(2) not for long, for nobody finds deadlocks there."""
        handle, locks = self._open(ctx, step.name), self._observed.locks
        wanted, is_exclusive = _bytes_of(step), step.offset % 3 != 0
        last = OFFSET_MAX if step.name == WHOLE_LOCKS else wanted[-1]
        if step.name == WHOLE_LOCKS:
            self._relies_no_more(step.name, wanted)  # another kind of lock gives the old one up first
            patience_s = FLOCK_S_MAX if step.patience_s is None else step.patience_s
            ctx = Impatient(self.baton, ctx.request_id, patience_s)
        elif not is_exclusive:
            locks.share(locks.holder(step.name, self.name, self.machine), wanted)
        try:
            asked = LockRange(wanted[0], last, is_exclusive, 1)
            self._fs.lock(ctx, handle.number, self._lock_owner(step.name), asked, wait=step.size % 2 == 1)
        except (WouldBlock, WouldDeadlock) as error:
            return type(error).__name__
        except Interrupted as error:
            self._relies_no_more(step.name, wanted)
            if error.reason != EndReason.SIGNAL.value or step.name != WHOLE_LOCKS:
                raise
            return "gave up"
        except DfsError:
            self._relies_no_more(step.name, wanted)
            raise
        holder = locks.holder(step.name, self.name, self.machine)
        self._observed.wrong += locks.grant(step.name, holder, wanted, is_exclusive=is_exclusive)
        return f"{'exclusive' if is_exclusive else 'shared'} {wanted[0]}..{wanted[-1]}"

    def _unlock(self, ctx: Impatient, step: Step) -> str:
        handle, wanted = self._handles.get(step.name), _bytes_of(step)
        if handle is None:
            return "not open"
        self._relies_no_more(step.name, wanted)
        last = OFFSET_MAX if step.name == WHOLE_LOCKS else wanted[-1]
        self._fs.unlock(ctx, handle.number, self._lock_owner(step.name), wanted[0], last)
        return f"{wanted[0]}..{wanted[-1]}"

    def _lock_owner(self, name: str) -> LockOwner:
        return LockOwner(LockKind.WHOLE if name == WHOLE_LOCKS else LockKind.RECORD, self.number + 1)

    def _relies_no_more(self, name: str, gone: range) -> None:
        locks = self._observed.locks
        if name in locks.files:
            locks.drop(locks.holder(name, self.name, self.machine), gone)

    # --- tools -----------------------------------------------------------------------------------------------------------

    def _scrub(self, ctx: Impatient, step: Step) -> str:
        """Do what `dfsctl scrub` does: with an odd number for everything, else for one file."""
        assert self.machine.tools is not None
        meta, servers = self.machine.tools
        try:
            ino = EVERYTHING if step.number % 2 else meta.call(ctx, Lookup(ROOT_INO, step.name.encode())).ino
            return f"orders {order_scrub(ctx, meta, servers, None, ino)}"
        except Interrupted:
            raise
        except DfsError as error:
            return f"failed: {error!r}"

    # --- names -----------------------------------------------------------------------------------------------------------

    def _look(self, ctx: Impatient, step: Step) -> None:
        """Look for the name that is about to be added, as the kernel does, so often that the mount gets to know the folder."""
        name = step.other or step.name
        for number in range(LOOKS):
            if number == LOOKS - 1:
                self.baton.sleep(PLEDGE_S / 2)
            op = NameOp(-step.number, Kind.LOOK, name, "", self._observed.stamps.next())
            try:
                self._fs.getattr(ctx, path_of(name))
                return
            except REFUSALS as error:
                op.refusal, op.is_known, op.ended = type(error).__name__, True, self._observed.stamps.next()
        if op.refusal == "NotFound":
            self._observed.names.append(op)

    def _change_names(self, ctx: Impatient, step: Step) -> str:
        if step.do in LOOKED_FOR and step.number % 2:
            self._look(ctx, step)
        op = NameOp(step.number, Kind(step.do.value), step.name if step.do is not Do.LIST else _folder_of(step.name), step.other, 0)
        op.began, session = self._observed.stamps.next(), self._fs.session
        self._observed.names.append(op)
        handle = None
        try:
            handle = self._do(ctx, op)
            op.is_known = True
        except REFUSALS as error:
            # Repeated in another session it may have been refused because of what it had done in the one that expired.
            op.refusal, op.is_known = type(error).__name__, self._fs.session == session or op.kind in (Kind.LIST, Kind.READLINK)
        finally:
            op.ended = self._observed.stamps.next() if op.is_known else None
        if handle is not None:
            self._sign(ctx, handle, step)
        return op.refusal or "yes"

    def _do(self, ctx: Impatient, op: NameOp) -> int | None:
        """Make the system call; return the handle of a file that was made, and note what was seen."""
        fs, path, other = self._fs, path_of(op.name), path_of(op.other)
        if op.kind is Kind.CREATE:
            return fs.create(ctx, path, 0o644, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        if op.kind is Kind.MKDIR:
            fs.mkdir(ctx, path, 0o755)
        elif op.kind is Kind.SYMLINK:
            fs.symlink(ctx, path, target_of(op.number))
        elif op.kind is Kind.LINK:
            fs.link(ctx, path, other)
        elif op.kind is Kind.UNLINK:
            fs.unlink(ctx, path)
        elif op.kind is Kind.RMDIR:
            fs.rmdir(ctx, path)
        elif op.kind is Kind.RENAME:
            fs.rename(ctx, path, other)
        elif op.kind is Kind.READLINK:
            op.seen = int(fs.readlink(ctx, path).removeprefix(TARGET))
        else:
            op.seen = frozenset(map(listed, fs.list_folder(ctx, path)))
        return None

    def _use_orphan(self, ctx: Impatient, step: Step) -> str:
        """Do what programs do with temporary files. Whoever is not lost on the way reads what was written."""
        fs, path, alias = self._fs, b"/o%d.%d" % (step.number, self.machine.starts), b"/.hidden%d" % step.number
        session, is_hidden = fs.session, False
        handle = fs.create(ctx, path, 0o600, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            content, blackouts = signature(step.number), self._observed.blackouts
            losses = self._losses()
            fs.write(ctx, handle, content, 0)
            fs.unlink_open(ctx, path, alias)
            is_hidden = True
            self.baton.sleep(step.pause_s)
            is_whole = fs.read(ctx, handle, 2 * len(content), 0) == content
            may_wait, is_told_later = losses is not None, bool(self._observed.may_fail)
            is_kept = self._observed.blackouts == blackouts and self._losses() == losses and not (may_wait and is_told_later)
            if is_kept and not is_whole:
                self._observed.wrong.append(f"{self.name} #{step.number}: what a removed file held while it was open is gone")
        except NotFound:
            if fs.session == session:
                raise
            return "removed in the session that expired"
        finally:
            own = Impatient(self.baton, ctx.request_id, None)  # closing is the kernel's business
            try:
                if is_hidden:
                    fs.unlink(own, alias)
            finally:
                fs.release(own, handle)
        return "done"

    def _sign(self, ctx: Impatient, handle: int, step: Step) -> None:
        """Write into a new file who made it."""
        self._observed.unsigned.add(step.number)
        try:
            self._fs.write(ctx, handle, signature(step.number), 0)
            if not self._fs._back.is_on:
                self._observed.unsigned.discard(step.number)
        finally:
            try:
                self._fs.flush(ctx, handle)
            finally:
                self._fs.release(ctx, handle)
        self._observed.unsigned.discard(step.number)


def _bytes_of(step: Step) -> range:
    """Return which bytes a step locks or unlocks."""
    if step.name == WHOLE_LOCKS:
        return range(LOCK_BYTES)
    first = step.offset % LOCK_BYTES
    return range(first, min(LOCK_BYTES, first + 1 + step.size % 4))


TARGET = b"made by step "


def target_of(number: int) -> bytes:
    """Return where a symbolic link leads, which tells who made it."""
    return TARGET + b"%d" % number


def path_of(name: str) -> bytes:
    """Return the path of a name below the folder of names; empty: the folder's."""
    return FOLDER + b"/" + name.encode() if name else FOLDER


def listed(entry: Entry) -> Listed:
    """Return what a listing says of a name."""
    return Listed(entry.name.decode(), TYPES[stat.S_IFMT(entry.attributes.mode)], entry.attributes.nlink)


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]


def signature(number: int) -> bytes:
    """Return what the maker of a file writes into it: more than a block, so that it stands on several servers."""
    return (b"made by step %06d;" % number) * 40
