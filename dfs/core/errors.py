"""Every way in which dfs can fail, one leaf class per cause.

A class carries fields, not prose; its message is made from them. `exit_code` is what a program ends with when the error
reaches its top (the documented table below), and the branch of the tree says who handles it:

- FileError: the answer to a program's system call. dfs/fusefs/errno_table.py alone knows the errno of each.
- PeerError: another process could not be reached or answered nonsense. The caller retries or uses the other replica.
- ProtocolError: the other side refuses because our knowledge is old. The caller asks again with newer knowledge.
- Interrupted: the operation's owner wants it to end.
- DiskError: this machine's own disk.
- StartError: a program cannot start or go on; the message is for the person who started it.

Exit codes: 0 done; 1 failed, or a bug; 2 usage; 3 configuration; 4 state folder or identity; 5 peer not reachable or
refused; 6 address in use; 7 mount point.

All fields are int, str, bytes or bool, so that dfs/rpc/faults.py can carry them over the wire.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar


class ExitCode(enum.IntEnum):
    """What a program's exit status means."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    STATE = 4
    PEER = 5
    ADDRESS_IN_USE = 6
    MOUNT_POINT = 7


@dataclass(eq=False)
class DfsError(Exception):
    """Base of all expected errors. `template` is formatted with the fields of the leaf class."""

    template: ClassVar[str] = "dfs error"
    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __str__(self) -> str:
        """Return the message for people: what was expected, what was got."""
        shown = {k: v.decode("utf-8", "backslashreplace") if isinstance(v, bytes) else v for k, v in vars(self).items()}
        return self.template.format(**shown)


# --- the answer to a system call -------------------------------------------------------------------------------------


@dataclass(eq=False)
class FileError(DfsError):
    """A system call's own result: an errno, not a fault of the cluster."""

    path: bytes = b""
    """The name concerned, as far as known; for people only."""


class NotFound(FileError):
    """ENOENT."""

    template = "no such file or folder: {path}"


class AlreadyExists(FileError):
    """EEXIST."""

    template = "already exists: {path}"


class NotAFolder(FileError):
    """ENOTDIR."""

    template = "not a folder: {path}"


class IsAFolder(FileError):
    """EISDIR."""

    template = "is a folder: {path}"


class FolderNotEmpty(FileError):
    """ENOTEMPTY."""

    template = "folder not empty: {path}"


class AccessDenied(FileError):
    """EACCES: the permission bits do not allow it."""

    template = "permission denied: {path}"


class NotPermitted(FileError):
    """EPERM: not for this user at all, whatever the bits."""

    template = "operation not permitted: {path}"


class NameTooLong(FileError):
    """ENAMETOOLONG."""

    template = "name or path too long: {path}"


class TooManyLinks(FileError):
    """EMLINK."""

    template = "too many links: {path}"


class InvalidArgument(FileError):
    """EINVAL."""

    template = "invalid argument: {path}"


class FileTooLarge(FileError):
    """EFBIG."""

    template = "file too large: {path}"


class NoSpace(FileError):
    """ENOSPC: a disk of the cluster is full."""

    template = "no space left: {path}"


class ReadOnly(FileError):
    """EROFS: the disk behind a server, the meta-server, or the client's export is read-only."""

    template = "read-only: {path}"


class StaleFile(FileError):
    """ESTALE: the inode no longer exists."""

    template = "stale file handle: {path}"


class NotSupported(FileError):
    """EOPNOTSUPP."""

    template = "not supported: {path}"


class BadHandle(FileError):
    """EBADF: the handle is not open for this."""

    template = "bad file handle: {path}"


class NoAttribute(FileError):
    """ENODATA: no such extended attribute."""

    template = "no such extended attribute: {path}"


class ArgumentTooBig(FileError):
    """E2BIG: the value of an extended attribute."""

    template = "value too big: {path}"


class WouldBlock(FileError):
    """EAGAIN: another owner's lock is in the way, and the caller does not want to wait."""

    template = "locked by another: {path}"


class WouldDeadlock(FileError):
    """EDEADLK: whoever is in the way waits for the caller."""

    template = "waiting for this lock would never end: {path}"


class TooManyLocks(FileError):
    """ENOLCK: an owner's locks on one file are more than LOCKS_MAX."""

    template = "too many locks: {path}"


@dataclass(eq=False)
class NoGoodCopy(DfsError):
    """EIO: no copy of a block can be verified (I2). Never answered with zeros."""

    ino: int
    block_no: int
    primary: str
    secondary: str
    template = "no good copy of inode {ino} block {block_no}: primary is {primary}, secondary is {secondary}"


# --- other processes -------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class PeerError(DfsError):
    """Another process failed us. `peer` names it: "meta at 127.0.0.1:9000", "data server 2 at 127.0.0.1:9102"."""

    peer: str
    reason: str
    exit_code = ExitCode.PEER


class Unreachable(PeerError):
    """No connection, the connection broke, or no answer in time: the call may or may not have had its effect."""

    template = "{peer} does not answer: {reason}"


class BadAnswer(PeerError):
    """The peer's answer is not one of ours, or breaks the protocol."""

    template = "{peer} does not answer as it should: {reason}"


class NotAuthenticated(PeerError):
    """The peer did not show that it has our key, or does not believe that we have its."""

    template = "{peer} and this program do not trust each other: {reason}"


