"""Goal: a minute of everything breaking loses nothing, and a loss would be seen. Method: a real campaign in a network namespace of
its own; the book on contents that it must and must not accept; a writer on a plain folder that somebody else changes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.leftovers import marked_environment
from tests.harness.program import ROOT
from tests.harness.waiting import wait_until
from tests.torture.book import Book, Mismatch, Page, Pending
from tests.torture.writer import MountState, Writer


@pytest.mark.timeout(600)
def test_campaign_of_a_minute_loses_nothing() -> None:
    # SIGTERM lets the campaign end what it started, should it hang.
    command = ["timeout", "--signal=TERM", "500", sys.executable, "-m", "tests.torture", "--minutes", "1", "--seed", "7"]
    done = subprocess.run(command, check=False, cwd=ROOT, env=marked_environment(), capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    counted = {what: int(number) for number, what in re.findall(r"(\d+) (operations|faults|files verified)", done.stdout)}
    assert counted["operations"] > 100
    assert counted["faults"] >= 4
    assert counted["files verified"] >= 4
    assert "losses: 0" in done.stdout


OLD, NEW = b"old content", b"NEW"


@pytest.mark.parametrize("found", [OLD, b"oldNEWntent", b"oldNcontent", b"old EWntent"])
def test_unsettled_write_may_be_there_in_part(found: bytes) -> None:
    book = Book()
    book.pages["f"] = Page(bytearray(OLD), Pending(3, NEW))
    book.check("f", found)
    assert book.pages["f"].content == found
    book.check("f", OLD)
    book.wrote("f", 3, b"old")
    with pytest.raises(Mismatch):
        book.check("f", found)


@pytest.mark.parametrize("found", [b"xld content", b"oldNEWxtent", OLD[:-1], OLD + b"\0", b"\0" * 11, b""])
def test_unsettled_write_explains_nothing_else(found: bytes) -> None:
    book = Book()
    book.pages["f"] = Page(bytearray(OLD), Pending(3, NEW))
    with pytest.raises(Mismatch):
        book.check("f", found)


@pytest.mark.parametrize(
    ("found", "is_right"), [(OLD, True), (OLD + b"\0\0NEW", True), (OLD + b"\0\0N", True), (OLD + b"x", False)]
)
def test_unsettled_write_past_the_end_may_leave_zeros_and_its_own_bytes(found: bytes, is_right: bool) -> None:
    book = Book()
    book.pages["f"] = Page(bytearray(OLD), Pending(len(OLD) + 2, NEW))
    if is_right:
        book.check("f", found)
    else:
        with pytest.raises(Mismatch):
            book.check("f", found)


@pytest.mark.parametrize(
    ("size", "found", "is_right"), [(3, b"old", True), (3, OLD, True), (3, b"ol", False), (13, OLD + b"\0\0", True)]
)
def test_unsettled_truncate_happened_or_not(size: int, found: bytes, is_right: bool) -> None:
    book = Book()
    book.pages["f"] = Page(bytearray(OLD), Pending(size, b""))
    if is_right:
        book.check("f", found)
    else:
        with pytest.raises(Mismatch):
            book.check("f", found)


@pytest.mark.parametrize("kept", [0, 40])
def test_writer_does_not_count_on_what_a_short_write_did_not_acknowledge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    written = 10
    pwrite = os.pwrite

    def write_short(descriptor: int, data: bytes, offset: int) -> int:
        pwrite(descriptor, data[: written + kept], offset)
        return written

    writer = Writer(0, tmp_path / "w0", MountState(), seed=3)
    monkeypatch.setattr(os, "pwrite", write_short)
    writer.start()
    wait_until(lambda: writer.operations["write"] > 20 or bool(writer.failures), "some writes")
    writer.ask_to_stop()
    assert writer.join(20)
    assert writer.verify(tmp_path)
    assert not writer.failures


@pytest.mark.parametrize("harm", ["change", "shorten", "remove", "bring back"])
def test_writer_sees_what_it_did_not_do(tmp_path: Path, harm: str) -> None:
    writer = Writer(0, tmp_path / "w0", MountState(), seed=3)
    writer.start()
    wait_until(lambda: writer.operations.total() > 200, "some operations")
    writer.ask_to_stop()
    assert writer.join(20)
    assert not writer.failures
    victim = max((tmp_path / "w0").iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    if harm == "change":
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
    elif harm == "shorten":
        victim.write_bytes(content[:-1])
    elif harm == "remove":
        victim.unlink()
    else:
        (victim.parent / "f1000000").write_bytes(b"gone long ago")
    writer.verify(tmp_path)
    assert len(writer.failures) == 1
