"""`dfsctl status`: how the cluster is doing, for people and, with --json, for programs.

Asks the meta-server, then all data servers at once, and waits for nobody longer than ANSWER_TIMEOUT_S. Changes nothing. Exit
status: 0 healthy, 1 degraded, 2 data at risk, 5 the meta-server does not answer.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from dfs.cli.tools.cluster_health import ClusterReport, status_of
from dfs.core.ids import ServerIndex
from dfs.core.interfaces import CallContext, DataServers, MetaApi
from dfs.core.messages.cluster import ServerStatus
from dfs.core.messages.data_server import ShowData
from dfs.core.messages.inspection import ShowMeta
from dfs.core.messages.scrub import ScrubCounts, ScrubStatus

ANSWER_TIMEOUT_S = 5.0


def ask_cluster(ctx: CallContext, meta_address: str, meta: MetaApi, servers: DataServers) -> ClusterReport:
    """Return the state of the cluster.

    Raises: PeerError if the meta-server does not answer; data servers that do not are part of the result.
    """
    told = meta.call(ctx, ShowMeta())
    # No cluster is named: a blank or a foreign server shall say what it is instead of refusing.
    servers.set_addresses({at.server: at.address for at in told.data_servers}, "")
    asked: dict[ServerIndex, ShowData] = {at.server: ShowData() for at in told.data_servers}
    answers = servers.call_all(ctx, asked)
    statuses = [status_of(at, answers[at.server], told.shape) for at in sorted(told.data_servers)]
    return ClusterReport(meta_address, told, tuple(statuses))


def to_json(report: ClusterReport) -> str:
    """Return the report as JSON; names and order of its members are stable."""
    shape = report.meta.shape
    members: dict[str, Any] = {
        "cluster": {"uuid": shape.cluster, "n": shape.servers, "block_size": shape.block_size},
        "meta": {"address": report.meta_address, "state": report.meta.state},
        "servers": [_server_members(server) for server in report.servers],
        "mounts": [
            {"id": mount.session, "host": mount.host, "path": mount.path.decode("utf-8", "backslashreplace")}
            for mount in report.meta.mounts
        ],
    }
    return json.dumps(members, indent=2)


def _server_members(server: ServerStatus) -> dict[str, Any]:
    return {
        "index": server.index,
        "address": server.address,
        "state": describe_state(server),
        "primary": str(server.primary) if server.reachable else "unknown",
        "secondary": str(server.secondary) if server.reachable else "unknown",
        "total_bytes": server.space.total_bytes,
        "free_bytes": server.space.free_bytes,
        "progress": server.progress,
        "scrub": _scrub_members(server.scrub),
    }


def _scrub_members(scrub: ScrubStatus) -> dict[str, Any]:
    return {
        "on": scrub.is_on,
        "running": scrub.is_running,
        "percent": scrub.percent,
        "bytes_per_s": scrub.bytes_per_s,
        "left_s": scrub.left_s,
        "last_pass_ns": scrub.last_pass_ns,
        **scrub.counts._asdict(),
        "trouble": scrub.trouble,
    }


def describe_state(server: ServerStatus) -> str:
    """Return "ok", or what is wrong: "unreachable: REASON", or a reachable server's own trouble."""
    if not server.reachable:
        return f"unreachable: {server.reason}"
    return server.reason or "ok"


def to_text(report: ClusterReport) -> str:
    """Return the report for people."""
    shape, meta = report.meta.shape, report.meta
    lines = [f"{meta.name}: {report.health().words()}"]
    if shape.servers:
        lines.append(f"cluster {shape.cluster}, {shape.servers} data servers, blocks of {shape.block_size} bytes")
    lines.append(f"meta-server {report.meta_address}: {meta.state}, {meta.inodes} inodes, {meta.reclaiming} being reclaimed")
    for server in report.servers:
        lines.append(_server_line(server))
        if server.reachable:
            lines.append(f"  scrub: {describe_scrub(server.scrub)}")
    for mount in meta.mounts:
        path = mount.path.decode("utf-8", "backslashreplace")
        lines.append(f"mount {mount.session} {mount.host}:{path}, last heard of {mount.age_s:.1f} s ago")
    return "\n".join(lines)


def _server_line(server: ServerStatus) -> str:
    line = f"data server {server.index} {server.address}: {describe_state(server)}"
    if server.reachable:
        line += f", {show_bytes(server.space.free_bytes)} of {show_bytes(server.space.total_bytes)} free"
    return f"{line}, {server.progress}" if server.progress else line


def describe_scrub(scrub: ScrubStatus) -> str:
    """Return how a server's scrub is doing, for people."""
    last = "no full pass yet"
    if scrub.last_pass_ns:
        last = f"last full pass ended {datetime.fromtimestamp(scrub.last_pass_ns // 10**9, UTC):%Y-%m-%d %H:%M:%S} UTC"
    parts = [last if scrub.is_on else f"off, {last}"]
    if scrub.is_running:
        left = "" if scrub.left_s is None else f", about {show_duration(scrub.left_s)} left"
        parts.insert(0, f"{scrub.percent:.1f}% at {scrub.bytes_per_s / 1e6:.1f} MB/s{left}")
    if any(scrub.counts):
        parts.append(describe_counts(scrub.counts))
    return "; ".join([*parts, *([scrub.trouble] if scrub.trouble else [])])


def describe_counts(counts: ScrubCounts) -> str:
    """Return what a scrub met, for people."""
    return f"{counts.blocks} blocks, {counts.repaired} copies repaired, {counts.damaged} blocks damaged, {counts.left} not compared"


def show_duration(duration_s: float) -> str:
    """Return a time as people say it."""
    if duration_s < 120:
        return f"{duration_s:.0f} s"
    return f"{duration_s / 60:.0f} min" if duration_s < 7200 else f"{duration_s / 3600:.1f} h"


def show_bytes(count: int) -> str:
    """Return a number of bytes as people read it, in powers of 1024."""
    size, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"
