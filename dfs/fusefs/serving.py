"""What a mount and its channel to the kernel are to each other.

A channel mounts, hears the kernel, has each of its calls answered by the operations, and says who made the call that a thread is
answering. libfuse_channel.py and channel/own_channel.py are the two there are; mounting.py uses either.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Final, Protocol

from dfs.core.interfaces import EventSink
from dfs.core.meters import CallMeter
from dfs.fusefs.filesystem_api import FileSystemApi
from dfs.fusefs.mount_options import MountOptions
from dfs.fusefs.operation_context import CallInProgress, OperationContexts
from dfs.fusefs.operations import Connection

WAKE_SIGNAL: Final = signal.SIGUSR2
"""Interrupts a channel's wait for the kernel, so that it sees that it should end; the handler does nothing."""


@dataclass(frozen=True, slots=True)
class Served:
    """What the operations of a mount are made of."""

    filesystem: FileSystemApi
    contexts: OperationContexts
    events: EventSink
    meter: CallMeter
    connection: Connection
    """Who is told when the kernel connects and when it is gone."""


class Channel(CallInProgress, Protocol):
    """A way to the kernel, for one mount."""

    def run(self, served: Served, mount_point: bytes, options: MountOptions) -> None:
        """Mount at an absolute path, serve with threads until unmounted or told to exit, unmount.

        Raises: MountPointError; RuntimeError if it is refused by who has said why on standard error.
        """

    def exit(self) -> None:
        """Tell run() to end. Called from another thread, and again until it has."""
