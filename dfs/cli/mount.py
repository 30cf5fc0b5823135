"""The mount program: `dfs-mount DIR` with a configuration, `distributedFS.py MOUNTPOINT META_PORT DATA_PORT...` originally.

Carries out a plan of mount_plan.py: puts client service and FUSE boundary together, and stays in the foreground until the file
system is unmounted or SIGTERM. Order: arguments, libfuse and mount point are checked before anybody is called; the session opens
before programs can see the mount, and ended after they no longer can.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Final

from dfs.cli.arguments import run_program
from dfs.cli.credentials import MOUNT, Credentials
from dfs.cli.monitoring import make_page
from dfs.cli.mount_helper.shutdown import end_waits
from dfs.cli.mount_loop import serve_until_unmounted
from dfs.cli.mount_metrics import shown_on_socket
from dfs.cli.mount_names import diary_path
from dfs.cli.mount_plan import PROGRAM, SCRIPT, MountPlan, plan_configured, plan_original
from dfs.cli.network_terms import watch_certificate, with_certificate
from dfs.cli.reloading import Reloading
from dfs.client.filesystem import FileSystem
from dfs.client.settings import MountSettings
from dfs.core.config import Config
from dfs.core.contexts import PlainContext
from dfs.core.errors import ClientRefused, EndReason, ExitCode, Interrupted, WrongServer
from dfs.core.interfaces import EventSink, SessionDiary
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.meta_methods import META_METHODS
from dfs.core.plain import make_converters
from dfs.core.start_errors import PeerStartError
from dfs.fusefs.channels import open_channel
from dfs.fusefs.mount_point import check_mount_point, check_own_mount_point, free_mount_point, show
from dfs.fusefs.mounting import Mount
from dfs.fusefs.serving import Channel
from dfs.host.allocator import keep_freed_memory
from dfs.host.clock import SystemClock
from dfs.host.event_counts import CountedEvents
from dfs.host.journal import JournalEvents, setup_logging
from dfs.host.notify import SystemdNotify
from dfs.host.randomness import SystemRandom
from dfs.host.service import Notify
from dfs.host.session_diary import session_diary
from dfs.host.stop_request import StopRequest
from dfs.host.tasks import ThreadTasks, end_process
from dfs.rpc.client import DataServersClient, MetaClient

LOG = logging.getLogger(__name__)

PREFIX_BYTES: Final = 3
RELOADED: Final = ("mount", "metrics", "log")
"""The sections of the configuration that concern a mount, besides those of the single data servers."""
DETACH: Final = "--detach"
END_WAITS: Final = "--end-waits"


def main(argv: Sequence[str] | None = None) -> int:
    """Mount what the arguments describe, or do one of the services' small errands, and return the exit status."""
    words = sys.argv[1:] if argv is None else argv
    if list(words) == [END_WAITS]:
        return run_program(PROGRAM, end_waits)
    if list(words[:1]) == [DETACH] and len(words) == 2:
        return run_program(PROGRAM, lambda: detach(os.fsencode(words[1])))
    return run_program(PROGRAM, lambda: run_mount(plan_configured(words)))


def main_distributedfs(argv: Sequence[str]) -> int:
    """Mount with the original arguments (R12), and return the exit status."""
    return run_program(SCRIPT, lambda: run_mount(plan_original(argv)))


def _log_here(plan: MountPlan) -> None:
    setup_logging(plan.level.value, plan.program)


def run_mount(plan: MountPlan, notify: Notify | None = None, begin_log: Callable[[MountPlan], None] = _log_here) -> int:
    """Mount, serve, unmount, and return the exit status.

    Arguments: the plan, who is told how it goes (None: systemd), and what makes this process' log.
    Raises: MountPointError; PeerStartError if the servers are not there in time or belong to another file system; TlsFailed if
    they and this machine do not let each other in.
    """
    channel = open_channel(plan.fuse_channel())
    credentials = Credentials(plan.network, MOUNT)
    point = check_own_mount_point(plan.mount_point) if plan.takes_over else check_mount_point(plan.mount_point)
    begin_log(plan)
    keep_freed_memory()
    with session_diary(diary_path(point)) as diary:
        return _mount(plan, point, channel, credentials, notify or SystemdNotify(), diary)


