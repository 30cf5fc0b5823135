"""Base64 of names and block data, by pybase64 where it is installed and by binascii where not.

Owns the choice between the two; both give the same bytes and refuse the same input, and parts that go to
several servers are encoded once. Called by codec.py only.
"""

from __future__ import annotations

import binascii
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, Final

from dfs.core.joined_bytes import JoinedBytes, SharedPart
from dfs.core.records import Buffer

# An accelerator that Debian 12 does not have.
_fast: Any = importlib.import_module("pybase64") if importlib.util.find_spec("pybase64") else None
_SPACE: Final = str.maketrans("", "", " \t\r\n")


def encode_standard(data: Buffer) -> bytes:
    """Return `data` in base64, in one line."""
    return binascii.b2a_base64(data, newline=False)


def decode_standard(text: str | Buffer) -> bytes:
    """Return the bytes that base64 `text` (or ASCII) stands for; spaces and line ends in it mean nothing.

    Raises: ValueError if it is not base64, or its padding is missing.
    """
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        text = _without_space(text)
        data = binascii.a2b_base64(text, strict_mode=True)
    if len(text) != (len(data) + 2) // 3 * 4:
        raise ValueError("padding where none belongs")
    return data


def decode_accelerated(text: str | Buffer) -> bytes:
    """Return the same as decode_standard, eight times faster. Needs pybase64."""
    try:
        data: bytes = _fast.b64decode(text, validate=True)
    except ValueError:
        data = _fast.b64decode(_without_space(text), validate=True)
    return data


def _without_space(text: str | Buffer) -> str:
    return (text if isinstance(text, str) else bytes(text).decode("ascii")).translate(_SPACE)


encode: Final[Callable[[Buffer], bytes]] = encode_standard if _fast is None else _fast.b64encode
decode: Final[Callable[[str | Buffer], bytes]] = decode_standard if _fast is None else decode_accelerated


def encode_joined(data: JoinedBytes) -> list[bytes]:
    """Return `data` in base64, in pieces; what a part was turned into before is used again.

    Three bytes are four characters, so the one or two bytes that a part leaves over are encoded with the first of the next.
    """
    pieces: list[bytes] = []
    left = b""
    for part in data.parts:
        head = -len(left) % 3
        if head:
            left += part.data[:head]
            if len(left) < 3:
                continue  # a part of one byte, or of none
            pieces.append(encode(left))
        whole, left = part.forms.get(head) or _encode_from(part, head)
        pieces.append(whole)
    if left:
        pieces.append(encode(left))
    return pieces


def _encode_from(part: SharedPart, head: int) -> tuple[bytes, bytes]:
    """Return the part behind its first `head` bytes in base64, and what is left over; both are kept with it."""
    view = memoryview(part.data)[head:]
    end = len(view) - len(view) % 3
    form = part.forms[head] = encode(view[:end]), bytes(view[end:])
    return form
