"""Goal: a unit that does not run is a finding with the reason of its exit status. Method: units made up, one state each."""

from __future__ import annotations

import pytest

from dfs.cli.diagnosis.findings import Harm
from dfs.cli.diagnosis.observations import Unit, unit_subject
from dfs.cli.diagnosis.unit_rules import judge_units

DATA, META, MOUNT = "dfs-data@1.service", "dfs-meta.service", "dfs-mount@mnt-my\\x2ddata.service"

STATES = [
    (Unit(DATA, "failed", "exit-code", 6, 0, ""), "port-taken", Harm.WAITING),
    (Unit(DATA, "failed", "exit-code", 4, 0, ""), "folder-unusable", Harm.WAITING),
    (Unit(META, "failed", "exit-code", 3, 0, ""), "config-wrong", Harm.STOPPED),
    (Unit(DATA, "failed", "exit-code", 1, 0, ""), "unit-failed", Harm.WAITING),
    (Unit("dfs-inhibit.service", "failed", "exit-code", 1, 0, ""), "unit-failed", Harm.SOON),
    (Unit(DATA, "failed", "watchdog", 6, 9, ""), "server-crashed", Harm.WAITING),
    (Unit(MOUNT, "failed", "signal", 9, 0, ""), "client-crashed", Harm.WAITING),
    (Unit(MOUNT, "activating", "success", 0, 0, "waiting for the meta-server"), "mount-waiting", Harm.WAITING),
    (Unit(DATA, "activating", "exit-code", 5, 7, ""), "peer-missing", Harm.WAITING),
    (Unit(DATA, "active", "success", 0, 7, "idle"), "restarts", Harm.SOON),
    (Unit(MOUNT, "active", "success", 0, 7, "meta1:9000 mounted on /mnt/dfs"), "restarts", Harm.NOTE),
    (Unit(DATA, "activating", "success", 0, 1, "reading the journal"), "server-starting", Harm.NOTE),
]


@pytest.mark.parametrize(("unit", "situation", "harm"), STATES, ids=[f"{row[1]}-{row[0].active}" for row in STATES])
def test_state_of_a_unit_is_the_situation_it_stands_for(unit: Unit, situation: str, harm: Harm) -> None:
    (found,) = judge_units([unit])
    assert (found.situation, found.harm) == (situation, harm)
    assert unit.name in found.evidence[0]


@pytest.mark.parametrize(
    ("active", "restarts"), [("active", 0), ("active", 3), ("inactive", 0), ("activating", 0), ("deactivating", 0)]
)
def test_unit_that_runs_or_was_stopped_on_purpose_is_no_finding(active: str, restarts: int) -> None:
    assert list(judge_units([Unit(DATA, active, "success", 0, restarts, "")])) == []


@pytest.mark.parametrize(
    ("unit", "subject"),
    [
        (DATA, "data server 1"),
        (META, "meta-server"),
        (MOUNT, "mount /mnt/my-data"),
        ("dfs-mount@home-f\\xc3\\xbcr\\x20alle.service", "mount /home/für alle"),
        ("dfs-mount@odd\\x.service", "mount /odd\\x"),
        ("dfs-mount", "dfs-mount"),
    ],
)
def test_subject_of_a_unit_is_what_it_runs(unit: str, subject: str) -> None:
    assert unit_subject(unit) == subject