def _mount(
    plan: MountPlan, point: bytes, channel: Channel, credentials: Credentials, notify: Notify, diary: SessionDiary | None
) -> int:
    """Carry the plan out; raises what run_mount() does."""
    make_converters((*META_METHODS.values(), *BLOCK_METHODS.values()))
    clock, events, random = SystemClock(), CountedEvents(JournalEvents()), SystemRandom()
    stop = StopRequest(can_reload=plan.is_service)
    tls = plan.network.read_tls(events)
    meta = MetaClient(address=plan.meta_address, peer="meta-server", clock=clock, signer=credentials.signer(), tls=tls)
    servers = DataServersClient(clock=clock, signer=credentials.signer(), tls=tls)
    prefix = random.token_bytes(PREFIX_BYTES).hex()
    filesystem = FileSystem(
        settings=MountSettings(
            host=os.uname().nodename,
            mount_path=point,
            data_servers=plan.data_servers,
            attr_timeout_s=plan.attr_timeout_s(),
            start_timeout_s=plan.start_timeout_s,
            entry_timeout_s=plan.wishes.entry_timeout_s,
            write_back=plan.write_back(),
        ),
        meta=meta,
        servers=servers,
        clock=clock,
        random=random,
        tasks=ThreadTasks(),
        events=events,
        diary=diary,
    )
    mount = Mount(
        channel=channel,
        filesystem=filesystem,
        events=events,
        mount_point=point,
        options=plan.options(),
        request_prefix=prefix,
        on_end=stop.wake,
    )
    notify.status(f"waiting for the meta-server at {plan.meta_address}")
    with watch_certificate(tls, events) as watch:
        if not _open_session(filesystem, PlainContext(f"{prefix}-start", lambda: _end_reason(stop)), plan.meta_address):
            return ExitCode.DONE
        page = make_page(program=plan.program, kind="mount")
        page.add(mount, filesystem, meta, servers, events)
        shown = shown_on_socket(page, Path(plan.metrics.socket_folder), point) if plan.shows_metrics() else nullcontext()
        reload = with_certificate(_reload(plan, filesystem, mount, events), watch)
        try:
            what = f"{plan.meta_address} mounted on {show(point)}"
            with shown:
                all_ended = serve_until_unmounted(mount, stop, notify, events, what, reload)
        finally:
            filesystem.stop(PlainContext(request_id=f"{prefix}-stop"))
    if not all_ended:
        LOG.critical("expected all operations to end with the mount, got some that do not; the process ends as it is")
        end_process()
    return ExitCode.DONE


def _reload(plan: MountPlan, filesystem: FileSystem, mount: Mount, events: EventSink) -> Callable[[], None] | None:
    """Return what SIGHUP does: what options of the mount say goes on to count. None: it unmounts."""
    if not plan.is_service:
        return None
    source = plan.source_config
    if source is None:
        return lambda: LOG.info("mounted by the meta-server's address: there is no configuration to read again")

    def apply(config: Config) -> None:
        filesystem.set_timeouts(replace(plan, mount=config.mount).attr_timeout_s(), plan.wishes.entry_timeout_s)
        mount.set_shutdown_grace(config.mount.shutdown_grace)

    return Reloading(read=source.read, running=source.running, sections=RELOADED, apply=apply, events=events).reload


def detach(point: bytes) -> int:
    """Take a dfs off the tree at `point` if one is uppermost there, alive or dead, and return the exit status.

    Raises: MountPointError if this system has no fusermount.
    """
    return ExitCode.DONE if free_mount_point(point) else ExitCode.FAILED


def _end_reason(stop: StopRequest) -> EndReason | None:
    """Tell whether somebody wants the program to end: SIGTERM, which only the main thread finds."""
    stop.wait(0)
    return EndReason.SHUTDOWN if stop.is_requested() else None


def _open_session(filesystem: FileSystem, ctx: PlainContext, meta_address: str) -> bool:
    """Connect the client service; False if the program was told to end meanwhile. Raises: PeerStartError."""
    try:
        filesystem.start(ctx)
    except Interrupted:
        return False
    except WrongServer as error:
        raise PeerStartError(expected=error.expected, got=error.got) from error
    except ClientRefused as error:
        raise PeerStartError(expected=f"an export of the meta-server at {meta_address}", got=str(error)) from error
    return True


if __name__ == "__main__":
    sys.exit(main())
