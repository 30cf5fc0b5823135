"""Documents in the very form that codec.py writes: read at a fifth of the cost of a parser that takes any XML.

Owns that form as one regular expression per token. Promises: a document that is in this form is read as codec.py's expat reader
would read it; of any other (another writer's white space, references, comments, doubles, text beyond ASCII, anything wrong or
past a limit) nothing is said: the answer is None, and expat judges. Called by codec.py only.

A small call costs mostly the reading of its documents: expat tells of each element's begin and end, 4 calls back per scalar.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from dfs.core.limits import XML_DEPTH_MAX, XML_ELEMENTS_MAX
from dfs.rpc import base64_data

PROLOG: Final = b"<?xml version='1.0'?>\n"

_OPENING: Final = re.compile(
    rb"<\?xml version='1\.0'\?>\n<method(?:Call><methodName>([A-Za-z0-9_.]+)</methodName><params>|Response><(?:(params)|(fault))>)"
)
_VALUE: Final = re.compile(
    rb"<value><(?:"
    rb"(int|i8)>(-?[0-9]{1,19})</\1></value>"
    rb"|(base64>)"
    rb"|string>([\t\n -%'-;=?-~]*)</string></value>"
    rb"|(array><data>)"
    rb"|(struct>)"
    rb"|boolean>([01])</boolean></value>)"
)
_INT, _BASE64, _TEXT, _ARRAY, _STRUCT, _BOOLEAN = range(2, 8)
"""Numbers of the groups that tell a token's kind; that of an int's tag is 1."""
_INTS: Final = re.compile(rb"(?:<value><(?:int>-?[0-9]{1,19}</int|i8>-?[0-9]{1,19}</i8)></value>)+")
_INT_TEXT: Final = re.compile(rb">(-?[0-9]+)<")
_MEMBER: Final = re.compile(rb"<member><name>([\t\n -%'-;=?-~]*)</name>")
_BASE64_END: Final = b"</base64></value>"
_ARRAY_END: Final = b"</data></array></value>"
_STRUCT_END: Final = b"</struct></value>"
_MEMBER_END: Final = b"</member>"
_CALL_END: Final = b"</params></methodCall>\n"
_ANSWER_END: Final = b"</params></methodResponse>\n"
_FAULT_END: Final = b"</fault></methodResponse>\n"
_DEPTH_MAX: Final = XML_DEPTH_MAX // 4
"""Arrays and structs in one another; far below the limit, which counts elements."""
_ELEMENT_BYTES_MIN: Final = len("<i8></i8>")


class Document(NamedTuple):
    """What a document says."""

    method: str | None
    """None for an answer."""
    values: list[Any]
    is_fault: bool


class _OtherForm(Exception):
    """The document is not in this form; whether it is right is for another reader to say."""


def read(document: bytes | bytearray) -> Document | None:
    """Return what a document says; None if it is not wholly in this form."""
    opening = _OPENING.match(document)
    if opening is None or len(document) > XML_ELEMENTS_MAX * _ELEMENT_BYTES_MIN:
        return None
    method, is_answer, is_fault = opening.groups()
    try:
        if is_fault:
            value, at = _value(document, opening.end(), 0)
            values, end = [value], _FAULT_END
        else:
            values, at = _parameters(document, opening.end())
            end = _ANSWER_END if is_answer else _CALL_END
    except (_OtherForm, ValueError):
        return None
    if len(document) != at + len(end) or not document.endswith(end):
        return None
    return Document(None if method is None else method.decode(), values, bool(is_fault))


def _parameters(document: bytes | bytearray, at: int) -> tuple[list[Any], int]:
    """Return the values of all <param>, and where they end."""
    values: list[Any] = []
    while document.startswith(b"<param>", at):
        value, at = _value(document, at + 7, 0)
        values.append(value)
        if not document.startswith(b"</param>", at):
            raise _OtherForm
        at += 8
    return values, at


def _value(document: bytes | bytearray, at: int, depth: int) -> tuple[Any, int]:
    """Return the value that begins at `at`, and where its element ends. `depth`: arrays and structs around it."""
    token = _VALUE.match(document, at)
    if token is None:
        raise _OtherForm
    kind = token.lastindex
    at = token.end()
    if kind == _INT:
        return int(token[_INT]), at
    if kind == _BASE64:
        end = document.find(b"<", at)
        if not document.startswith(_BASE64_END, end):
            raise _OtherForm
        return base64_data.decode(memoryview(document)[at:end]), end + len(_BASE64_END)
    if kind == _ARRAY:
        return _array(document, at, depth + 1)
    if kind == _TEXT:
        return token[_TEXT].decode(), at
    if kind == _STRUCT:
        return _struct(document, at, depth + 1)
    return token[_BOOLEAN] == b"1", at


def _array(document: bytes | bytearray, at: int, depth: int) -> tuple[list[Any], int]:
    if depth > _DEPTH_MAX:
        raise _OtherForm
    values: list[Any] = []
    while not document.startswith(_ARRAY_END, at):
        run = _INTS.match(document, at)
        if run is not None:  # most arrays are mostly ints: a run of them is read in one step
            values.extend(map(int, _INT_TEXT.findall(document, at, run.end())))
            at = run.end()
        else:
            value, at = _value(document, at, depth)
            values.append(value)
    return values, at + len(_ARRAY_END)


def _struct(document: bytes | bytearray, at: int, depth: int) -> tuple[dict[str, Any], int]:
    if depth > _DEPTH_MAX:
        raise _OtherForm
    members: dict[str, Any] = {}
    while not document.startswith(_STRUCT_END, at):
        name = _MEMBER.match(document, at)
        if name is None:
            raise _OtherForm
        value, at = _value(document, name.end(), depth)
        key = name[1].decode()
        if key in members or not document.startswith(_MEMBER_END, at):
            raise _OtherForm
        members[key] = value
        at += len(_MEMBER_END)
    return members, at + len(_STRUCT_END)
