"""What the servers' own answers tell: who is away, rebuilding, full, damaged, or not who it should be. Pure.

Each rule takes what was seen and returns findings. Called by judging.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dfs.cli.diagnosis.findings import Depth, Finding, Harm
from dfs.cli.diagnosis.observations import META, ClusterSeen, blocks_subject, disk_subject, server_subject
from dfs.cli.tools.cluster_health import KEY_REFUSED, META_OK, has_unhealthy_neighbours, is_healthy
from dfs.cli.tools.status import describe_counts, describe_state, show_bytes
from dfs.core.clock_offset import CLOCK_OFF_S, clock_offset_s
from dfs.core.messages.cluster import MetaStatus, RoleState, ServerStatus
from dfs.data.disk.reserve import nearly_full_bytes

FULL_BYTES: Final = 1 << 20
"""With less than this left for new blocks a disk is full."""
SILENT_S: Final = 10.0
"""A mount that was not heard of for so long is in trouble: two heartbeats are missing."""
CRASHED_S: Final = 30.0
_KEY_CURES: Final = ("dfsctl key show (here and on the server)", "see [cluster] key_file in /etc/dfs/dfs.conf", "timedatectl")


def judge_cluster(seen: ClusterSeen) -> Iterator[Finding]:
    """Yield what is wrong in the servers' answers."""
    if seen.report is None:
        yield _meta_away(seen)
        return
    yield from _meta_state(seen.report.meta)
    for server in seen.report.servers:
        yield from _server(server, seen.report.meta)
    yield from _neighbours(seen.report.servers)
    yield from _mounts(seen.report.meta)
    yield from _clocks(seen)
    yield from _releases(seen)


def start_command(unit: str, address: str, verb: str = "restart") -> str:
    """Return how a server is started by hand, on the machine where it listens."""
    host = address.rpartition(":")[0]
    here = host in ("", "localhost") or host.startswith("127.")
    return f"systemctl {verb} {unit}" if here else f"on {host}: systemctl {verb} {unit}"


def _meta_away(seen: ClusterSeen) -> Finding:
    if "does not answer as it should" in seen.trouble:
        title = f"what listens at {seen.meta_address} is no meta-server: the address is wrong"
        return Finding(
            "address-wrong", META, Harm.STOPPED, Depth.STATE, title, (seen.trouble,), ("see [meta] address in /etc/dfs/dfs.conf",)
        )
    if seen.is_key_refused:
        title = f"the meta-server at {seen.meta_address} and this machine do not accept each other's key"
        return Finding("key-wrong", META, Harm.STOPPED, Depth.CAUSE, title, (seen.trouble,), _KEY_CURES)
    if "can't be trusted" in seen.trouble:
        title = f"the meta-server at {seen.meta_address} and this machine do not let each other in"
        cures = ("dfsctl tls show", "see [tls] in /etc/dfs/dfs.conf on both machines")
        return Finding("tls-refused", META, Harm.STOPPED, Depth.STATE, title, (seen.trouble,), cures)
    return Finding(
        situation="meta-down",
        subject=META,
        harm=Harm.STOPPED,
        depth=Depth.STATE,
        title=f"the meta-server at {seen.meta_address} does not answer",
        evidence=(seen.trouble,),
        cures=(start_command("dfs-meta", seen.meta_address, "status"), start_command("dfs-meta", seen.meta_address)),
    )


def _meta_state(meta: MetaStatus) -> Iterator[Finding]:
    state = meta.state
    cures: tuple[str, ...]
    seen = (f"the meta-server says: {state}",)
    if state.startswith("rolled back"):
        title = "the meta-server was put back to an older state; nothing is removed from the data servers"
        cures = ("dfsctl meta restore FILE (a newer backup)", "dfsctl meta accept-rollback")
        yield Finding("meta-rolled-back", META, Harm.AT_RISK, Depth.STATE, title, seen, cures)
    elif state.startswith("disk full"):
        title = "the disk of the meta-server is full: nothing new can be made"
        cures = ("journalctl --vacuum-size=200M", "make room on its disk; it goes on by itself")
        yield Finding("disk-full", META, Harm.WAITING, Depth.STATE, title, seen, cures)
    elif state.startswith("read-only"):
        title = "the meta-server is read-only: nothing can be changed"
        cures = ("journalctl -k -p warning -n 50", "systemctl restart dfs-meta")
        yield Finding("meta-read-only", META, Harm.STOPPED, Depth.STATE, title, seen, cures)
    elif state == "waiting to format":
        title = "there is no file system yet: the meta-server waits for all its data servers"
        yield Finding("not-formatted", META, Harm.STOPPED, Depth.STATE, title, seen, ("systemctl start dfs.target",))
    elif state != META_OK:
        yield Finding("meta-starting", META, Harm.NOTE, Depth.STATE, "the meta-server has just started", seen, ())


