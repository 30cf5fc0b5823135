"""Goal: what our own writer wrote is read without expat, and never otherwise than expat would read it.

Method: Hypothesis values through the writer and both readers; the same documents with random edits, and disguises by hand: whatever
own_form.py does not decline must be what expat reads.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs.core.errors import BadRequest, RequestTooLarge
from dfs.core.limits import XML_DEPTH_MAX
from dfs.rpc import codec, own_form
from dfs.rpc.codec import Fault, Malformed
from dfs.rpc.own_form import Document

words = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="<>&"), max_size=8)
scalars = st.integers(-(1 << 63), (1 << 63) - 1) | st.booleans() | words | st.binary(max_size=40)
usual = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4), max_leaves=12)
odd = st.recursive(
    scalars | st.text(max_size=6) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
pieces = st.sampled_from(
    [
        b"<",
        b">",
        b"/",
        b"<value>",
        b"</value>",
        b"<int>",
        b"</int>",
        b"&lt;",
        b" ",
        b"\r\n",
        b"*",
        b"<!--x-->",
        b"<data>",
        b"9" * 20,
    ]
)
edits = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 9), pieces | st.binary(max_size=3)), min_size=1, max_size=3)


def by_expat(document: bytes, root: str) -> Document | str:
    try:
        return codec._read_any_form(document, root)
    except (Malformed, RequestTooLarge):
        return "malformed"


def roots(document: bytes) -> str:
    return "methodResponse" if b"<methodResponse>" in document[:60] else "methodCall"


@settings(max_examples=200)
@given(values=st.lists(usual, max_size=4))
def test_document_of_the_usual_values_is_read_as_by_expat(values: list[Any]) -> None:
    call = b"".join(codec.write_request("put", values))
    assert own_form.read(call) == Document("put", values, False) == by_expat(call, "methodCall")
    answer = bytearray().join(codec.write_answer(values))
    assert own_form.read(answer) == Document(None, [values], False)
    fault = b"".join(codec.write_fault(Fault(7, "a reason")))
    assert own_form.read(fault) == Document(None, [{"faultCode": 7, "faultString": "a reason"}], True)


@settings(max_examples=600)
@given(
    values=st.lists(usual | odd.filter(lambda value: not _has_forbidden(value)), max_size=3), changes=edits, is_answer=st.booleans()
)
def test_edited_document_is_declined_or_read_as_by_expat(
    values: list[Any], changes: list[tuple[int, int, bytes]], is_answer: bool
) -> None:
    document = b"".join(codec.write_answer(values) if is_answer else codec.write_request("get", values))
    for at, removed, added in changes:
        at %= len(document) + 1
        document = document[:at] + added + document[at + removed :]
    said = own_form.read(document)
    assert said is None or said == by_expat(document, roots(document))


def _has_forbidden(value: Any) -> bool:
    try:
        codec.write_answer(value)
    except BadRequest:
        return True
    return False


TEXT = b"QUJD" * 700


@pytest.mark.parametrize(
    "disguise",
    [
        b"<!-- <base64>%s</base64> --><base64>%s</base64>",
        b"<string><![CDATA[<base64>%s</base64>]]></string>",
        b"<?note <base64>%s</base64>?><base64>%s</base64>",
        b"<base64>&#65;%s</base64>",
        b"<base64><b>%s</b></base64>",
        b"<base64>%s*</base64>",
        b"<base64>%s</base64 >",
        b"<base64 >%s</base64>",
        b"<base64>\r\n %s\n</base64>",
        b"<base64>%s",
        b"<string><base64>%s</base64></string>",
        b"<string>]]></string>",
        b"<string>\x7f</string>",
        b"<int>%s</int>",
        b"<boolean>2</boolean>",
        b"<struct><member><name>a</name><value><int>1</int></value></member>" * 2 + b"</struct>",
    ],
)
def test_value_in_disguise_is_declined_or_read_as_by_expat(disguise: bytes) -> None:
    value = disguise.replace(b"%s", TEXT)
    document = own_form.PROLOG + b"<methodResponse><params><param><value>" + value + b"</value></param></params></methodResponse>\n"
    said = own_form.read(document)
    assert said is None or said == by_expat(document, "methodResponse")


def test_limits_are_left_to_the_reader_that_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    value: Any = 1
    for _ in range(XML_DEPTH_MAX):
        value = [value]
    with pytest.raises(RequestTooLarge, match="XML depth"):
        codec.read_request(b"".join(codec.write_request("get", [value])))
    monkeypatch.setattr(codec, "XML_ELEMENTS_MAX", 100)
    monkeypatch.setattr(own_form, "XML_ELEMENTS_MAX", 100)
    with pytest.raises(RequestTooLarge, match="XML elements"):
        codec.read_request(b"".join(codec.write_request("get", [[1] * 100])))
