"""Goal: any stock XML-RPC peer reads what we write and the other way round; documents that are not XML-RPC are refused.

Method: Hypothesis values through our writer and Python's xmlrpc.client, and back; spoilt and hostile documents by hand.
"""

from __future__ import annotations

import xmlrpc.client
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs.core.errors import BadRequest, RequestTooLarge
from dfs.core.limits import XML_DEPTH_MAX
from dfs.core.plain import INT_MAX, INT_MIN
from dfs.rpc import base64_data, codec
from dfs.rpc.codec import Fault, Malformed, read_answer, read_request, write_answer, write_fault, write_request

I64_MAX = (1 << 63) - 1
texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[*map(chr, set(range(32)) - {9, 10, 13}), "\ufffe", "\uffff"])
)


def plains(ints: st.SearchStrategy[int], words: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    scalars = ints | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | words | st.binary()
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4), max_leaves=12
    )


ours = plains(st.integers(INT_MIN, INT_MAX), texts)
stock = plains(st.integers(-(1 << 31), (1 << 31) - 1), texts.filter(lambda text: "\r" not in text))


def as_read(value: Any) -> Any:
    """Return a value as a reader gets it: ints above i64 arrive as decimal strings."""
    if type(value) is int and value > I64_MAX:
        return str(value)
    if type(value) is list:
        return [as_read(item) for item in value]
    if type(value) is dict:
        return {name: as_read(member) for name, member in value.items()}
    return value


@pytest.fixture(params=["accelerated", "standard"], autouse=True, scope="module")
def base64_decoder(request: pytest.FixtureRequest) -> Any:
    """Run everything with pybase64 and without."""
    if request.param == "accelerated":
        pytest.importorskip("pybase64")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base64_data, "encode", getattr(base64_data, f"encode_{request.param}", base64_data.encode))
        patch.setattr(base64_data, "decode", getattr(base64_data, f"decode_{request.param}"))
        patch.setitem(codec._SCALARS, "base64", base64_data.decode)
        yield


@settings(max_examples=50)
@given(parameters=st.lists(ours, max_size=4))
def test_request_comes_back_and_a_stock_reader_reads_the_same(parameters: list[Any]) -> None:
    document = b"".join(write_request("put", parameters))
    assert read_request(document) == ("put", as_read(parameters))
    values, method = xmlrpc.client.loads(document, use_builtin_types=True)
    assert method == "put"
    assert list(values) == as_read(parameters)


@settings(max_examples=50)
@given(value=ours)
def test_answer_comes_back_and_a_stock_reader_reads_the_same(value: Any) -> None:
    document = b"".join(write_answer(value))
    assert read_answer(document) == as_read(value)
    assert xmlrpc.client.loads(document, use_builtin_types=True)[0][0] == as_read(value)


@settings(max_examples=50)
@given(parameters=st.lists(stock, max_size=4))
def test_request_and_answer_of_a_stock_writer_are_read(parameters: list[Any]) -> None:
    assert read_request(xmlrpc.client.dumps(tuple(parameters), "get").encode()) == ("get", parameters)
    answer = xmlrpc.client.dumps((parameters,), methodresponse=True).encode()
    assert read_answer(bytearray(answer)) == parameters


@settings(max_examples=50)
@given(code=st.integers(1, 1000), text=texts)
def test_fault_comes_back_and_a_stock_reader_raises_it(code: int, text: str) -> None:
    document = b"".join(write_fault(Fault(code, text)))
    assert read_answer(document) == Fault(code, text)
    with pytest.raises(xmlrpc.client.Fault) as caught:
        xmlrpc.client.loads(document)
    assert (caught.value.faultCode, caught.value.faultString) == (code, text)


def test_fault_text_that_xml_cannot_carry_is_shown_with_question_marks() -> None:
    assert read_answer(b"".join(write_fault(Fault(1, "a\x01b\udc80")))) == Fault(1, "a?b?")


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (5, b"<int>5</int>"),
        (-(1 << 31), b"<int>-2147483648</int>"),
        (1 << 31, b"<i8>2147483648</i8>"),
        (I64_MAX, b"<i8>9223372036854775807</i8>"),
        (I64_MAX + 1, b"<string>9223372036854775808</string>"),
        (True, b"<boolean>1</boolean>"),
        (0.5, b"<double>0.5</double>"),
        ("a<&>b\r", b"<string>a&lt;&amp;&gt;b&#13;</string>"),
        (memoryview(b"abc"), b"<base64>YWJj</base64>"),
    ],
)
def test_value_is_written_in_its_wire_form(value: Any, form: bytes) -> None:
    assert b"<value>" + form + b"</value>" in b"".join(write_answer(value))


