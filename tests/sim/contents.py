"""What may stand in a file: the oracle of the simulator for bytes and sizes.

Every write has a value of its own (its tag, 1 .. 255) with which it fills the bytes it covers, so a byte tells who wrote it. There
are two kinds of file:

- RegisterFile, written at offsets and truncated. A value may stand at a byte only if no acknowledged change that covers the byte
  began after the value's own change had ended. Zero is the value of creation and of every truncation that covers the byte.
  Existence (is the byte below the size?) is judged the same way.
- AppendFile, appended to by all mounts at once: every acknowledged append is there once, whole, and in order.

What a mount that writes back has acknowledged may be lost with it, or with its session, until an fsync or close has published it.

What a reader must know of a change (`Look.knows`): its own mount's at once, data of others as soon as it was acknowledged,
truncations and sizes when the file was opened after they were published, or a second later.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

ATTR_AGE_S = 1.1
"""How old what a mount believes of a size or cut may be: attr_timeout_s, and the time that asking takes."""
LATE_S = 1.5
"""How long after its caller was told of its failure a call may be carried out that meta had parked."""
_RUNS = re.compile(rb"(.)\1*", re.DOTALL)


class Outcome(enum.Enum):
    """How an operation ended, as far as its caller knows."""

    RUNNING = "running"
    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    """It raised; whether it had an effect is not known."""
    LOST = "lost"
    """Its mount died, or lost its session, and whoever settles that decides; or all power was lost before an fsync."""


class Stamps:
    """The order of all beginnings and ends."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def next(self) -> int:
        """Return a number higher than all before."""
        return next(self._numbers)


