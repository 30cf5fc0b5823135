"""Goal: blocks written with isal installed verify without it, and the other way round. Method: both sums of Hypothesis bytes; the
module loaded once as if isal were not installed.
"""

from __future__ import annotations

import importlib.util
import runpy
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.core import crc32


@given(st.binary(max_size=600), st.integers(0, (1 << 32) - 1))
def test_sum_is_that_of_zlib_for_any_kind_of_buffer(data: bytes, start: int) -> None:
    pytest.importorskip("isal")
    for buffer in (data, bytearray(data), memoryview(data)[:]):
        assert crc32.crc32(buffer, start) == zlib.crc32(data, start)
    assert crc32.crc32 is not zlib.crc32


def test_module_without_isal_uses_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert runpy.run_path(crc32.__file__)["crc32"] is zlib.crc32
