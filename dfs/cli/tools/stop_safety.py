"""`dfsctl safe-to-stop N`: whether stopping a data server leaves a good copy of everything reachable, else what readers would lose.

Each block of data server N has its other copy on a neighbour (R4): N may stop if both neighbours answer, are who they should be,
and are complete and without trouble in the role that holds those copies. What N itself holds does not matter. Writers wait for N
in any case. Changes nothing, and promises nothing for later: whoever stops several servers asks before each. Exit status: 0 safe,
1 not safe, 2 no such data server, 5 the meta-server does not answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from dfs.cli.tools.cluster_health import ClusterReport
from dfs.cli.tools.status import describe_state
from dfs.core.errors import ExitCode
from dfs.core.ids import ServerIndex
from dfs.core.messages.cluster import RoleState, ServerStatus
from dfs.core.placement import Role, twin_of
from dfs.core.start_errors import UsageError


@dataclass(frozen=True, slots=True)
class Loss:
    """Blocks that nobody could read while the server is stopped."""

    role: Role
    """The server's role in which it holds them."""
    twin: ServerIndex
    """Who has their other copy."""
    reason: str
    """Why that can't be relied on."""
    servers: int
    """N: these are one of so many blocks of every file."""

    def text(self) -> str:
        """Return it for people."""
        return (
            f"one block in {self.servers} of every file ({self.role.name.lower()} copies): "
            f"the other copy is on data server {self.twin}, {self.reason}"
        )


@dataclass(frozen=True, slots=True)
class StopSafety:
    """The verdict on one data server."""

    server: ServerIndex
    losses: tuple[Loss, ...]

    def exit_code(self) -> ExitCode:
        """Return 0 if it may be stopped."""
        return ExitCode.FAILED if self.losses else ExitCode.DONE


def judge_stop(report: ClusterReport, server: ServerIndex) -> StopSafety:
    """Return what readers would lose if a data server were stopped now. Raises: UsageError if there is no such server."""
    servers = report.meta.shape.servers
    if not servers:
        return StopSafety(server, ())  # nothing was ever stored
    if server >= servers:
        raise UsageError(f"the number of a data server, 0 to {servers - 1}", str(server))
    return StopSafety(server, find_losses({status.index: status for status in report.servers}, server, servers))


def find_losses(statuses: Mapping[ServerIndex, ServerStatus], server: ServerIndex, servers: int) -> tuple[Loss, ...]:
    """Return what readers would lose if a data server of `servers` were stopped; both its neighbours are among `statuses`."""
    losses = []
    for role in Role:
        twin, twin_role = twin_of(server, role, servers)
        reason = _fault(statuses[twin], twin_role)
        if reason:
            losses.append(Loss(role, twin, reason, servers))
    return tuple(losses)


def _fault(status: ServerStatus, role: Role) -> str:
    """Return why a server's copies in a role can't be relied on; empty if they can."""
    if not status.reachable:
        return f"which is {describe_state(status)}"
    state = status.primary if role is Role.PRIMARY else status.secondary
    if state is not RoleState.COMPLETE:
        progress = f" ({status.progress})" if status.progress else ""
        return f"which is {state} in its {role.name.lower()} role{progress}"
    if status.reason not in ("", f"primary {status.primary}, secondary {status.secondary}"):
        return f"which is not well: {status.reason}"
    return ""


def to_text(safety: StopSafety) -> str:
    """Return the verdict for people."""
    if not safety.losses:
        return (
            f"safe: while data server {safety.server} is stopped everything can be read; programs that write wait until it is back"
        )
    lines = [f"NOT SAFE: while data server {safety.server} is stopped, these could not be read:"]
    return "\n".join([*lines, *(f"  {loss.text()}" for loss in safety.losses)])


def to_json(safety: StopSafety) -> str:
    """Return the verdict for programs; names and order of the members are stable."""
    losses = [{"role": loss.role.name.lower(), "twin": loss.twin, "reason": loss.reason} for loss in safety.losses]
    return json.dumps({"server": safety.server, "safe": not safety.losses, "losses": losses}, indent=2)
