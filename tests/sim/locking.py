"""What programs have locked: the oracle for locks of fcntl(2) and flock(2) between mounts.

What was locked for one is locked for nobody else as long as its holder lives: its mount runs, is in the session in which the lock
was granted, and may still write by its own clock. Only few bytes are locked, so it is known byte by byte. Called by programs.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dfs.core.ids import SessionId
from tests.sim.cluster import MountMachine

LOCK_BYTES = 8
"""Bytes that programs lock, from the first on."""


@dataclass(eq=False, slots=True)
class Holder:
    """One program, in one session, and what it has locked in one file."""

    program: str
    machine: MountMachine
    start: int
    session: SessionId
    bytes: dict[int, bool] = field(default_factory=dict)
    """Locked byte -> whether nobody may share it."""

    def is_alive(self) -> bool:
        """Tell whether whoever runs there may rely on its locks now."""
        machine = self.machine
        if not machine.is_running or machine.starts != self.start or machine.fs is None or machine.fs.session != self.session:
            return False
        until_s = machine.fs._session._lease._valid_until_s
        return until_s is not None and machine.clock.monotonic_s() < until_s


class LockBook:
    """All locks of a run, by file."""

    def __init__(self) -> None:
        self.files: dict[str, list[Holder]] = {}

    def holder(self, name: str, program: str, machine: MountMachine) -> Holder:
        """Return a program as a holder in its present session; what it had locked in an earlier one is gone."""
        assert machine.fs is not None
        holders = self.files.setdefault(name, [])
        for holder in holders:
            if holder.program == program:
                if (holder.start, holder.session) == (machine.starts, machine.fs.session):
                    return holder
                holders.remove(holder)
                break
        holders.append(Holder(program, machine, machine.starts, machine.fs.session))
        return holders[-1]

    def grant(self, name: str, to: Holder, wanted: range, *, is_exclusive: bool) -> list[str]:
        """Note that a lock was granted; return what is wrong with that."""
        wrong = []
        for other in self.files[name]:
            met = [at for at in wanted if at in other.bytes and (is_exclusive or other.bytes[at])]
            if other is not to and met and other.is_alive():
                wrong.append(f"{name}: bytes {met} were locked for {to.program} while {other.program} held them")
        to.bytes.update(dict.fromkeys(wanted, is_exclusive))
        return wrong

    @staticmethod
    def share(holder: Holder, wanted: Iterable[int]) -> None:
        """Note that others may share some bytes from now on: a holder begins to make an exclusive lock a shared one."""
        for at in wanted:
            if at in holder.bytes:
                holder.bytes[at] = False

    @staticmethod
    def drop(holder: Holder, bytes_gone: Iterable[int]) -> None:
        """Note that some bytes are not relied on any more."""
        for at in bytes_gone:
            holder.bytes.pop(at, None)
