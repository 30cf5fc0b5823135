"""Goal: the kernel's pages are dropped when they may be stale, and only then. Method: count what would be opened and closed."""

from __future__ import annotations

import threading

import pytest

from dfs.core.contexts import PlainContext
from dfs.core.errors import EndReason, Interrupted
from dfs.fusefs.page_cache import PageCache

CTX = PlainContext()


class Opener:
    """Notes what is opened; `gate` holds it up."""

    def __init__(self) -> None:
        self.opened: list[tuple[bytes, int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, path: bytes, ino: int) -> None:
        assert self.gate.wait(10)
        self.opened.append((path, ino))


class EndedContext(PlainContext):
    """Its caller is to die."""

    def cancelled(self) -> EndReason:
        return EndReason.SIGNAL


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
def pages(opener: Opener) -> PageCache:
    pages = PageCache(opener)
    pages.note_open(1, 7, b"/d/file", (1,), is_fresh=True)
    return pages


def test_pages_of_the_same_content_are_kept(pages: PageCache, opener: Opener) -> None:
    pages.freshen(CTX, 1, (1,))
    assert opener.opened == []


def test_pages_of_another_content_are_dropped_once(pages: PageCache, opener: Opener) -> None:
    pages.freshen(CTX, 1, (2,))
    pages.freshen(CTX, 1, (2,))
    assert opener.opened == [(b"/d/file", 7)]


def test_open_that_kept_the_pages_does_not_make_them_fresh(pages: PageCache, opener: Opener) -> None:
    pages.note_open(2, 7, b"/d/file", (2,), is_fresh=False)
    pages.freshen(CTX, 2, (2,))
    assert opener.opened == [(b"/d/file", 7)]


def test_open_that_dropped_the_pages_makes_them_fresh(pages: PageCache, opener: Opener) -> None:
    pages.note_open(2, 7, b"/d/link", (2,), is_fresh=True)
    pages.freshen(CTX, 1, (2,))
    assert opener.opened == []


def test_renamed_file_is_opened_at_its_new_name(pages: PageCache, opener: Opener) -> None:
    pages.note_rename(b"/d", b"/e")
    pages.freshen(CTX, 1, (2,))
    assert opener.opened == [(b"/e/file", 7)]


def test_caller_that_is_killed_does_not_wait_for_the_open(pages: PageCache, opener: Opener) -> None:
    opener.gate.clear()
    with pytest.raises(Interrupted):
        pages.freshen(EndedContext(), 1, (2,))
    opener.gate.set()


def test_released_handle_is_forgotten(pages: PageCache, opener: Opener) -> None:
    pages.note_release(1)
    pages.freshen(CTX, 1, (2,))
    assert opener.opened == []


def test_file_that_can_not_be_opened_keeps_its_pages(caplog: pytest.LogCaptureFixture) -> None:
    def fail(path: bytes, ino: int) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    pages = PageCache(fail)
    pages.note_open(1, 7, b"/gone", (1,), is_fresh=True)
    with caplog.at_level("INFO"):
        pages.freshen(CTX, 1, (2,))
    assert "cached pages of inode 7" in caplog.text