class TlsFailed(PeerError):
    """No connection over TLS: a certificate that does not fit, or only one of the two sides uses TLS."""

    template = "{peer} can't be trusted or does not trust us: {reason}"


class ServerFailed(PeerError):
    """The peer met a bug of its own and said so; its journal has the details."""

    template = "{peer} failed: {reason}"


# --- the other side knows better ---------------------------------------------------------------------------------------


@dataclass(eq=False)
class ProtocolError(DfsError):
    """Refused for a reason that newer knowledge or another call cures."""


@dataclass(eq=False)
class BadRequest(ProtocolError):
    """A parameter of the wrong type or out of range."""

    reason: str
    template = "bad request: {reason}"


@dataclass(eq=False)
class UnknownMethod(ProtocolError):
    """No such method."""

    method: str
    template = "unknown method: {method}"


@dataclass(eq=False)
class CallerRefused(ProtocolError):
    """The method is not for callers of this kind: a client's key is good for what a mount does."""

    method: str
    kind: str
    """A PeerKind."""
    exit_code = ExitCode.PEER
    template = "{method} is not for a caller with the key of kind {kind}"


@dataclass(eq=False)
class RequestTooLarge(ProtocolError):
    """A request is over one of the limits in core/limits.py."""

    what: str
    got: int
    limit: int
    template = "{what}: expected at most {limit}, got {got}"


@dataclass(eq=False)
class StaleTicket(ProtocolError):
    """The ticket or the newest cut that the caller names is below the inode's floor."""

    ino: int
    floor: int
    template = "inode {ino}: the caller's ticket is older than the floor {floor}"


@dataclass(eq=False)
class Conflict(ProtocolError):
    """A block is already stored with a higher generation, or with other bytes under the same one."""

    ino: int
    block_no: int
    highest: int
    """The highest generation seen among the blocks of the request."""
    template = "inode {ino} block {block_no}: already stored at generation {highest}"


@dataclass(eq=False)
class GrantBusy(ProtocolError):
    """Another session holds the write grant, or meta is still settling what a dead holder wrote; ask again."""

    ino: int
    template = "inode {ino}: the write grant is not free yet"


@dataclass(eq=False)
class LockBusy(ProtocolError):
    """A lock that the caller waits for is not free yet, or meta still waits for sessions after its start; ask again."""

    ino: int
    template = "inode {ino}: the lock is not free yet"


@dataclass(eq=False)
class GrantLost(ProtocolError):
    """The session does not hold the grant under which it commits, or the ticket is older than the newest cut."""

    ino: int
    template = "inode {ino}: the write grant is no longer held"


@dataclass(eq=False)
class SessionExpired(ProtocolError):
    """The client session is unknown or has expired; open a new one."""

    session: int
    template = "client session {session} has expired"


@dataclass(eq=False)
class DuplicateRefused(ProtocolError):
    """A late duplicate of a call whose answer was already acknowledged."""

    op: int
    template = "operation {op} was already answered and acknowledged"


@dataclass(eq=False)
class NotFormatted(ProtocolError):
    """The file system does not exist yet, or this server is not part of it yet."""

    reason: str
    exit_code = ExitCode.PEER
    template = "not formatted: {reason}"


@dataclass(eq=False)
class WrongServer(ProtocolError):
    """The server that answered is not the one that was meant."""

    expected: str
    got: str
    exit_code = ExitCode.STATE
    template = "expected {expected}, got {got}"


@dataclass(eq=False)
class NotTrusted(ProtocolError):
    """The server is suspect or rebuilding and cannot promise this (sync, clean) yet; ask again."""

    reason: str
    template = "not ready: {reason}"


@dataclass(eq=False)
class ClientRefused(ProtocolError):
    """EACCES: no export of the file system is for this client (any more)."""

    client: str
    """Its address, and its name if it proved one."""
    reason: str
    exit_code = ExitCode.PEER
    template = "client {client} is refused: {reason}"


@dataclass(eq=False)
class CapabilityRefused(ProtocolError):
    """A data server wants a valid capability for the inode; the meta-server gives one to whoever may have it."""

    ino: int
    reason: str
    template = "inode {ino}: no valid capability: {reason}"


@dataclass(eq=False)
class Stopping(ProtocolError):
    """The server is about to stop and takes no more work."""

    template = "the server is stopping"


# --- the owner wants it to end -----------------------------------------------------------------------------------------


class EndReason(enum.Enum):
    """Why CallContext.cancelled() asks an operation to end."""

    SIGNAL = "signal"
    SHUTDOWN = "shutdown"
    LEASE_LOST = "lease lost"
    DEADLINE = "deadline"


@dataclass(eq=False)
class Interrupted(DfsError):
    """An operation ended because its context said so. The errno depends on the reason: EINTR for a signal, else EIO."""

    reason: str
    """The value of an EndReason."""
    template = "ended early: {reason}"


# --- this machine ------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class DiskError(DfsError):
    """An operation on this machine's disk failed. Raised by dfs/host/disk.py only."""

    operation: str
    file: str
    reason: str
    template = "{operation} {file}: {reason}"


class DiskFull(DiskError):
    """ENOSPC or EDQUOT."""


class DiskReadOnly(DiskError):
    """EROFS, EACCES or EPERM: the state folder cannot be written."""


class DiskMissing(DiskError):
    """ENOENT: the file is not there."""


class DiskFailed(DiskError):
    """EIO and everything else."""
