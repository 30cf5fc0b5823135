"""XML-RPC documents <-> plain values (dfs/core/plain.py names those).

Owns the XML. What it writes, a stock xmlrpc client or server reads, and the other way round: ints of 32 bits are <int>,
of 64 bits <i8>, above that (u64) decimal <string>; bytes are <base64>. Documents in the form that it writes itself are read by
own_form.py, all others with expat's own callbacks: no tree is built. Document type declarations, and with them entities, are
refused; depth and number of elements are limited.

Called by server.py and exchange.py. It never opens a connection and knows no method and no class of error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from xml.parsers import expat

from dfs.core.errors import BadRequest, RequestTooLarge
from dfs.core.joined_bytes import JoinedBytes
from dfs.core.limits import XML_DEPTH_MAX, XML_ELEMENTS_MAX
from dfs.core.plain import INT_MAX, INT_MIN, Plain
from dfs.core.records import Buffer
from dfs.rpc import base64_data, own_form

Parts = list[Buffer]
"""A document in pieces: joined once, when the HTTP head in front of it is known."""


class Fault(NamedTuple):
    """A fault as it travels; dfs/rpc/faults.py knows what it means."""

    code: int
    text: str


class Malformed(Exception):
    """What was read is not an XML-RPC document of the kind expected."""


# --- writing -------------------------------------------------------------------------------------------------------------

_I32: Final = range(-(1 << 31), 1 << 31)
_I64_MAX: Final = (1 << 63) - 1
_SPECIAL: Final = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TEXT_BUFFER_BYTES_MAX: Final = 1 << 20

Append = Callable[[Buffer], None]


def write_request(method: str, parameters: Sequence[Plain]) -> Parts:
    """Return the document that calls `method`.

    Raises: BadRequest if a value has no XML form (a control character in text, an int beyond 64 bits, a NaN).
    """
    parts: Parts = [own_form.PROLOG, b"<methodCall><methodName>", _escaped(method), b"</methodName><params>"]
    for value in parameters:
        parts.append(b"<param>")
        _write(value, parts.append)
        parts.append(b"</param>")
    parts.append(b"</params></methodCall>\n")
    return parts


def write_answer(value: Plain) -> Parts:
    """Return the document that answers with `value`. Raises: BadRequest as write_request does."""
    parts: Parts = [own_form.PROLOG, b"<methodResponse><params><param>"]
    _write(value, parts.append)
    parts.append(b"</param></params></methodResponse>\n")
    return parts


def write_fault(fault: Fault) -> Parts:
    """Return the document that reports a fault; characters of its text that XML can't carry become ?."""
    parts: Parts = [own_form.PROLOG, b"<methodResponse><fault>"]
    _write({"faultCode": fault.code, "faultString": carryable(fault.text)}, parts.append)
    parts.append(b"</fault></methodResponse>\n")
    return parts


def carryable(text: str) -> str:
    """Return `text` with ? for every character that XML can't carry."""
    return _FORBIDDEN.sub("?", text)


def _write(value: Any, append: Append) -> None:
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise TypeError(f"{type(value).__name__} is not a plain value")
    writer(value, append)


def _write_int(value: int, append: Append) -> None:
    if value in _I32:
        append(b"<value><int>%d</int></value>" % value)
    elif INT_MIN <= value <= _I64_MAX:
        append(b"<value><i8>%d</i8></value>" % value)
    elif _I64_MAX < value <= INT_MAX:
        append(b"<value><string>%d</string></value>" % value)
    else:
        raise BadRequest(f"expected an int of 64 bits, got one of {value.bit_length()}")


def _write_bool(value: bool, append: Append) -> None:
    append(b"<value><boolean>1</boolean></value>" if value else b"<value><boolean>0</boolean></value>")


def _write_float(value: float, append: Append) -> None:
    if not math.isfinite(value):
        raise BadRequest(f"expected a finite double, got {value}")
    append(b"<value><double>%s</double></value>" % repr(value).encode())


def _write_text(value: str, append: Append) -> None:
    append(b"<value><string>%s</string></value>" % _escaped(value))


def _write_bytes(value: Buffer, append: Append) -> None:
    append(b"<value><base64>")
    append(base64_data.encode(value))
    append(b"</base64></value>")


