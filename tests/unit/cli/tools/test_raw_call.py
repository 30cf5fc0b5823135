"""Goal: what is typed after `dfsctl rpc` arrives as meant, and every answer can be shown. Method: examples."""

from __future__ import annotations

import json

import pytest

from dfs.cli.tools.raw_call import parse_argument, show_answer
from dfs.core.start_errors import UsageError


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1", 1),
        ("-9000000000", -9_000_000_000),
        ("true", True),
        ("word", "word"),
        ('"1"', "1"),
        ("b:etc/fstab", b"etc/fstab"),
        ("b:", b""),
        ('{"base64": "AAH/"}', b"\x00\x01\xff"),
        ('[[1, {"base64": ""}], {"a": "b"}]', [[1, b""], {"a": "b"}]),
        ("{", "{"),
    ],
)
def test_argument_stands_for_a_value(word: str, value: object) -> None:
    assert parse_argument(word) == value


@pytest.mark.parametrize("word", ["null", "[null]", '{"base64": "?"}', "[" * 100_000])
def test_argument_that_xml_rpc_does_not_have_is_refused(word: str) -> None:
    with pytest.raises(UsageError):
        parse_argument(word)


def test_answer_is_shown_as_it_can_be_typed() -> None:
    answer = [{"data": bytearray(b"\x00")}, memoryview(b"x"), 1, "é"]
    shown = show_answer(answer)
    assert json.loads(shown) == [{"data": {"base64": "AA=="}}, {"base64": "eA=="}, 1, "é"]
    assert parse_argument(shown) == [{"data": b"\x00"}, b"x", 1, "é"]
