"""`dfsctl rpc METHOD ARGUMENT...`: any method of any server by hand, signed with the key where there is one.

Owns how arguments are written and answers shown: JSON, in which bytes are {"base64": "..."}; as an argument `b:TEXT` stands for
bytes, too, and a word that is no JSON for itself. Judges nothing: the server does.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, Final

from dfs.core.start_errors import UsageError

_BYTES: Final = "b:"
_BASE64: Final = "base64"


def parse_argument(word: str) -> Any:
    """Return what one argument stands for. Raises: UsageError."""
    if word.startswith(_BYTES):
        return word.removeprefix(_BYTES).encode("utf-8", "surrogateescape")
    try:
        value = json.loads(word)
    except ValueError:
        return word
    except RecursionError:
        raise UsageError("an argument that is not so deep", f"{word[:40]}...") from None
    return _from_json(value)


def _from_json(value: Any) -> Any:
    match value:
        case {"base64": str(text)} if len(value) == 1:
            try:
                return base64.b64decode(text, validate=True)
            except binascii.Error as error:
                raise UsageError('{"base64": ...} with Base64', repr(text[:40])) from error
        case dict():
            return {name: _from_json(member) for name, member in value.items()}
        case list():
            return [_from_json(item) for item in value]
        case None:
            raise UsageError("values that XML-RPC has", "null")
    return value


def show_answer(answer: Any) -> str:
    """Return an answer as JSON."""
    return json.dumps(answer, indent=2, default=_show_bytes)


def _show_bytes(value: object) -> dict[str, str]:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"{type(value).__name__} in an answer")
    return {_BASE64: base64.b64encode(value).decode("ascii")}


def parse_arguments(words: Sequence[str]) -> list[Any]:
    """Return what all arguments stand for. Raises: UsageError."""
    return [parse_argument(word) for word in words]