def _write_joined(value: JoinedBytes, append: Append) -> None:
    append(b"<value><base64>")
    for piece in base64_data.encode_joined(value):
        append(piece)
    append(b"</base64></value>")


def _write_list(value: list[Any], append: Append) -> None:
    append(b"<value><array><data>")
    for item in value:
        _write(item, append)
    append(b"</data></array></value>")


def _write_dict(value: dict[str, Any], append: Append) -> None:
    append(b"<value><struct>")
    for name, member in value.items():
        append(b"<member><name>%s</name>" % _escaped(name))
        _write(member, append)
        append(b"</member>")
    append(b"</struct></value>")


_WRITERS: Final[dict[type, Callable[[Any, Append], None]]] = {
    int: _write_int,
    bool: _write_bool,
    float: _write_float,
    str: _write_text,
    bytes: _write_bytes,
    bytearray: _write_bytes,
    memoryview: _write_bytes,
    JoinedBytes: _write_joined,
    list: _write_list,
    dict: _write_dict,
}


def _escaped(text: str) -> bytes:
    """Return text as it stands between tags. A carriage return must be a reference: parsers turn it into a line feed."""
    if _SPECIAL.search(text) is not None:
        forbidden = _FORBIDDEN.search(text)
        if forbidden is not None:
            raise BadRequest(f"expected text that XML can carry, got the character U+{ord(forbidden[0]):04X}")
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    return text.encode()


# --- reading -------------------------------------------------------------------------------------------------------------


def read_request(document: Buffer) -> tuple[str, list[Any]]:
    """Return method name and parameters of a call.

    Raises: Malformed; RequestTooLarge if the document is too deep or has too many elements.
    """
    said = _read(document, "methodCall")
    if said.method is None:
        raise Malformed("expected a methodName, got none")
    return said.method, said.values


def read_answer(document: Buffer) -> Any:
    """Return the plain value of an answer, or the Fault that it reports. Raises: as read_request."""
    said = _read(document, "methodResponse")
    if said.method is not None:
        raise Malformed("expected an answer, got a call")
    if len(said.values) != 1:
        raise Malformed(f"expected one value in an answer, got {len(said.values)}")
    value = said.values[0]
    if not said.is_fault:
        return value
    match value:
        case {"faultCode": int(code), "faultString": str(text)}:
            return Fault(code, text)
    raise Malformed("expected faultCode and faultString, got something else")


def _int(text: str) -> int:
    if "_" in text:
        raise ValueError("digits only in an int")
    return int(text)


