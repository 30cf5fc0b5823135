"""Goal: two different messages are never signed over the same bytes, and what is written is read as it was. Method: properties."""

from __future__ import annotations

import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.rpc.keyring import SigningKey
from dfs.rpc.signatures import (
    NO_EPOCH,
    answer_preamble,
    parse_lines,
    read_answer_signature,
    read_stamp,
    request_preamble,
    write_stamp,
)

WORD = st.text("abc:-/0 ", max_size=6).map(str.encode)
HEADERS = st.dictionaries(st.sampled_from([b"x-dfs-a", b"x-dfs-b", b"x-dfs-c:", b"x-dfs-auth", b"host"]), WORD, max_size=5)
REQUESTS = st.tuples(
    st.sampled_from([b"POST /RPC2", b"POST /", b"GET /metrics"]), st.sampled_from(["meta", "data/1"]), HEADERS, WORD
)
HEX_16 = st.text("0123456789abcdef", min_size=16, max_size=16)


def signed(request: tuple[bytes, str, dict[bytes, bytes], bytes]) -> bytes:
    line, receiver, headers, body = request
    return request_preamble(line, receiver, "1 admin", headers) + body


def counted(request: tuple[bytes, str, dict[bytes, bytes], bytes]) -> Any:
    line, receiver, headers, body = request
    kept = {name: value for name, value in headers.items() if name.startswith(b"x-dfs-") and name != b"x-dfs-auth"}
    return line, receiver, {b"%s:%s" % item for item in kept.items()}, body


@given(REQUESTS, REQUESTS)
def test_different_requests_are_signed_over_different_bytes(one: Any, other: Any) -> None:
    assert (signed(one) == signed(other)) == (counted(one) == counted(other))


@given(st.integers(100, 599), HEX_16, st.binary(max_size=4), st.integers(100, 599), HEX_16, st.binary(max_size=4))
def test_different_answers_are_signed_over_different_bytes(a: int, b: str, c: bytes, d: int, e: str, f: bytes) -> None:
    assert (answer_preamble(a, b) + c == answer_preamble(d, e) + f) == ((a, b, c) == (d, e, f))


@given(REQUESTS, st.integers(100, 599), HEX_16)
def test_no_request_is_signed_over_the_bytes_of_an_answer(request: Any, status: int, signature: str) -> None:
    assert not signed(request).startswith(answer_preamble(status, signature)[:12])


@given(st.sampled_from(["meta", "admin", "data/7", "client/a.b"]), HEX_16, HEX_16)
def test_stamp_is_read_as_written(sender: str, epoch: str, process: str) -> None:
    text = write_stamp(sender, "01234567", epoch, process, 42, 1_700_000_000_000)
    stamp = read_stamp(f"{text} {'a' * 64}".encode())
    assert stamp is not None
    assert (stamp.text, stamp.sender, stamp.epoch, stamp.process) == (text, sender, epoch, process)
    assert (stamp.counter, stamp.time_ms, stamp.signature) == (42, 1_700_000_000_000, "a" * 64)


GOOD = f"1 admin 01234567 {NO_EPOCH} {'0' * 16} 1 1700000000000 {'a' * 64}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD[1:],
        "2" + GOOD[1:],
        GOOD + " ",
        GOOD + "a",
        GOOD.replace(" 1 17", " 01 17"),
        GOOD.replace(" 1 17", " -1 17"),
        GOOD.replace(" 1 17", f" {'9' * 19} 17"),
        GOOD.replace("admin", "root"),
        GOOD.replace("admin", "data/300"),
        GOOD.replace("admin", "client/"),
        GOOD.replace("a" * 64, "A" * 64),
        GOOD.replace(" ", "  "),
        GOOD.replace("1700000000000", "\u0661700000000000"),
    ],
)
def test_stamp_that_makes_no_sense_is_none(text: str) -> None:
    assert read_stamp(text.encode("utf-8")) is None


@pytest.mark.parametrize("raw", [None, b"", b"1", b"1 " + b"a" * 63, b"2 " + b"a" * 64, b"1 " + b"\xff" * 64])
def test_signature_of_an_answer_that_makes_no_sense_is_none(raw: bytes | None) -> None:
    assert read_answer_signature(raw) is None


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_signature_is_hmac_sha256_over_all_parts(one: bytes, other: bytes) -> None:
    key = SigningKey(b"k" * 32)
    expected = hmac.digest(b"k" * 32, one + other, "sha256").hex()
    assert key.sign(one, other) == expected
    assert key.is_signed(expected, memoryview(one), bytearray(other))
    assert not key.is_signed(expected[:-1] + ("0" if expected[-1] != "0" else "1"), one, other)
    assert not key.is_signed("\xe9" * 64, one, other)


def test_own_header_lines_are_read_as_a_server_does() -> None:
    assert parse_lines(b"X-DFS-Request: a:b\r\nX-DFS-Caller: 0:0:\r\n") == {b"x-dfs-request": b"a:b", b"x-dfs-caller": b"0:0:"}
