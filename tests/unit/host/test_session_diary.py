"""Goal: a mount learns the sessions of a dead mount at its place, and never that of a living one.

Method: real files and processes.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from dfs.core.limits import ENDED_SESSIONS_MAX, NONCE_BYTES
from dfs.host.session_diary import SessionFile, session_diary

FIRST, SECOND, THIRD = (bytes([number]) * NONCE_BYTES for number in (1, 2, 3))


def opened(path: Path) -> list[bytes]:
    """Return what a mount that starts now is told."""
    with session_diary(path) as diary:
        assert diary is not None
        return diary.left_behind()


def use(path: Path, *steps: tuple[str, bytes]) -> None:
    with session_diary(path) as diary:
        assert diary is not None
        for name, nonce in steps:
            getattr(diary, name)(nonce)


def test_session_that_was_never_ended_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "sessions" / "mnt"
    use(path, ("begin", FIRST), ("keep_only", FIRST))
    assert opened(path) == [FIRST]


def test_session_that_may_have_been_opened_is_left_behind_beside_the_former_ones(tmp_path: Path) -> None:
    path = tmp_path / "mnt"
    use(path, ("begin", FIRST), ("keep_only", FIRST))
    use(path, ("begin", SECOND), ("begin", SECOND))
    use(path, ("begin", THIRD))
    assert opened(path) == [FIRST, SECOND, THIRD]
    use(path, ("begin", THIRD), ("keep_only", THIRD))
    assert opened(path) == [THIRD]


def test_oldest_are_told_when_there_are_more_than_can_be_told(tmp_path: Path) -> None:
    path = tmp_path / "mnt"
    nonces = [bytes([number]) * NONCE_BYTES for number in range(ENDED_SESSIONS_MAX + 5)]
    use(path, *(("begin", nonce) for nonce in nonces))
    assert opened(path) == nonces[:ENDED_SESSIONS_MAX]


def test_nothing_is_left_of_ended_sessions_not_even_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mnt"
    with session_diary(path) as diary:
        assert diary is not None
        diary.begin(FIRST)
        diary.keep_only(FIRST)
        diary.clear()
        assert path.exists()
    assert not path.exists()


def test_living_mount_keeps_its_diary_to_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "mnt"
    with session_diary(path) as first, caplog.at_level(logging.INFO):
        assert first is not None
        first.begin(FIRST)
        with session_diary(path) as second:
            assert second is None
        assert str(path) in caplog.text
    assert opened(path) == [FIRST]


def test_killed_process_gives_its_diary_up(tmp_path: Path) -> None:
    path = tmp_path / "mnt"
    program = (
        "import sys; from pathlib import Path; from dfs.host.session_diary import session_diary\n"
        "with session_diary(Path(sys.argv[1])) as diary:\n"
        f"    diary.begin({FIRST!r}); print('begun', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        with session_diary(path) as diary:
            assert diary is None
        process.kill()
        process.wait()
    assert opened(path) == [FIRST]


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 40, b"not a nonce\n", b"0" * 31, FIRST.hex().encode() + b"\n" + b"ab", b"\xff" * 5000]
)
def test_what_is_no_nonce_is_not_believed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mnt"
    path.write_bytes(content)
    assert opened(path) == ([FIRST] if content.startswith(FIRST.hex().encode()) else [])


def test_without_a_folder_there_is_no_diary_and_the_log_says_what_that_means(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.INFO), session_diary(tmp_path / "file" / "mnt") as diary:
        assert diary is None
    assert "its session ends only when its lease runs out" in caplog.text
    with session_diary(None) as diary:
        assert diary is None


def test_full_disk_is_told_and_does_not_matter(caplog: pytest.LogCaptureFixture) -> None:
    with Path("/dev/full").open("r+b", buffering=0) as full:
        SessionFile(full.fileno()).begin(FIRST)
    assert "can't be written" in caplog.text
