"""`dfsctl tls`: the folder in which a cluster's CA and the certificates that it issued are kept.

| file                      | mode | what                                                                              |
|---------------------------|------|-----------------------------------------------------------------------------------|
| `ca.key`                  | 0600 | the CA's private key: who has it lets in whom he likes. No server needs it        |
| `ca.pem`                  | 0644 | the CA's certificate                                                              |
| `NAME/certificate.pem`    | 0644 | for host or client NAME; these three go into /etc/dfs/tls of that machine          |
| `NAME/key.pem`            | 0600 | its private key                                                                   |
| `NAME/ca.pem`             | 0644 | the CA's certificate once more                                                    |

Promises: each file is there whole or not at all, and no key is readable by others at any moment; nothing is replaced but by
`renew`, the key before the certificate. Called by dfs/cli/tls/commands.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from dfs.cli.tls.authority import Authority, Issued, Subject, subject_of
from dfs.cli.tools.backup import sync_folder
from dfs.core.certificates import Unreadable, Urgency, read_certificate
from dfs.core.start_errors import StateError, UsageError

CA, CA_KEY = "ca.pem", "ca.key"
CERTIFICATE, KEY = "certificate.pem", "key.pem"
_SECRET: Final = 0o600
_PUBLIC: Final = 0o644


class AuthorityFolder:
    """One such folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def init(self, cluster: str, now_s: float) -> None:
        """Make the CA. Raises: UsageError if there is one; StateError."""
        for name in (CA, CA_KEY):
            if (self._path / name).exists():
                raise UsageError("a folder without a CA (`dfsctl tls add` makes further certificates)", str(self._path / name))
        made = Authority.make(cluster, now_s).pem()
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(self._path / CA_KEY, made.key, _SECRET)
            _write(self._path / CA, made.certificate, _PUBLIC)
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def add(self, subjects: Sequence[Subject], now_s: float, days: int) -> None:
        """Make a certificate for each of the subjects. Raises: UsageError if one has a certificate; StateError."""
        for subject in subjects:
            if (self._path / subject.name).exists():
                raise UsageError("names without a certificate (`dfsctl tls renew` replaces one)", str(self._path / subject.name))
        authority = self._authority()
        for subject in subjects:
            self._put(subject.name, authority.issue(subject, now_s, days))

    def renew(self, names: Sequence[str], now_s: float, days: int, *, all_names: bool = False) -> list[str]:
        """Replace the certificates of `names`, else those that end within 30 days, else all; return whose.

        Raises: UsageError if a name has none; StateError.
        """
        known = list(self._names())
        for name in names:
            if name not in known:
                raise UsageError(f"names in {self._path}: {', '.join(known) or 'there are none'}", name)
        wanted = list(names) or [name for name in known if all_names or self._is_due(name, now_s)]
        authority = self._authority()
        for name in wanted:
            subject = self._subject(name)
            self._put(name, authority.issue(Subject(name, subject.hosts), now_s, days))
        return wanted

    def _put(self, name: str, issued: Issued) -> None:
        folder = self._path / name
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            _write(folder / CA, (self._path / CA).read_bytes(), _PUBLIC)
            _write(folder / KEY, issued.key, _SECRET)
            _write(folder / CERTIFICATE, issued.certificate, _PUBLIC)
        except OSError as error:
            raise _unwritable(folder, error) from error

    def _names(self) -> Iterator[str]:
        for file in sorted(self._path.glob(f"*/{CERTIFICATE}")):
            yield file.parent.name

    def _is_due(self, name: str, now_s: float) -> bool:
        file = self._path / name / CERTIFICATE
        try:
            return read_certificate(file.read_text(encoding="latin-1")).urgency(now_s) is not Urgency.NONE
        except (OSError, Unreadable) as error:
            raise StateError(f"a certificate in {file}", str(error)) from error

    def _subject(self, name: str) -> Subject:
        file = self._path / name / CERTIFICATE
        try:
            return subject_of(file.read_bytes())
        except (OSError, ValueError) as error:
            raise StateError(f"a certificate in {file}", str(error)) from error

    def _authority(self) -> Authority:
        try:
            return Authority.load(Issued((self._path / CA).read_bytes(), (self._path / CA_KEY).read_bytes()))
        except OSError as error:
            raise StateError(f"a CA in {self._path}, made by `dfsctl tls init`", error.strerror or str(error)) from error
        except (ValueError, TypeError) as error:
            raise StateError(f"a CA in {self._path}, made by `dfsctl tls init`", str(error)) from error


def check_subjects(subjects: Iterable[Subject]) -> None:
    """Raise UsageError if two of them would share a folder."""
    seen: set[str] = set()
    for subject in subjects:
        if subject.name in seen or subject.name in (CA, CA_KEY):
            raise UsageError("a different name for each host and client", f"{subject.name} twice")
        seen.add(subject.name)


def _unwritable(path: Path, error: OSError) -> StateError:
    return StateError(f"to write {path}", error.strerror or str(error))


def _write(target: Path, data: bytes, mode: int) -> None:
    """Put a file there whole; it never has other rights than `mode`. Raises: OSError."""
    temporary = target.with_name(f".{target.name}.part")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _SECRET)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    os.replace(temporary, target)
    sync_folder(target.parent)