def _server(server: ServerStatus, meta: MetaStatus) -> Iterator[Finding]:
    """Yield the one state that a data server is in, then what else is to be said of its disk."""
    subject, unit = server_subject(server.index), f"dfs-data@{server.index}"
    seen = (f"data server {server.index} at {server.address}: {describe_state(server)}",)
    restart = start_command(unit, server.address)
    states = (server.primary, server.secondary)
    cures: tuple[str, ...]
    if not server.reachable and server.reason.startswith(KEY_REFUSED):
        title = f"data server {server.index} at {server.address} and this machine do not accept each other's key"
        yield Finding("key-wrong", subject, Harm.WAITING, Depth.CAUSE, title, seen, _KEY_CURES)
        return
    if _is_another(server):
        title = f"what answers at {server.address} is another server than data server {server.index}"
        cures = (f"see [data:{server.index}] address in /etc/dfs/dfs.conf", "systemctl restart dfs-meta")
        yield Finding("address-wrong", subject, Harm.WAITING, Depth.CAUSE, title, seen, cures)
        return
    if not server.reachable:
        title = f"data server {server.index} at {server.address} does not answer"
        cures = (start_command(unit, server.address, "status"), restart)
        yield Finding("server-down", subject, Harm.WAITING, Depth.STATE, title, seen, cures)
        return
    if RoleState.LOST in states:
        title = f"data is lost on data server {server.index}: two neighbouring disks were lost"
        cures = ("dfsctl lost", "dfsctl accept-loss --yes (only when no old disk can be put back)")
        yield Finding("data-lost", subject, Harm.LOST, Depth.STATE, title, seen, cures)
    elif RoleState.BLANK in states:
        if meta.shape.servers:
            title = f"data server {server.index} is blank and waits for its neighbours to tell who it is"
            yield Finding("server-blank", subject, Harm.WAITING, Depth.STATE, title, seen, ("dfsctl status", restart))
    elif not states[0] is states[1] is RoleState.COMPLETE:
        progress = (f"progress: {server.progress}",) if server.progress else ()
        title = f"data server {server.index} is rebuilding: it copies or compares what it may lack"
        cures = ("dfsctl status (wait; stop neither it nor its neighbours)",)
        yield Finding("server-rebuilding", subject, Harm.AT_RISK, Depth.STATE, title, seen + progress, cures)
    elif server.reason:
        title = f"data server {server.index} has trouble with its disk or its blocks"
        cures = ("journalctl -k -p warning -n 50", f"dfsctl scrub --server {server.index} --wait", "dfsctl fsck --repair")
        yield Finding("blocks-corrupt", blocks_subject(server.index), Harm.AT_RISK, Depth.STATE, title, seen, cures)
    yield from _disk(server)


def _is_another(server: ServerStatus) -> bool:
    """Tell whether another server than this one answers at its address."""
    return server.reason.startswith("expected ")


