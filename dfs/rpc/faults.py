"""The one table of fault codes: stable ints <-> the error classes of dfs/core/errors.py that travel (design section 9).

A fault's string is the message for people, a line end, and the error's fields as a JSON object (bytes as latin-1), so that
the client raises the very error that the server raised. A code is never renumbered or reused. Errors of a server's own disk
and of its start never travel: to a caller they are ServerFailed. Called by dispatch.py (writing) and exchange.py (reading).
"""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any, Final

from dfs.core import errors
from dfs.core.errors import BadAnswer, DfsError, DiskError, EndReason, Interrupted, ServerFailed, Stopping
from dfs.core.limits import TREE_PATH_BYTES_MAX
from dfs.core.start_errors import StartError
from dfs.rpc.codec import Fault

CODES: Final[dict[int, type[DfsError]]] = {
    101: errors.NotFound,
    102: errors.AlreadyExists,
    103: errors.NotAFolder,
    104: errors.IsAFolder,
    105: errors.FolderNotEmpty,
    106: errors.AccessDenied,
    107: errors.NotPermitted,
    108: errors.NameTooLong,
    109: errors.TooManyLinks,
    110: errors.InvalidArgument,
    111: errors.FileTooLarge,
    112: errors.NoSpace,
    113: errors.ReadOnly,
    114: errors.StaleFile,
    115: errors.NotSupported,
    116: errors.BadHandle,
    117: errors.NoAttribute,
    118: errors.ArgumentTooBig,
    119: errors.WouldBlock,
    120: errors.WouldDeadlock,
    121: errors.TooManyLocks,
    150: errors.NoGoodCopy,
    201: errors.Unreachable,
    202: errors.BadAnswer,
    203: errors.ServerFailed,
    204: errors.NotAuthenticated,
    205: errors.TlsFailed,
    301: errors.BadRequest,
    302: errors.UnknownMethod,
    303: errors.RequestTooLarge,
    304: errors.StaleTicket,
    305: errors.Conflict,
    306: errors.GrantBusy,
    307: errors.GrantLost,
    308: errors.SessionExpired,
    309: errors.DuplicateRefused,
    310: errors.NotFormatted,
    311: errors.WrongServer,
    312: errors.NotTrusted,
    313: errors.Stopping,
    314: errors.LockBusy,
    315: errors.CallerRefused,
    330: errors.ClientRefused,
    331: errors.CapabilityRefused,
    401: errors.Interrupted,
}
SHOWN_MAX: Final = TREE_PATH_BYTES_MAX
"""Bytes or characters of a field of an error that travel: a name over all limits is shown by its beginning."""
NEVER_TRAVEL: Final = (DiskError, StartError)
"""Branches of the tree that stay on the machine where they happened."""

_CODE_OF: Final = {cls: code for code, cls in CODES.items()}


def _fields(cls: type[DfsError]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


_FIELDS: Final = {cls: _fields(cls) for cls in _CODE_OF}
"""Names and types of the fields of each error."""


def fault_of(error: DfsError, peer: str) -> Fault:
    """Return the fault that carries `error` from the server named `peer`. What a caller sent is not sent back at any length."""
    if isinstance(error, Interrupted) and error.reason == EndReason.SHUTDOWN.value:
        error = Stopping()  # the server's end, not that of the caller's operation
    code = _CODE_OF.get(type(error))
    if code is None:
        error = ServerFailed(peer, str(error))
        code = _CODE_OF[ServerFailed]
    fields = {name: getattr(error, name) for name in _FIELDS[type(error)]}
    long = {name: value[:SHOWN_MAX] for name, value in fields.items() if isinstance(value, bytes | str) and len(value) > SHOWN_MAX}
    if long:
        fields |= long
        error = type(error)(**fields)
    shown = {name: value.decode("latin-1") if isinstance(value, bytes) else value for name, value in fields.items()}
    return Fault(code, f"{error}\n{json.dumps(shown)}")


def error_of(fault: Fault, peer: str) -> DfsError:
    """Return the error that a fault from `peer` carries; BadAnswer if it is not one of ours."""
    cls = CODES.get(fault.code)
    if cls is None:
        return BadAnswer(peer, f"unknown fault code {fault.code}: {fault.text}"[:300])
    try:
        shown = json.loads(fault.text.rpartition("\n")[2])
        types = _FIELDS[cls]
        if not isinstance(shown, dict) or shown.keys() != types.keys():
            raise ValueError(f"the fields are not {', '.join(types) or 'none'}")
        error = cls(**{name: _field(shown[name], tp) for name, tp in types.items()})
        if isinstance(error, Interrupted) and error.reason != EndReason.DEADLINE.value:
            raise ValueError("only the deadline of a call ends it at a server")
        return error
    except (ValueError, RecursionError) as error:
        return BadAnswer(peer, f"fault code {fault.code} with wrong fields: {error}"[:300])


def _field(shown: object, tp: type) -> object:
    if tp is bytes and isinstance(shown, str):
        return shown.encode("latin-1")
    if type(shown) is not tp:
        raise ValueError(f"expected {tp.__name__}, got {type(shown).__name__}")
    return shown