@dataclass(eq=False, slots=True)
class Change:
    """A write, append or truncation."""

    tag: int
    """0 for a truncation."""
    owner: str
    """The mount, with the number of its start."""
    session: int
    start: int
    """First byte covered; of a truncation the new size."""
    end: int | None
    """Behind the last byte covered; None: a truncation."""
    began: int
    began_s: float = 0.0
    outcome: Outcome = Outcome.RUNNING
    ended: int | None = None
    ended_s: float = 0.0
    published: int | None = None
    """When its size was told to meta by flush, fsync or release."""
    published_s: float = 0.0
    is_durable: bool = False
    """An fsync that began after its end was acknowledged, or it is a truncation, which meta keeps."""
    late_s: float = LATE_S
    void_from: int | None = None
    """Bytes from here on were cut away as junk."""
    losses: int | None = None
    """Of a write that may wait in its mount until it is published: how many sessions that had lost when it was made; else None."""

    @property
    def waits(self) -> bool:
        """Tell whether nobody was told yet that servers have it: it goes with its mount, or with that mount's session."""
        return self.losses is not None and self.published is None

    def covers(self, byte: int) -> bool:
        """Tell whether it gives the byte a value."""
        return self.start <= byte and (self.end is None or byte < self.end)

    def may_be_lost(self) -> None:
        """Note that all machines lost power: what was acknowledged and not yet fsynced is not promised any more."""
        if self.outcome is Outcome.ACKNOWLEDGED and not self.is_durable and self.end is not None:
            self.outcome = Outcome.LOST

    def is_before(self, other: Change) -> bool:
        """Tell whether it had ended when the other began. A truncation that failed may be carried out late, as it waits at meta."""
        if self.ended is None or self.ended >= other.began:
            return False
        is_late = self.end is None and self.outcome in (Outcome.FAILED, Outcome.LOST)
        return not is_late or self.ended_s + self.late_s < other.began_s


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a file: who looks, and since when it may know what it knows."""

    owner: str
    began: int
    began_s: float
    opened: int
    knows_all: bool = False
    losses: int = -1
    """How many sessions its mount had lost before and after the look; -1: one more meanwhile, or what waits may be given up."""

    def knows(self, change: Change) -> bool:
        """Tell whether the value of a change, or something newer, must be seen."""
        if change.outcome is not Outcome.ACKNOWLEDGED or change.ended is None:
            return False
        if change.waits and (change.owner, change.losses) != (self.owner, self.losses):
            return False
        if self.knows_all:
            return True
        if change.losses is not None and change.owner != self.owner:
            return change.published is not None and change.published < self.began
        if change.end is not None or change.owner == self.owner:
            return change.ended < self.began
        return change.ended < self.opened or change.ended_s < self.began_s - ATTR_AGE_S

    def knows_size(self, change: Change) -> bool:
        """Tell whether that a change made bytes exist, or not exist, must be seen."""
        if change.end is None or change.owner == self.owner or self.knows_all:
            return self.knows(change)
        if change.published is None:
            return False
        return change.published < self.opened or change.published_s < self.began_s - ATTR_AGE_S


@dataclass(eq=False)
class RegisterFile:
    """A file written at offsets and truncated."""

    path: bytes
    changes: list[Change] = field(default_factory=list)
    tags: Iterator[int] = field(default_factory=lambda: count(1))

    def check(self, look: Look, offset: int, wanted: int, data: bytes) -> Iterator[str]:
        """Yield what is wrong with what a read of `wanted` bytes returned."""
        creation = Change(0, "", 0, 0, None, 0, 0.0, Outcome.ACKNOWLEDGED, 0)
        known = [change for change in self.changes if look.knows(change)]
        known_sizes = [change for change in self.changes if look.knows_size(change)]
        edges = {edge for change in self.changes for edge in (change.start, change.end, change.void_from) if edge is not None}
        for run in _RUNS.finditer(data):
            value, first, last = run[0][0], offset + run.start(), offset + run.end() - 1
            for byte in sorted({first} | {edge for edge in edges if first <= edge <= last}):
                if not self._may_stand(creation, known, value, byte):
                    yield f"{self.path!r} byte {byte}: {value} may not stand there: {self._story(byte)}"
        end = offset + len(data)
        if data and not self._may_exist(known_sizes, end - 1):
            yield f"{self.path!r}: a size of {end} or more may not be: {self._story(end - 1)}"
        if len(data) < wanted and not self._may_be_absent(creation, known_sizes, end):
            yield f"{self.path!r}: a size of {end} may not be: {self._story(end)}"

    def note_acknowledged(self, change: Change) -> None:
        """Draw from a change that succeeded that junk of earlier ones of the same grant holder has been cut away."""
        for failed in self.changes:
            if (
                failed.outcome is Outcome.FAILED
                and (failed.owner, failed.session) == (change.owner, change.session)
                and failed.end is not None
                and failed.is_before(change)
                and failed.void_from is None
            ):
                failed.void_from = max(
                    (
                        other.start if other.end is None else other.end
                        for other in self.changes
                        if other is not change
                        and (other.end is None or other.outcome is not Outcome.FAILED or other.owner != change.owner)
                    ),
                    default=0,
                )

    def _may_stand(self, creation: Change, known: list[Change], value: int, byte: int) -> bool:
        if value:
            origins = [change for change in self.changes if change.tag == value]
        else:
            origins = [creation, *(change for change in self.changes if change.end is None)]
        return any(
            origin.covers(byte)
            and (origin.void_from is None or byte < origin.void_from)
            and not any(origin.is_before(other) and other.covers(byte) for other in known)
            for origin in origins
        )

    def _may_exist(self, known: list[Change], byte: int) -> bool:
        return any(
            (change.start if change.end is None else change.end) > byte
            and not any(other.end is None and other.start <= byte and change.is_before(other) for other in known)
            for change in self.changes
        )

    def _may_be_absent(self, creation: Change, known: list[Change], byte: int) -> bool:
        origins = [creation, *(change for change in self.changes if change.end is None and change.start <= byte)]
        return any(
            not any((other.start if other.end is None else other.end) > byte and origin.is_before(other) for other in known)
            for origin in origins
        )

    def _story(self, byte: int) -> str:
        """Tell who did what to a byte, for people."""
        return "; ".join(
            f"{'truncate' if change.end is None else change.tag} [{change.start}..{change.end}) by {change.owner} "
            f"{change.began}..{change.ended} {change.outcome.value} published {change.published} void {change.void_from}"
            for change in self.changes
            if change.covers(byte) or change.end is None or change.end > byte
        )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a read of an append file returned."""

    look: Look
    offset: int
    wanted: int
    data: bytes


