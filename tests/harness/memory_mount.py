"""Mounts a MemoryFileSystem in a process of its own: `python -m tests.harness.memory_mount MOUNTPOINT [WORD...]`.

Words: `freed-on-crash`, `private` (for who mounts alone).

The real boundary, binding, mount and main loop around a file system without a cluster. Ends with exit code 0 once unmounted.
"""

from __future__ import annotations

import logging
import os
import sys

from dfs.cli.arguments import run_program
from dfs.cli.mount_loop import serve_until_unmounted
from dfs.core.errors import ExitCode
from dfs.core.events.event import Event
from dfs.core.interfaces import CallContext
from dfs.fusefs.channels import open_channel
from dfs.fusefs.mount_options import MountOptions
from dfs.fusefs.mount_point import show
from dfs.fusefs.mounting import Mount
from dfs.host.notify import SystemdNotify
from dfs.host.stop_request import StopRequest
from tests.harness.fuse_channel import chosen_channel
from tests.harness.memory_filesystem import MemoryFileSystem


class PrintedEvents:
    """An EventSink that writes to standard error."""

    def emit(self, event: Event, ctx: CallContext | None = None) -> None:
        print(f"EVENT {event.kind.name} {event.message()}", file=sys.stderr, flush=True)


def main(mount_point: str, *words: str) -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    stop = StopRequest()
    mount = Mount(
        channel=open_channel(chosen_channel()),
        filesystem=MemoryFileSystem(),
        events=PrintedEvents(),
        mount_point=os.fsencode(mount_point),
        options=MountOptions("memory, really", "private" not in words, is_freed_on_crash="freed-on-crash" in words),
        request_prefix="test",
        on_end=stop.wake,
    )
    ended = serve_until_unmounted(mount, stop, SystemdNotify(), PrintedEvents(), show(os.fsencode(mount_point)))
    return ExitCode.DONE if ended else ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(run_program("memory_mount", lambda: main(*sys.argv[1:])))
