"""A program on a mount that checks what it reads against what it wrote, through every fault.

Works in a folder of its own, one operation after the other. What a call answers is noted in the book at once; a call that fails
with an error that the faults of the campaign explain leaves its outcome open, and the next look at the file settles it.
"""

from __future__ import annotations

import errno
import os
import random
import threading
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.harness.waiting import wait_until
from tests.torture.book import Book, Mismatch, Page, Pending

FILES: Final = 8
FILE_BYTES_MAX: Final = 192 << 10
WRITE_BYTES_MAX: Final = 48 << 10
REMOUNT_TIMEOUT_S: Final = 90.0
GONE: Final = frozenset((errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.EINTR, errno.ENODEV, errno.ENOENT))
"""What calls answer when their mount program is killed, and until the mount is back."""
STORY_LINES: Final = 400
FULL: Final = frozenset((errno.ENOSPC, errno.EROFS))
KINDS: Final = {"write": 30, "append": 15, "truncate": 6, "fsync": 5, "read": 20, "look": 12, "rename": 6, "unlink": 4}
"""Operations on a file that is there, and how often each comes."""


def clock_time() -> str:
    """Return the time of day as the programs' logs have it."""
    return datetime.now(UTC).strftime("%H:%M:%S.%f")[:-3]


class MountState:
    """Whether a mount program was killed; told by the campaign, asked by the writers on the mount."""

    def __init__(self) -> None:
        self.turns = 0
        """Odd from before a kill until the mount is back."""

    @property
    def is_down(self) -> bool:
        """Whether it is killed and not yet back."""
        return self.turns % 2 == 1


