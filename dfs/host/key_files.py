"""Key files on this machine: read with care, made once, replaced whole.

Owns what a key file's owner and permissions must be, and where systemd puts a credential. What a key file says is
dfs/core/keys.py's. Messages never show what is in one. Called by dfs/cli.
"""

from __future__ import annotations

import contextlib
import grp
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from dfs.core.keys import KEY_BYTES, BadKey, Keys, parse_keys, show_keys
from dfs.core.start_errors import ConfigError, StateError

DEFAULT_FILE: Final = Path("/etc/dfs/cluster.key")
CREDENTIAL: Final = "cluster.key"
"""The name that LoadCredential= gives the key file in the servers' units."""
NO_CREDENTIAL: Final = "none"
"""What the units set where there is no key file to load: without a default systemd would not start them."""
GROUP: Final = "dfs"
MODE: Final = 0o640
_FILE_BYTES_MAX: Final = 4096
_NOT_FOR_OTHERS: Final = 0o027
"""Writing by the group, and everything by others."""


def read_keys(path: Path) -> Keys:
    """Return what a key file says. Raises: ConfigError if it is missing, unreadable, wrong, or open to others."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"a readable key file {path}", error.strerror or str(error)) from error
    try:
        _check(path, os.fstat(fd))
        return _parse(os.read(fd, _FILE_BYTES_MAX + 1), f"key file {path}")
    finally:
        os.close(fd)


def _check(path: Path, about: os.stat_result) -> None:
    """Raise ConfigError unless a key file is closed to others."""
    if not stat.S_ISREG(about.st_mode):
        raise ConfigError(f"a key file {path}", "something else than a file")
    if about.st_mode & _NOT_FOR_OTHERS:
        raise ConfigError(f"the key file {path} to be closed to others (chmod 0640)", f"mode {stat.S_IMODE(about.st_mode):04o}")
    if about.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"the key file {path} to belong to root or to the user of this program", f"user {about.st_uid}")


def read_credential(environment: Mapping[str, str]) -> Keys | None:
    """Return the keys that systemd handed to this service, or None if it did not. Raises: ConfigError."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    path = Path(folder) / CREDENTIAL
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"a readable credential {path}", error.strerror or str(error)) from error
    return None if raw.strip() == NO_CREDENTIAL.encode() else _parse(raw, f"credential {path}")


def _parse(raw: bytes, what: str) -> Keys:
    try:
        if len(raw) > _FILE_BYTES_MAX:
            raise BadKey(f"at most {_FILE_BYTES_MAX} bytes")
        return parse_keys(raw.decode("ascii"))
    except UnicodeDecodeError:
        raise ConfigError(f"in the {what}: ASCII text", "other bytes") from None
    except BadKey as bad:
        raise ConfigError(f"in the {what}: {bad}", "something else") from None


def new_secret() -> bytes:
    """Return a new key from the operating system's source of chance."""
    return os.urandom(KEY_BYTES)


def create_key_file(path: Path, keys: Keys) -> None:
    """Write a key file that is not there yet, durably, for root and the servers' group. Raises: StateError; it replaces nothing."""
    if os.path.lexists(path):
        raise StateError(f"no file {path} yet: a key file is never overwritten", "one that exists")
    with _new_beside(path, keys) as temporary:
        os.link(temporary, path)  # unlike rename, fails if somebody else has made it meanwhile


def replace_key_file(path: Path, keys: Keys) -> None:
    """Replace a key file, durably and at once. Raises: StateError."""
    with _new_beside(path, keys) as temporary:
        os.rename(temporary, path)


@contextlib.contextmanager
def _new_beside(path: Path, keys: Keys) -> Iterator[Path]:
    """Write the text beside `path` for the caller to move there, and make that durable. Raises: StateError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                if os.geteuid() == 0:
                    os.fchown(fd, 0, _group())
                os.fchmod(fd, MODE)
                file.write(show_keys(keys).encode("ascii"))
                file.flush()
                os.fsync(fd)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise StateError(f"to write the key file {path}", error.strerror or str(error)) from error


def _group() -> int:
    """Return the servers' group, or root's where the package is not installed."""
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return 0


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