@dataclass(eq=False)
class AppendFile:
    """A file that is only appended to. `start` and `end` of its changes are 0 and the length."""

    path: bytes
    changes: list[Change] = field(default_factory=list)
    tags: Iterator[int] = field(default_factory=lambda: count(1))
    seen: list[_Seen] = field(default_factory=list)

    def note_read(self, look: Look, offset: int, wanted: int, data: bytes) -> None:
        """Remember a read: what it should have been is known at the end."""
        self.seen.append(_Seen(look, offset, wanted, data))

    def check(self, content: bytes) -> Iterator[str]:
        """Yield what is wrong with the final content, and with what was read before."""
        by_tag = {change.tag: change for change in self.changes}
        places: dict[int, list[tuple[int, int]]] = {}
        for run in _RUNS.finditer(content):
            places.setdefault(run[0][0], []).append((run.start(), run.end()))
        holes = sum(end - start for start, end in places.pop(0, []))
        unsure = [change for change in self.changes if change.outcome is not Outcome.ACKNOWLEDGED or change.waits]
        if holes > sum(change.end or 0 for change in unsure):
            yield f"{self.path!r}: {holes} bytes were appended by nobody"
        for tag, runs in places.items():
            change = by_tag.get(tag)
            if change is None:
                yield f"{self.path!r}: {tag} at {runs} was written by nobody"
            elif runs[-1][1] - runs[0][0] > (change.end or 0):
                yield f"{self.path!r}: append {tag} of {change.end} bytes stands at {runs}"
        firm = [change for change in self.changes if change.outcome is Outcome.ACKNOWLEDGED and not change.waits]
        for change in firm:
            runs = places.get(change.tag, [])
            if len(runs) != 1 or runs[0][1] - runs[0][0] != change.end:
                yield f"{self.path!r}: append {change.tag} of {change.end} bytes, acknowledged to {change.owner}, stands at {runs}"
        order = sorted((change for change in firm if change.tag in places), key=lambda change: places[change.tag][0][0])
        for earlier, later in ((a, b) for at, a in enumerate(order) for b in order[at + 1 :]):
            if later.is_before(earlier):
                yield f"{self.path!r}: append {later.tag} had ended when {earlier.tag} began, but stands behind it"
        for seen in self.seen:
            yield from self._check_read(seen, content, by_tag)

    def _check_read(self, seen: _Seen, content: bytes, by_tag: dict[int, Change]) -> Iterator[str]:
        final = content[seen.offset : seen.offset + seen.wanted]
        for at in _differences(seen.data, final):
            was, now = seen.data[at], final[at] if at < len(final) else None
            writer, owner = by_tag.get(was), None if now is None else by_tag.get(now)
            if writer is not None and writer.outcome is Outcome.ACKNOWLEDGED and not writer.waits:
                yield f"{self.path!r} byte {seen.offset + at}: {was} was read, {now} stands there at the end"
            elif was and writer is None:
                yield f"{self.path!r} byte {seen.offset + at}: {was} was read, which nobody wrote"
            elif owner is not None and seen.look.knows(owner):
                yield f"{self.path!r} byte {seen.offset + at}: {was} was read in place of {now}, acknowledged before"
        if len(seen.data) < len(final):
            owner = by_tag.get(final[len(seen.data)])
            if owner is not None and seen.look.knows_size(owner):
                yield f"{self.path!r}: only {len(seen.data)} bytes were read at {seen.offset}, {owner.tag} stands behind"


def _differences(data: bytes, final: bytes) -> Iterator[int]:
    """Yield the first byte of each run in which `data` differs from `final`."""
    if data == final[: len(data)]:
        return
    last = (-1, -1)
    for at, value in enumerate(data):
        now = final[at] if at < len(final) else -1
        if value != now and (value, now) != last:
            yield at
        last = (value, now) if value != now else (-1, -1)
