"""Goal: there is a lock when hold() returns, and none after the holder's end, however it ends. Method: programs of the test's in
the place of systemd-inhibit and busctl; the real ones are in tests/packaging/test_inhibitor.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dfs.cli.inhibit import login
from dfs.cli.inhibit.login import Login, LoginError, LoginState
from tests.harness.waiting import wait_until

HOLDS = """#!/bin/sh
for word; do case "$word" in --why=*) why=${word#--why=};; esac; done
echo "$why" >"$LOCKS/$$"
cat
rm "$LOCKS/$$"
"""
REFUSES = "#!/bin/sh\necho 'Failed to inhibit: Access denied' >&2\nexit 1\n"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder in which programs are found first."""
    (tmp_path / "locks").mkdir()
    monkeypatch.setenv("LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    put(tmp_path, "systemd-inhibit", HOLDS)
    return tmp_path


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def locks(programs: Path) -> list[str]:
    return sorted(file.read_text().strip() for file in (programs / "locks").iterdir())


def test_lock_is_there_when_hold_returns_and_gone_when_release_does(programs: Path) -> None:
    held = Login()
    held.hold("first")
    assert (held.is_held(), locks(programs)) == (True, ["first"])
    held.hold("second")
    assert locks(programs) == ["second"]
    held.release()
    assert (held.is_held(), locks(programs)) == (False, [])


def test_holder_that_died_is_noticed(programs: Path) -> None:
    held = Login()
    held.hold("first")
    (pid,) = (int(file.name) for file in (programs / "locks").iterdir())
    os.kill(pid, 9)
    wait_until(lambda: not held.is_held(), "the death to be noticed")
    held.release()


def test_refusal_is_told_in_logind_s_words_and_keeps_the_lock_before(programs: Path) -> None:
    held = Login()
    held.hold("first")
    put(programs, "systemd-inhibit", REFUSES)
    with pytest.raises(LoginError, match="Access denied"):
        held.hold("second")
    assert (held.is_held(), locks(programs)) == (True, ["first"])
    held.release()


def test_logind_that_never_answers_is_given_up(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(programs, "systemd-inhibit", "#!/bin/sh\nexec tail -f /dev/null\n")
    monkeypatch.setattr(login, "TIMEOUT_S", 0.2)
    with pytest.raises(LoginError, match="no answer within"):
        Login().hold("first")


def test_state_is_read_from_what_busctl_says(programs: Path) -> None:
    put(programs, "busctl", "#!/bin/sh\nprintf 'b true\\nt 30000000\\n'\n")
    assert Login().state() == LoginState(is_going_down=True, delay_s_max=30.0)
    put(programs, "busctl", "#!/bin/sh\necho 'Failed to get property: no such bus' >&2\nexit 1\n")
    with pytest.raises(LoginError, match="no such bus"):
        Login().state()
    put(programs, "busctl", "#!/bin/sh\necho nonsense\n")
    with pytest.raises(LoginError, match="nonsense"):
        Login().state()
