"""A program that uses a file system and checks everything it reads: `verifying_load.py FOLDER LEDGER run|check`.

Brought to a booted host and run there, so it needs nothing but Python. `run`: one thread replaces files, each version written,
synced, renamed, and only then noted in LEDGER; another reads them, whole and never older than what was noted before. Both go on
for ever and note in LEDGER.state how far they are. Anything wrong is a line in LEDGER.errors. A file system whose client is gone
(ENOTCONN, or nothing is mounted) is waited for. `check`: reads all that the ledger names, prints how many
files that are, and fails if one is not what it should be.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import random
import sys
import threading
import time

FILES = 12
SIZE_BYTES_MAX = 60_000
PAUSE_S = 0.03
TRIES = 20
CLIENT_GONE = (errno.ENOTCONN, errno.ECONNABORTED)


class Wrong(Exception):
    """The file system has answered what it must not."""


def content(name: str, version: int) -> bytes:
    """Return what a version of a file holds; it tells by itself whether it is whole."""
    size = random.Random(f"{name} {version}").randrange(SIZE_BYTES_MAX)
    body = (hashlib.sha256(f"{name} {version}".encode()).hexdigest().encode() * (size // 64 + 1))[:size]
    return f"{name} {version} {size} {hashlib.sha256(body).hexdigest()}\n".encode() + body


def read(folder: str, name: str) -> bytes:
    """Return what a file holds. One that is open while it is replaced is missing for a moment (docs/posix.md). Raises: OSError."""
    for _ in range(TRIES):
        with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, name), "rb") as file:
            return file.read()
        time.sleep(PAUSE_S)
    raise FileNotFoundError(name)


def read_version(folder: str, name: str) -> int:
    """Return which version of a file is there. Raises: Wrong if it is none, or not whole; OSError."""
    found = read(folder, name)
    words = found.partition(b"\n")[0].split()
    if len(words) != 4 or words[0] != name.encode() or content(name, int(words[1])) != found:
        raise Wrong(f"{name}: {len(found)} bytes that are no version of it, beginning {found[:80]!r}")
    return int(words[1])


class Ledger:
    """What was acknowledged: the last version of each file. On a disk of the host, synced."""

    def __init__(self, path: str) -> None:
        self.versions: dict[str, int] = {}
        with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as file:
            for line in file:
                name, version = line.split()
                self.versions[name] = int(version)
        self._file = open(path, "a", encoding="ascii")  # noqa: SIM115 - for as long as the program runs

    def note(self, name: str, version: int) -> None:
        """Add what was acknowledged."""
        self._file.write(f"{name} {version}\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.versions[name] = version


def check(folder: str, ledger: Ledger, names: list[str]) -> None:
    """Read files. Raises: Wrong; OSError."""
    for name in names:
        noted = ledger.versions[name]
        found = read_version(folder, name)
        if found < noted:
            raise Wrong(f"{name}: version {found}, but {noted} was acknowledged")


class Load:
    """Two threads that work until the program is killed."""

    def __init__(self, folder: str, path: str) -> None:
        self._folder = folder
        self._path = path
        self._ledger = Ledger(path)
        self._state = {"reads": 0, "writes": 0}
        with contextlib.suppress(FileNotFoundError), open(f"{path}.state", encoding="ascii") as file:
            self._state = json.load(file)  # of a load that was cut off
        self._mutex = threading.Lock()
        self._below = os.stat(os.path.dirname(folder)).st_dev

    def run(self) -> None:
        """Work for ever."""
        threading.Thread(target=self._repeat, args=("writes", self._write), daemon=True).start()
        self._repeat("reads", self._read)

    def _repeat(self, what: str, step) -> None:  # type: ignore[no-untyped-def]
        for number in itertools.count(max(self._ledger.versions.values(), default=0) + 1):
            try:
                step(number)
                self._tell(what)
            except OSError as error:
                if error.errno not in CLIENT_GONE and os.path.ismount(self._folder):
                    self._complain(f"{what}: {error!r}")
            except Wrong as error:
                self._complain(f"{what}: {error}")
            time.sleep(PAUSE_S)

    def _write(self, version: int) -> None:
        name = f"file{version % FILES}"
        target = os.path.join(self._folder, name)
        with open(f"{target}.new", "wb") as file:
            if os.fstat(file.fileno()).st_dev == self._below:
                raise OSError(errno.ENOTCONN, "nothing is mounted in this moment")
            file.write(content(name, version))
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{target}.new", target)
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._ledger.note(name, version)

    def _read(self, number: int) -> None:
        if self._ledger.versions:
            check(self._folder, self._ledger, [random.choice(list(self._ledger.versions))])

    def _tell(self, what: str) -> None:
        with self._mutex:
            self._state[what] += 1
            with open(f"{self._path}.state.new", "w", encoding="ascii") as file:
                json.dump(self._state, file)
            os.replace(f"{self._path}.state.new", f"{self._path}.state")

    def _complain(self, message: str) -> None:
        with open(f"{self._path}.errors", "a", encoding="utf-8") as file:
            file.write(message + "\n")


def main(folder: str, path: str, action: str) -> int:
    """Do what is asked for and return the exit status."""
    if action == "run":
        Load(folder, path).run()
    ledger = Ledger(path)
    check(folder, ledger, list(ledger.versions))
    print(len(ledger.versions))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