def _boolean(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("0 or 1 only in a boolean")
    return text == "1"


def _double(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or "_" in text:
        raise ValueError("finite decimal numbers only in a double")
    return value


_SCALARS: Final[dict[str, Callable[[str], Any]]] = {
    "int": _int,
    "i4": _int,
    "i8": _int,
    "boolean": _boolean,
    "double": _double,
    "string": str,
    "base64": base64_data.decode,
}
_INSIDE: Final[dict[str, frozenset[str]]] = {
    "methodCall": frozenset(("methodName", "params")),
    "methodResponse": frozenset(("params", "fault")),
    "params": frozenset(("param",)),
    "param": frozenset(("value",)),
    "fault": frozenset(("value",)),
    "value": frozenset((*_SCALARS, "array", "struct")),
    "array": frozenset(("data",)),
    "data": frozenset(("value",)),
    "struct": frozenset(("member",)),
    "member": frozenset(("name", "value")),
    "name": frozenset(),
    "methodName": frozenset(),
    **dict.fromkeys(_SCALARS, frozenset()),
}
"""What may stand inside an element."""
_HOLDERS: Final = frozenset(("data", "struct", "member", "param", "fault"))
"""Elements whose end gathers the values that came since their start."""


class _Name(str):
    """A member's name, told from a string value while both are on the stack."""

    __slots__ = ()


def _read(document: Buffer, root: str) -> own_form.Document:
    raw = document if isinstance(document, bytes | bytearray) else bytes(document)
    return own_form.read(raw) or _read_any_form(raw, root)


def _read_any_form(document: bytes | bytearray, root: str) -> own_form.Document:
    reader = _Reader(root)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.buffer_size = max(4096, min(len(document), _TEXT_BUFFER_BYTES_MAX))
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text.append
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise Malformed(f"expected an XML-RPC document, got: {error}"[:200]) from error
    return own_form.Document(reader.method, reader.values, reader.is_fault)


def _refuse_doctype(*_: object) -> None:
    raise Malformed("expected a document without a document type declaration, got one")


class _Reader:
    """Checks the elements of one document against _INSIDE and builds the values on a stack.

    start() and end() run twice per value, 250,000 times for a listing of 4096 entries: what they do is counted in them.
    """

    __slots__ = ("elements", "inside", "is_fault", "marks", "method", "text", "typed", "values")

    def __init__(self, root: str) -> None:
        self.method: str | None = None
        self.is_fault = False
        self.values: list[Any] = []
        self.text: list[str] = []
        """The text since the last start of an element."""
        self.inside: list[frozenset[str]] = [frozenset((root,))]
        """What may stand inside each open element."""
        self.marks: list[int] = []
        """How high the stack of values was at the start of each open holder."""
        self.elements = 0
        self.typed = False
        """Whether the element that ended last was the content of the open <value> or <array>."""

    def start(self, tag: str, _attributes: object) -> None:
        inside = self.inside
        if self.typed or tag not in inside[-1]:
            raise Malformed(f"expected {' or '.join(sorted(inside[-1])) or 'text'} once, got <{tag[:40]}>")
        inside.append(_INSIDE[tag])
        self.text.clear()
        self.elements += 1
        if tag in _HOLDERS:
            self.marks.append(len(self.values))
            if len(inside) > XML_DEPTH_MAX:
                raise RequestTooLarge("XML depth", len(inside), XML_DEPTH_MAX)
        if self.elements > XML_ELEMENTS_MAX:
            raise RequestTooLarge("XML elements", self.elements, XML_ELEMENTS_MAX)

    def end(self, tag: str) -> None:
        self.inside.pop()
        if tag == "value":
            if not self.typed:
                self.values.append("".join(self.text))
            self.typed = False
            return
        convert = _SCALARS.get(tag)
        if convert is None:
            _ENDS[tag](self)
            return
        text = self.text
        self.values.append(convert(text[0] if len(text) == 1 else "".join(text)))
        self.typed = True

    def end_data(self) -> None:
        mark = self.marks.pop()
        self.values[mark:] = [self.values[mark:]]
        self.typed = True

    def end_array(self) -> None:
        if not self.typed:
            raise Malformed("expected <data> inside <array>, got nothing")

    def end_struct(self) -> None:
        mark = self.marks.pop()
        members = self.values[mark:]
        struct = dict(members)
        if len(struct) != len(members):
            raise Malformed("expected each member of a struct once, got one twice")
        self.values[mark:] = [struct]
        self.typed = True

    def end_member(self) -> None:
        mark = self.marks.pop()
        match self.values[mark:]:
            case [_Name() as name, value] if type(value) is not _Name:
                self.values[mark:] = [(str(name), value)]
            case _:
                raise Malformed("expected a name and a value in <member>, got something else")

    def end_name(self) -> None:
        self.values.append(_Name("".join(self.text)))

    def end_single(self) -> None:
        count = len(self.values) - self.marks.pop()
        if count != 1:
            raise Malformed(f"expected one value in <param> or <fault>, got {count}")

    def end_fault(self) -> None:
        self.end_single()
        self.is_fault = True

    def end_method_name(self) -> None:
        if self.method is not None:
            raise Malformed("expected one methodName, got two")
        self.method = "".join(self.text).strip()

    def end_nothing(self) -> None:
        """Nothing is to be done."""


_ENDS: Final[dict[str, Callable[[_Reader], None]]] = {
    "data": _Reader.end_data,
    "array": _Reader.end_array,
    "struct": _Reader.end_struct,
    "member": _Reader.end_member,
    "name": _Reader.end_name,
    "param": _Reader.end_single,
    "fault": _Reader.end_fault,
    "methodName": _Reader.end_method_name,
    "params": _Reader.end_nothing,
    "methodCall": _Reader.end_nothing,
    "methodResponse": _Reader.end_nothing,
}
