"""What a host tells of a fault: the finding that `dfsctl diagnose` names first, and the event in the journal, explained."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from dfs.core.events.event import EventKind
from tests.harness.booted_host import BootedHost
from tests.harness.waiting import wait_until

NAMED_S = 30.0


def diagnose(host: BootedHost) -> tuple[int, list[dict[str, Any]]]:
    """Return dfsctl's exit status and findings; everything could be looked at."""
    done = host.try_to("dfsctl", "diagnose", "--json")
    shown = json.loads(done.stdout)
    assert not [reason for reason in shown["unseen"] if not reason.startswith("the servers")]
    return done.returncode, shown["findings"]


def wait_until_well(host: BootedHost) -> None:
    """Wait until nothing is found wrong."""
    _wait_for(host, lambda status, found: status == 0, f"nothing to be wrong as {host.name} sees it")


def wait_for_first(host: BootedHost, situation: str, subject: str) -> dict[str, Any]:
    """Wait until a fault is named first, and return the finding."""

    def is_first(status: int, found: list[dict[str, Any]]) -> bool:
        return bool(found) and (found[0]["situation"], found[0]["subject"]) == (situation, subject)

    return _wait_for(host, is_first, f"{situation} of {subject} to be named first")[0]


def wait_to_find(host: BootedHost, situation: str) -> None:
    """Wait until a situation is found, first or not, or as what another one explains."""

    def is_found(status: int, found: list[dict[str, Any]]) -> bool:
        return any(situation in (each["situation"], *each["effects"]) for each in found)

    _wait_for(host, is_found, f"{situation} to be found")


def _wait_for(host: BootedHost, condition: Callable[[int, list[dict[str, Any]]], bool], what: str) -> list[dict[str, Any]]:
    """Diagnose until the condition holds for what is found, and return that."""
    seen: list[dict[str, Any]] = []

    def holds() -> bool:
        status, seen[:] = diagnose(host)
        return condition(status, seen)

    try:
        wait_until(holds, what, NAMED_S)
    except AssertionError as error:
        named = "; ".join(f"{each['situation']} of {each['subject']} {each['evidence']}" for each in seen)
        raise AssertionError(f"{error}, got {named}") from None
    return seen


def assert_explained(host: BootedHost, kind: EventKind, *words: str, unit: str = "") -> None:
    """Check that the journal of a host has an event, of a unit, and shows its text in the catalogue."""
    matches = [f"--unit={unit}", f"MESSAGE_ID={kind.message_id}"] if unit else [f"MESSAGE_ID={kind.message_id}"]
    shown = ""

    def is_shown() -> bool:
        nonlocal shown
        shown = host.run("journalctl", "-x", *matches, "-n", "1", "--no-pager", "--quiet", check=False)
        return bool(shown)

    wait_until(is_shown, f"{kind.name} in the journal of {host.name}")
    for each in (*words, "What happened:", "Likely causes:", "What to do:"):
        assert each in shown, f"{each!r} of {kind.name} in {shown}"