class Writer:
    """One writer, on a thread of its own."""

    def __init__(self, number: int, folder: Path, mount: MountState, seed: int) -> None:
        self.operations: Counter[str] = Counter()
        self.failures: list[str] = []
        """What must not have happened, in words."""
        self.story: deque[str] = deque(maxlen=STORY_LINES)
        """The last operations, with their times, and what became of them."""
        self._folder = folder
        self._mount = mount
        self._chance = random.Random(f"{seed}/{number}")
        self._book = Book()
        self._names = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"writer-{number}", daemon=True)

    def start(self) -> None:
        """Begin to work in the folder, which is made."""
        self._folder.mkdir()
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Let the operation that is under way be the last one."""
        self._stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; tell whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def verify(self, root: Path) -> int:
        """Compare everything, through any mount; return the number of files. What is wrong is added to `failures`."""
        self._folder = root / self._folder.name
        self._attempt(self._settle_names)
        expected, found = set(self._book.pages), {entry.name for entry in self._folder.iterdir()}
        if found != expected:
            self.failures.append(f"{self._folder.name}: missing {sorted(expected - found)}, come back {sorted(found - expected)}")
        for name in sorted(expected & found):
            self._attempt(lambda name=name: self._look(name))  # type: ignore[misc]
        return len(expected)

    # --- working -------------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set() and not self.failures:
            self._attempt(self._step)

    def _attempt(self, step: Callable[[], None]) -> None:
        turns = self._mount.turns
        try:
            step()
            self._tell("done")
        except Mismatch as error:
            self._tell(f"mismatch: {error}")
            self.failures.append(f"{self._folder.name}/{error}")
        except OSError as error:
            self._tell(f"error: {error}")
            if error.errno in FULL:
                self.operations["refused: disk full"] += 1
            elif error.errno in GONE and (turns % 2 or self._mount.turns != turns):
                self.operations["ended: mount killed"] += 1
                wait_until(lambda: not self._mount.is_down, "the mount to be back", REMOUNT_TIMEOUT_S)
            else:
                self.failures.append(f"{self._folder.name}: {error}")

    def _tell(self, what: str) -> None:
        self.story.append(f"{clock_time()} {what}")

    def _step(self) -> None:
        self._settle_names()
        pages = self._book.pages
        unsettled = next((name for name, page in pages.items() if page.pending is not None), None)
        if unsettled is not None:
            self._look(unsettled)
        elif len(pages) < FILES // 2 or (len(pages) < FILES and self._chance.random() < 0.1):
            self._create()
        else:
            kind = self._chance.choices(list(KINDS), list(KINDS.values()))[0]
            getattr(self, f"_{kind}")(self._chance.choice(sorted(pages)))
            self.operations[kind] += 1

    # --- operations ----------------------------------------------------------------------------------------------------------

    def _create(self) -> None:
        name = self._new_name()
        self._tell(f"create {name}")
        self._book.pages[name] = Page()
        self._book.pending_names.append((name, None))  # until it is answered it may be there or not
        os.close(os.open(self._folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        self._book.pending_names.clear()
        self.operations["create"] += 1

    def _new_name(self) -> str:
        self._names += 1
        return f"f{self._names}"

    def _write(self, name: str) -> None:
        size = len(self._book.pages[name].content)
        self._put(name, self._chance.randrange(min(size + 2000, FILE_BYTES_MAX) + 1), os.O_WRONLY)

    def _append(self, name: str) -> None:
        size = len(self._book.pages[name].content)
        if size > FILE_BYTES_MAX:
            self._truncate(name)
        else:
            self._put(name, size, os.O_WRONLY | os.O_APPEND)

    def _put(self, name: str, offset: int, flags: int) -> None:
        data = self._chance.randbytes(self._chance.choice([1, 100, 511, 512, 4096, self._chance.randrange(1, WRITE_BYTES_MAX)]))
        page = self._book.pages[name]
        self._tell(f"put {name} at {offset} {len(data)} bytes, flags {flags:o}, size {len(page.content)}")
        descriptor = os.open(self._folder / name, flags)
        try:
            page.pending = Pending(offset, data)
            written = os.write(descriptor, data) if flags & os.O_APPEND else os.pwrite(descriptor, data, offset)
            self._book.wrote(name, offset, data[:written])
            # The kernel sends a long write in parts: the parts from the first that failed on are not acknowledged.
            page.pending = Pending(offset + written, data[written:]) if written < len(data) else None
        finally:
            os.close(descriptor)

    def _truncate(self, name: str) -> None:
        size = self._chance.randrange(len(self._book.pages[name].content) + 1000)
        page = self._book.pages[name]
        page.pending = Pending(size, b"")
        self._tell(f"truncate {name} to {size}, size {len(page.content)}")
        os.truncate(self._folder / name, size)
        page.pending = None
        self._book.cut(name, size)

    def _fsync(self, name: str) -> None:
        self._tell(f"fsync {name}")
        descriptor = os.open(self._folder / name, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _read(self, name: str) -> None:
        offset = self._chance.randrange(len(self._book.pages[name].content) + 1)
        size = self._chance.randrange(1, WRITE_BYTES_MAX)
        self._tell(f"read {name} from {offset} {size} bytes, size {len(self._book.pages[name].content)}")
        descriptor = os.open(self._folder / name, os.O_RDONLY)
        try:
            found = os.pread(descriptor, size, offset)
        finally:
            os.close(descriptor)
        self._book.check_part(name, offset, found, size)

    def _look(self, name: str) -> None:
        self._tell(f"look at {name}, size {len(self._book.pages[name].content)}")
        self._book.check(name, (self._folder / name).read_bytes())

    def _rename(self, name: str) -> None:
        target = self._chance.choice([self._new_name(), *sorted(self._book.pages)])
        if target == name:
            return
        self._tell(
            f"rename {name} ({len(self._book.pages[name].content)} bytes) to {target}, "
            f"{len(self._book.pages[target].content) if target in self._book.pages else 'free'}"
        )
        self._book.pending_names.append((name, target))
        (self._folder / name).rename(self._folder / target)
        self._settle_names(is_done=True)

    def _unlink(self, name: str) -> None:
        self._tell(f"unlink {name}")
        self._book.pending_names.append((name, None))
        (self._folder / name).unlink()
        self._settle_names(is_done=True)

    def _settle_names(self, *, is_done: bool = False) -> None:
        """Note how a rename, removal or creation ended; `is_done`: it was answered, else the folder tells."""
        for name, target in self._book.pending_names:
            if not is_done and name in os.listdir(self._folder):
                self._tell(f"settled: {name} still there, {target} not")
                continue
            self._tell(f"settled: {name} became {target}")
            page = self._book.pages.pop(name)
            if target is not None:
                self._book.pages[target] = page
        self._book.pending_names.clear()
