"""The errno of every error: the one place where dfs' errors become the kernel's.

Promises: whatever an operation raises, the kernel gets an OSError with a positive errno. An error that no operation may end with is
a bug: EIO, an UNEXPECTED event and a traceback. Called by operations.py alone.
"""

from __future__ import annotations

import errno
import logging
import os
from typing import Final

from dfs.core import errors
from dfs.core.events.event import REQUEST_FIELD, Event
from dfs.core.events.programs import UNEXPECTED
from dfs.core.interfaces import CallContext, EventSink

LOG = logging.getLogger(__name__)

ERRNO: Final[dict[type[errors.DfsError], int]] = {
    errors.NotFound: errno.ENOENT,
    errors.AlreadyExists: errno.EEXIST,
    errors.NotAFolder: errno.ENOTDIR,
    errors.IsAFolder: errno.EISDIR,
    errors.FolderNotEmpty: errno.ENOTEMPTY,
    errors.AccessDenied: errno.EACCES,
    errors.NotPermitted: errno.EPERM,
    errors.NameTooLong: errno.ENAMETOOLONG,
    errors.TooManyLinks: errno.EMLINK,
    errors.InvalidArgument: errno.EINVAL,
    errors.FileTooLarge: errno.EFBIG,
    errors.NoSpace: errno.ENOSPC,
    errors.ReadOnly: errno.EROFS,
    errors.StaleFile: errno.ESTALE,
    errors.NotSupported: errno.EOPNOTSUPP,
    errors.BadHandle: errno.EBADF,
    errors.NoAttribute: errno.ENODATA,
    errors.ArgumentTooBig: errno.E2BIG,
    errors.WouldBlock: errno.EAGAIN,
    errors.WouldDeadlock: errno.EDEADLK,
    errors.TooManyLocks: errno.ENOLCK,
    errors.ClientRefused: errno.EACCES,
    # The client has told the operator already, with path and block.
    errors.NoGoodCopy: errno.EIO,
}
"""Errors that are a system call's result."""

FAULTS: Final[frozenset[type[errors.DfsError]]] = frozenset(
    {
        errors.Unreachable,
        errors.BadAnswer,
        errors.NotAuthenticated,
        errors.CallerRefused,
        errors.TlsFailed,
        errors.ServerFailed,
        errors.SessionExpired,
        errors.CapabilityRefused,
        errors.GrantLost,
        errors.DuplicateRefused,
        errors.NotFormatted,
        errors.WrongServer,
        errors.NotTrusted,
        errors.Stopping,
    }
)
"""Errors of the cluster that the client could not wait out: EIO and a line in the log."""

BUGS: Final[frozenset[type[errors.DfsError]]] = frozenset(
    {
        errors.BadRequest,
        errors.UnknownMethod,
        errors.RequestTooLarge,
        errors.StaleTicket,
        errors.Conflict,
        errors.GrantBusy,
        errors.LockBusy,
    }
)
"""Errors that the client must never send or always cures itself; like any other unknown exception."""


def to_os_error(error: BaseException, operation: str, ctx: CallContext, events: EventSink) -> OSError:
    """Return the OSError that answers the kernel, after telling the operator what no program can tell from an errno.

    Arguments: what the operation raised, the operation's name and context, where events go.
    """
    number = ERRNO.get(type(error)) if isinstance(error, errors.DfsError) else None
    if number is None:
        number = _explain(error, operation, ctx, events)
    return OSError(number, os.strerror(number))


def _explain(error: BaseException, operation: str, ctx: CallContext, events: EventSink) -> int:
    request = {REQUEST_FIELD: ctx.request_id}
    if isinstance(error, errors.Interrupted):
        if error.reason == errors.EndReason.DEADLINE.value:
            LOG.warning("%s fails with EIO: no end of it within the timeo of this soft mount", operation, extra=request)
        return errno.EINTR if error.reason == errors.EndReason.SIGNAL.value else errno.EIO
    if type(error) in FAULTS:
        LOG.warning("%s fails with EIO: %s", operation, error, extra=request)
        return errno.EIO
    LOG.error("%s fails with EIO", operation, exc_info=error, extra=request)
    events.emit(Event(UNEXPECTED, details={"what": f"{operation} raised {error!r}"}), ctx)
    return errno.EIO
