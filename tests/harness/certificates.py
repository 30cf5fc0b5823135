"""A CA and certificates of a test, made by the code that `dfsctl tls` runs; also ones that are out of date or of another CA."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from dfs.cli.tls.authority import Authority, Subject
from dfs.cli.tls.folder import AuthorityFolder
from dfs.core.certificates import DAY_S
from dfs.core.config import TlsConfig

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1")


class Certificates:
    """A CA in a folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder
        self._folder = AuthorityFolder(folder)
        self._folder.init("test", time.time() - 900 * DAY_S)

    def host(self, name: str, *others: str, days: int = 365, made_days_ago: float = 0) -> TlsConfig:
        """Make a certificate for a host; return its files."""
        return self._add(Subject(name, (name, *others)), days, made_days_ago)

    def client(self, name: str, days: int = 365, made_days_ago: float = 0) -> TlsConfig:
        """Make a certificate for a client; return its files."""
        return self._add(Subject(name, ()), days, made_days_ago)

    def renew(self, name: str, days: int = 365, made_days_ago: float = 0) -> None:
        """Replace a certificate."""
        self._folder.renew([name], time.time() - made_days_ago * DAY_S, days)

    def files(self, name: str) -> TlsConfig:
        """Return the files of a name."""
        folder = self._path / name
        return TlsConfig(str(folder / "certificate.pem"), str(folder / "key.pem"), str(folder / "ca.pem"))

    def _add(self, subject: Subject, days: int, made_days_ago: float) -> TlsConfig:
        self._folder.add([subject], time.time() - made_days_ago * DAY_S, days)
        return self.files(subject.name)


def other_authority() -> Authority:
    """Return a CA of nobody's."""
    return Authority.make("other", time.time())
