"""The states of this machine's dfs units, from `systemctl show`."""

from __future__ import annotations

from typing import Final

from dfs.cli.diagnosis.observations import Unit
from dfs.cli.diagnosis.programs import run

PATTERNS: Final = ("dfs-meta.service", "dfs-data@*.service", "dfs-mount@*.service", "dfs-inhibit.service")
PROPERTIES: Final = ("Id", "LoadState", "ActiveState", "Result", "ExecMainStatus", "NRestarts", "StatusText")


def look_at_units() -> tuple[Unit, ...]:
    """Return the units that are loaded here. Raises: Unseen where systemd does not run."""
    return parse_units(run(["systemctl", "show", f"--property={','.join(PROPERTIES)}", *PATTERNS]))


def parse_units(text: str) -> tuple[Unit, ...]:
    """Return the units in the output of `systemctl show`: blocks of NAME=VALUE, divided by empty lines."""
    found: list[Unit] = []
    for block in text.split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)
        if values.get("LoadState") == "loaded" and "Id" in values:
            found.append(_unit(values))
    return tuple(found)


def _unit(values: dict[str, str]) -> Unit:
    return Unit(
        name=values["Id"],
        active=values.get("ActiveState", ""),
        result=values.get("Result", ""),
        exit_status=_number(values.get("ExecMainStatus", "")),
        restarts=_number(values.get("NRestarts", "")),
        status_text=values.get("StatusText", ""),
    )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
