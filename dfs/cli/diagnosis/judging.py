"""From observations to ranked findings: every rule is asked, then findings about one subject explain each other. Pure.

What the servers answer now counts more than what the journal told: a trouble that their answers show to be over is a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from dfs.cli.diagnosis.cluster_rules import judge_cluster
from dfs.cli.diagnosis.findings import Depth, Finding, Harm, rank
from dfs.cli.diagnosis.journal_rules import judge_journal
from dfs.cli.diagnosis.observations import META, ClusterSeen, Observations, disk_subject, server_subject
from dfs.cli.diagnosis.unit_rules import judge_units
from dfs.cli.tools.cluster_health import is_healthy

_STARTS: Final = frozenset({"server-down", "port-taken", "folder-not-mounted", "folder-unusable", "config-wrong", "program-failed"})
"""What can't be true of a server that answers and is well."""
_ANSWERED: Final = frozenset({"disk-full", "meta-rolled-back", "meta-read-only", "mount-waiting"})
"""What the servers' own answers tell better than the journal does."""


def diagnose(seen: Observations) -> tuple[Finding, ...]:
    """Return what is wrong, the most harmful first."""
    found: list[Finding] = []
    if seen.config_trouble:
        found.append(_unreadable(seen.config_trouble))
    if seen.cluster is not None:
        found += judge_cluster(seen.cluster)
    if seen.units is not None:
        found += judge_units(seen.units)
    if seen.entries is not None:
        found += _still_true(tuple(judge_journal(seen.entries)), seen.cluster)
    ranked = rank(found)
    return ranked if seen.units is not None else tuple(_by_hand(finding) for finding in ranked)


def _unreadable(trouble: str) -> Finding:
    return Finding(
        situation="config-wrong",
        subject="the configuration",
        harm=Harm.SOON,
        depth=Depth.CAUSE,
        title="the configuration of this machine is wrong: nothing that reads it can start",
        evidence=(trouble,),
        cures=("dfsctl config check",),
    )


def _by_hand(finding: Finding) -> Finding:
    """Return a finding whose cures do without systemd: servers are started as they were before."""
    cures = [cure for cure in finding.cures if "systemctl status dfs-" not in cure]
    words = [re.sub(r"systemctl \w+ dfs-(meta|data)(?:@(\d+))?", _start_by_hand, cure) for cure in cures]
    return replace(finding, cures=tuple(words))


def _start_by_hand(command: re.Match[str]) -> str:
    return f"start {' '.join(filter(None, (f'dfs-{command[1]}', command[2])))} as it was started before"


def _still_true(told: Sequence[Finding], cluster: ClusterSeen | None) -> Iterator[Finding]:
    """Yield what the journal told; what the servers' answers show to be over becomes a note."""
    well = _well(cluster)
    for finding in told:
        is_over = finding.subject in well and (
            finding.situation in _STARTS or finding.situation in _ANSWERED or finding.depth is Depth.EFFECT
        )
        yield replace(finding, harm=Harm.NOTE) if is_over else finding


def _well(cluster: ClusterSeen | None) -> frozenset[str]:
    """Return the subjects of which the servers' own answers say that all is well, or that say by themselves what is not."""
    if cluster is None or cluster.report is None:
        return frozenset()
    answering = {disk_subject(server.index) for server in cluster.report.servers if server.reachable}
    well = {server_subject(server.index) for server in cluster.report.servers if is_healthy(server)}
    return frozenset(answering | well | {META})
