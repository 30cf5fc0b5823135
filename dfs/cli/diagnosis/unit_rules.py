"""What the states of this machine's units tell: what does not run, and why its last run ended. Pure. Called by judging.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from dfs.cli.diagnosis.findings import Depth, Finding, Harm
from dfs.cli.diagnosis.observations import META, Unit, unit_subject
from dfs.core.errors import ExitCode

_CAUSES: Final[dict[int, tuple[str, str]]] = {
    ExitCode.USAGE: ("usage-wrong", "its command line is wrong"),
    ExitCode.CONFIGURATION: ("config-wrong", "its configuration is wrong"),
    ExitCode.STATE: ("folder-unusable", "its state folder can't be used"),
    ExitCode.PEER: ("peer-missing", "a server that it needs is not there"),
    ExitCode.ADDRESS_IN_USE: ("port-taken", "its port is taken by another process"),
    ExitCode.MOUNT_POINT: ("mount-point-unusable", "its mount point can't be used"),
}
"""What a program's own exit status means."""
GUARD: Final = "dfs-inhibit.service"
"""Nobody waits for it."""
RESTARTS_MAX: Final = 3
"""More of them are told."""


def judge_units(units: Sequence[Unit]) -> Iterator[Finding]:
    """Yield what is wrong with the units of this machine."""
    for unit in units:
        if unit.active == "failed":
            yield _failed(unit)
        elif unit.active == "activating" and unit.name.startswith("dfs-mount@"):
            yield _waiting(unit)
        elif unit.active == "activating" and unit.restarts:
            yield _starting(unit) if unit.result == "success" else _failed(unit)
        elif unit.active == "active" and unit.restarts > RESTARTS_MAX:
            yield _restarted(unit)


def _failed(unit: Unit) -> Finding:
    situation, why = "unit-failed", f"it ended with {unit.result} {unit.exit_status}"
    depth = Depth.STATE
    if unit.result == "exit-code" and unit.exit_status in _CAUSES:
        situation, why = _CAUSES[unit.exit_status]
        depth = Depth.EXIT_STATUS
    elif unit.result in ("signal", "core-dump", "watchdog", "oom-kill"):
        crashed = unit.name.startswith("dfs-mount@")
        situation, why = ("client-crashed" if crashed else "server-crashed"), f"it crashed: {unit.result} {unit.exit_status}"
    harm = Harm.STOPPED if unit_subject(unit.name) == META else Harm.SOON if unit.name == GUARD else Harm.WAITING
    return Finding(
        situation=situation,
        subject=unit_subject(unit.name),
        harm=harm,
        depth=depth,
        title=f"{unit.name} does not run: {why}",
        evidence=(_seen(unit),),
        cures=(f"journalctl -x -u {unit.name} -n 30", f"systemctl reset-failed {unit.name}", f"systemctl start {unit.name}"),
    )


def _waiting(unit: Unit) -> Finding:
    return Finding(
        situation="mount-waiting",
        subject=unit_subject(unit.name),
        harm=Harm.WAITING,
        depth=Depth.EFFECT,
        title=f"{unit_subject(unit.name)} waits for the cluster and appears when it answers",
        evidence=(_seen(unit),),
        cures=("dfsctl status", "on the meta-server's machine: systemctl status dfs-meta"),
    )


def _starting(unit: Unit) -> Finding:
    return Finding(
        situation="server-starting",
        subject=f"the unit {unit.name}",
        harm=Harm.NOTE,
        depth=Depth.STATE,
        title=f"{unit.name} is starting again",
        evidence=(_seen(unit),),
        cures=(f"systemctl status {unit.name}",),
    )


def _restarted(unit: Unit) -> Finding:
    # A mount is started again, too, for each time that its cluster was not there yet.
    is_mount = unit.name.startswith("dfs-mount@")
    return Finding(
        situation="restarts",
        subject=f"the unit {unit.name}",
        harm=Harm.NOTE if is_mount else Harm.SOON,
        depth=Depth.STATE,
        title=f"{unit.name} runs, but was restarted {unit.restarts} times",
        evidence=(_seen(unit),),
        cures=(f"journalctl -x -u {unit.name} -p warning -n 50",),
    )


def _seen(unit: Unit) -> str:
    words = f"systemctl: {unit.name} is {unit.active}, result {unit.result} {unit.exit_status}, {unit.restarts} restarts"
    return f"{words}, says {unit.status_text!r}" if unit.status_text else words
