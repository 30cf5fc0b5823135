"""Goal: with pybase64 and without it the same texts give the same bytes, and the same texts are refused.

Method: both decoders on Hypothesis texts, good and bad; the module loaded once as if pybase64 were not installed.
"""

from __future__ import annotations

import base64
import importlib.util
import runpy
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.client.blocks.put_plan import plan_puts
from dfs.core.ids import BlockNo, Generation, Ino, Ticket
from dfs.core.joined_bytes import JoinedBytes, SharedPart
from dfs.core.placement import Layout
from dfs.core.records import Buffer
from dfs.rpc import base64_data

pytest.importorskip("pybase64")


def decoded(decode: object, text: str) -> bytes | None:
    assert callable(decode)
    try:
        result = decode(text)
        assert isinstance(result, bytes)
        return result
    except ValueError:
        return None


@given(st.binary(max_size=300), st.sampled_from(["", "\n", "\r\n", " "]))
def test_both_decoders_return_what_was_encoded_whatever_the_line_ends(data: bytes, line_end: str) -> None:
    text = base64_data.encode(data).decode()
    assert text == base64.b64encode(data).decode() == base64_data.encode_standard(data).decode()
    folded = line_end.join(text[at : at + 76] for at in range(0, len(text), 76)) + line_end
    assert base64_data.decode_standard(folded) == data
    assert base64_data.decode_accelerated(folded) == data


@given(st.text("AQgw/+=-_ \n\u00e9", max_size=12))
def test_both_decoders_refuse_the_same_texts(text: str) -> None:
    assert decoded(base64_data.decode_standard, text) == decoded(base64_data.decode_accelerated, text)


def test_module_without_pybase64_uses_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    names = runpy.run_path(base64_data.__file__)
    assert names["decode"] is names["decode_standard"]
    assert names["decode"]("YWJj") == b"abc"
    assert names["encode"](b"abc") == b"YWJj"


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_joined_parts_are_encoded_as_one(parts: list[bytes]) -> None:
    shared = [SharedPart(part) for part in parts]
    for order in (shared, shared[::-1], shared):
        joined = JoinedBytes(order)
        assert len(joined) == len(bytes(joined))
        assert b"".join(base64_data.encode_joined(joined)) == base64.b64encode(b"".join(part.data for part in order))


def test_part_that_goes_to_two_servers_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = 0

    def encode(data: Buffer) -> bytes:
        nonlocal encoded
        encoded += len(data)
        return base64.b64encode(data)

    monkeypatch.setattr(base64_data, "encode", encode)
    size = 128 << 10
    [puts] = plan_puts(Ino(1), Layout(0, 4, 512), Ticket(1), Generation(1 << 24), BlockNo(0), bytes(size))
    for put in puts.values():
        text = b"".join(base64_data.encode_joined(cast(JoinedBytes, put.data)))
        assert base64.b64decode(text) == bytes(put.data)
    assert size <= encoded < size + 100