def _disk(server: ServerStatus) -> Iterator[Finding]:
    subject, space, counts = disk_subject(server.index), server.space, server.scrub.counts
    seen = (f"{show_bytes(space.free_bytes)} of {show_bytes(space.total_bytes)} are left for new blocks",)
    if space.total_bytes and space.free_bytes < FULL_BYTES:
        cures = ("remove files from the mount, or make the disk bigger", "dfsctl status")
        yield Finding("disk-full", subject, Harm.WAITING, Depth.STATE, f"{subject} is full", seen, cures)
    elif space.free_bytes < nearly_full_bytes(space.total_bytes):
        cures = ("remove files from the mount, or make the disk bigger", "dfsctl status")
        yield Finding("disk-nearly-full", subject, Harm.SOON, Depth.STATE, f"{subject} is nearly full", seen, cures)
    if counts.damaged:
        words = (f"its scrub: {describe_counts(counts)}",)
        title = f"data server {server.index} stores blocks of which neither copy is good"
        cures = ("dfsctl fsck", "dfsctl lost --everywhere")
        yield Finding("blocks-corrupt", blocks_subject(server.index), Harm.LOST, Depth.STATE, title, words, cures)


def _neighbours(servers: tuple[ServerStatus, ...]) -> Iterator[Finding]:
    """Tell that two neighbours, which hold both copies of some blocks, are away at once."""
    reachable = [server.reachable or _is_another(server) for server in servers]
    if has_unhealthy_neighbours(reachable):
        down = [str(server.index) for server in servers if not server.reachable]
        title = f"data servers {', '.join(down)} are away at once: some blocks can't be read"
        seen = tuple(f"data server {server.index}: {describe_state(server)}" for server in servers if not server.reachable)
        cures = tuple(start_command(f"dfs-data@{server.index}", server.address) for server in servers if not server.reachable)
        yield Finding("neighbours-down", "two neighbours", Harm.LOST, Depth.STATE, title, seen, cures)
    elif has_unhealthy_neighbours([is_healthy(server) for server in servers]):
        title = "two neighbouring data servers are not healthy: some blocks may lose their last copy"
        seen = tuple(f"data server {server.index}: {describe_state(server)}" for server in servers if not is_healthy(server))
        cures = ("dfsctl status (stop none of them before both are well)",)
        yield Finding("data-at-risk", "two neighbours", Harm.AT_RISK, Depth.STATE, title, seen, cures)


def _mounts(meta: MetaStatus) -> Iterator[Finding]:
    for mount in meta.mounts:
        if mount.age_s < SILENT_S:
            continue
        path = mount.path.decode("utf-8", "backslashreplace")
        title = f"the mount {mount.host}:{path} is silent: it crashed, hangs, or its network is cut"
        seen = (f"the meta-server has not heard of it for {mount.age_s:.0f} s; it gives it up after {CRASHED_S:.0f} s",)
        cures = (f'on {mount.host}: systemctl status "dfs-mount@*"',)
        yield Finding("client-crashed", f"mount {path}", Harm.WAITING, Depth.STATE, title, seen, cures)


def _clocks(seen: ClusterSeen) -> Iterator[Finding]:
    assert seen.report is not None
    answers = [(META, seen.report.meta_address, seen.report.meta.wall_ns)]
    answers += [(server_subject(each.index), each.address, each.wall_ns) for each in seen.report.servers]
    for subject, address, wall_ns in answers:
        offset_s = clock_offset_s(seen.sent_ns, wall_ns, seen.received_ns) if wall_ns else 0.0
        if abs(offset_s) >= CLOCK_OFF_S:
            where = "ahead of" if offset_s > 0 else "behind"
            title = f"the clock of {subject} is off"
            words = (f"{subject} at {address} is {abs(offset_s):.1f} s {where} this machine",)
            cures = ("systemctl status systemd-timesyncd (on both machines)", "systemctl restart systemd-timesyncd")
            yield Finding("clock-off", f"the clock of {subject}", Harm.SOON, Depth.STATE, title, words, cures)


def _releases(seen: ClusterSeen) -> Iterator[Finding]:
    assert seen.report is not None
    found = {META: seen.report.meta.release}
    found |= {server_subject(each.index): each.release for each in seen.report.servers if each.reachable}
    others = {subject: release for subject, release in found.items() if release not in ("", seen.release)}
    if others and seen.release:
        words = tuple(f"{subject} is of dfs {release}, this program of dfs {seen.release}" for subject, release in others.items())
        cures = ("install the same release on all machines", "systemctl restart dfs.target (one machine after the other)")
        yield Finding("releases-differ", "releases", Harm.SOON, Depth.STATE, "releases of dfs differ", words, cures)
