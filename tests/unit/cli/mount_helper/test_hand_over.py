"""Goal: systemd is asked for the right unit, and a failure ends as the asker can use it. Method: stand-ins for systemctl and
journalctl that note what they are asked, in a PATH of the test's own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dfs.cli.mount_helper.hand_over import MountFailed, hand_over
from dfs.cli.mount_helper.parameters import MountParameters, read_parameters

POINT = b"/mnt/a-b"
UNIT = r"dfs-mount@mnt-a\x2db.service"
PARAMETERS = MountParameters("meta1:9000", ("ro",))


class Systemd:
    """What the stand-ins do and were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parameters = folder / "mounts"

    def does(self, program: str, script: str) -> None:
        """Let a program do this after noting its arguments."""
        path = self.folder / program
        path.write_text(f"#!/bin/sh\nprintf '%s\\n' \"{program} $*\" >> {self.folder}/asked\n{script}\n")
        path.chmod(0o755)

    def asked(self) -> list[str]:
        """Return the command lines so far."""
        return (self.folder / "asked").read_text().splitlines()

    def hand_over(self, *, keeps_trying: bool = False) -> None:
        """Hand a mount over."""
        hand_over(POINT, PARAMETERS, keeps_trying=keeps_trying, folder=self.parameters)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    """Return stand-ins, of which systemctl succeeds."""
    made = Systemd(tmp_path)
    made.does("systemctl", "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return made


def test_parameters_are_there_before_the_service_is_started(systemd: Systemd) -> None:
    systemd.does("systemctl", f"test -e {systemd.parameters}/%2Fmnt%2Fa-b")
    systemd.hand_over()
    assert systemd.asked() == [f"systemctl start -- {UNIT}"]
    assert read_parameters(POINT, systemd.parameters) == PARAMETERS


def test_failed_service_is_stopped_and_its_last_line_told_where_a_person_waits(systemd: Systemd) -> None:
    systemd.does("systemctl", "exit 1")
    systemd.does("journalctl", "echo 'dfs-mount: expected the meta-server, got silence'")
    with pytest.raises(MountFailed, match="got silence"):
        systemd.hand_over()
    start, sync, ask, stop = systemd.asked()
    assert sync == "journalctl --sync"
    assert (start, stop) == (f"systemctl start -- {UNIT}", f"systemctl stop -- {UNIT}")
    assert f"--unit={UNIT}" in ask


def test_failed_service_goes_on_trying_where_a_unit_asked(systemd: Systemd) -> None:
    systemd.does("systemctl", "exit 1")
    systemd.does("journalctl", "")
    with pytest.raises(MountFailed, match="ended with status 1"):
        systemd.hand_over(keeps_trying=True)
    assert not any("stop" in command for command in systemd.asked())