@pytest.mark.parametrize("value", ["a\x00b", "\udc80", "\uffff", INT_MAX + 1, INT_MIN - 1, float("nan"), float("inf")])
def test_value_without_xml_form_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest, match="expected"):
        write_answer([value])


def call(inner: str) -> bytes:
    return f"<methodCall><methodName>m</methodName><params><param>{inner}</param></params></methodCall>".encode()


@pytest.mark.parametrize(
    ("inner", "value"),
    [
        ("<value>bare</value>", "bare"),
        ("<value/>", ""),
        ("<value> <i4> 7 </i4> </value>", 7),
        ("<value><base64>\n YW\n Jj \n</base64></value>", b"abc"),
        ("<value><array><data/></array></value>", []),
        ("<value><struct/></value>", {}),
        ("<value><string>a&#10;b&amp;</string></value>", "a\nb&"),
    ],
)
def test_form_that_other_writers_use_is_read(inner: str, value: Any) -> None:
    assert read_request(call(inner)) == ("m", [value])


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"garbage",
        b"\xff\xfe\x00",
        b"<methodCall>",
        b"<methodResponse><params><param><value>1</value></param></params></methodResponse>",
        b"<methodCall><params></params></methodCall>",
        b"<methodCall><methodName>a</methodName><methodName>b</methodName></methodCall>",
        b"<?xml version='1.0' encoding='no-such'?><methodCall/>",
        b"".join(write_answer(1)),
        call(""),
        call("<value>1</value><value>2</value>"),
        call("<value><int>1</int><int>2</int></value>"),
        call("<value><int>x</int></value>"),
        call("<value><int>1_0</int></value>"),
        call("<value><int><b/></int></value>"),
        call(f"<value><int>{'9' * 5000}</int></value>"),
        call("<value><boolean>2</boolean></value>"),
        call("<value><double>nan</double></value>"),
        call("<value><nil/></value>"),
        call("<value><dateTime.iso8601>20200101T00:00:00</dateTime.iso8601></value>"),
        call("<value><base64>YW=Jj</base64></value>"),
        call("<value><base64>Y</base64></value>"),
        call("<value><array/></value>"),
        call("<value><array><data/><data/></array></value>"),
        call("<value><array><value>1</value></array></value>"),
        call("<value><struct><member><name>a</name></member></struct></value>"),
        call("<value><struct><member><value>a</value><name>a</name></member></struct></value>"),
        call("<value><struct><member><name>a</name><name>b</name></member></struct></value>"),
        call("<value><struct>" + "<member><name>a</name><value>1</value></member>" * 2 + "</struct></value>"),
    ],
)
def test_document_that_is_not_a_call_is_malformed(document: bytes) -> None:
    with pytest.raises(Malformed, match="expected"):
        read_request(document)


@pytest.mark.parametrize(
    "document",
    [
        b"<methodResponse/>",
        b"<methodResponse><params/></methodResponse>",
        b"<methodResponse><params>" + b"<param><value>1</value></param>" * 2 + b"</params></methodResponse>",
        b"<methodResponse><fault><value>1</value></fault></methodResponse>",
        b"".join(write_request("get", [1])),
    ],
)
def test_document_that_is_not_an_answer_is_malformed(document: bytes) -> None:
    with pytest.raises(Malformed, match="expected"):
        read_answer(document)


def test_entities_are_refused_before_they_can_grow() -> None:
    lines = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 20))
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{lines}]>'.encode() + call("<value>&e19;</value>")
    with pytest.raises(Malformed, match="document type"):
        read_request(bomb)
    with pytest.raises(Malformed, match="document type"):
        read_request(b'<!DOCTYPE methodCall SYSTEM "file:///etc/passwd">' + call("<value>1</value>"))


def test_document_that_is_too_deep_or_too_wide_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = XML_DEPTH_MAX
    with pytest.raises(RequestTooLarge, match="XML depth"):
        read_request(call("<value><array><data>" * deep + "</data></array></value>" * deep))
    monkeypatch.setattr(codec, "XML_ELEMENTS_MAX", 100)
    with pytest.raises(RequestTooLarge, match="XML elements"):
        read_request(call("<value><array><data>" + "<value/>" * 100 + "</data></array></value>"))


@settings(max_examples=50)
@given(st.binary(max_size=200) | st.text("<>/abvluemthodCal&;!?[]\"' =", max_size=200).map(str.encode))
def test_random_bytes_are_malformed_and_nothing_else(document: bytes) -> None:
    with pytest.raises(Malformed):
        read_request(document)


def test_large_base64_in_utf_16_is_read() -> None:
    data = bytes(range(256)) * 16
    body = base64_data.encode(data).decode()
    text = f"<methodResponse><params><param><value><base64>{body}</base64></value></param></params></methodResponse>"
    assert read_answer(b"\xff\xfe" + text.encode("utf-16-le")) == data
