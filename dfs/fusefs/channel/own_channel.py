"""The channel to the kernel without libfuse: one mount of it.

Mounts, answers each request by the operations, and unmounts if it is told to end. Chosen by dfs/fusefs/channels.py, used by
mounting.py; decision record 26 tells what it can that libfuse 2 cannot.
"""

from __future__ import annotations

import errno
import logging
from typing import Final

from dfs.fusefs.binding import RawCaller
from dfs.fusefs.channel.device import Device, mount_device, raise_read_ahead
from dfs.fusefs.channel.handlers import Handlers, NoAnswer
from dfs.fusefs.channel.in_progress import InProgress
from dfs.fusefs.channel.loop import Loop
from dfs.fusefs.channel.node_operations import NodeOperations
from dfs.fusefs.channel.protocol import Op
from dfs.fusefs.channel.request import Request
from dfs.fusefs.mount_options import MountOptions
from dfs.fusefs.mount_point import find_device, unmount
from dfs.fusefs.serving import Served

LOG = logging.getLogger(__name__)

IO_SIZE_BYTES: Final = 1 << 20
"""The largest request: 256 pages, which is all that the kernel allows by default."""
UNMOUNT_TIMEOUT_S: Final = 2.0


class OwnChannel:
    """Serves one mount by /dev/fuse."""

    def __init__(self) -> None:
        self._in_progress = InProgress()
        self._loop: Loop | None = None

    def caller(self) -> RawCaller:
        """Return who made the call in progress; only on the thread that answers it."""
        return self._in_progress.caller()

    def interrupted(self) -> bool:
        """Tell whether the kernel announced a signal to the caller of the call in progress; likewise."""
        return self._in_progress.interrupted()

    def run(self, served: Served, mount_point: bytes, options: MountOptions) -> None:
        """Mount, serve until unmounted or told to exit, unmount.

        Raises: MountPointError; RuntimeError if fusermount3 refuses, having said why.
        """
        device = mount_device(mount_point, options, IO_SIZE_BYTES)
        mounted = find_device(mount_point)
        try:
            if mounted is not None:
                raise_read_ahead(mounted, IO_SIZE_BYTES)
            handlers = Handlers(NodeOperations(served, device), IO_SIZE_BYTES)
            self._loop = loop = Loop(device, lambda request: self._answer(device, handlers, request), IO_SIZE_BYTES)
            loop.run()
        finally:
            # Told to end while it was mounted: who still has files open there gets errors, and nobody finds a dead mount.
            if mounted is not None and find_device(mount_point) == mounted:
                unmount(mount_point, lazily=True, timeout_s=UNMOUNT_TIMEOUT_S)
            device.close()
            served.connection.end()

    def exit(self) -> None:
        """Tell run() to end."""
        if self._loop is not None:
            self._loop.exit()

    def _answer(self, device: Device, handlers: Handlers, request: Request) -> None:
        if request.opcode == Op.INTERRUPT:
            number = self._in_progress.interrupt(request)
            if number is not None:
                device.reply_error(request.unique, number)
            return
        self._in_progress.begin(request)
        try:
            parts = handlers.answer(request)
        except NoAnswer:
            return
        except OSError as error:
            device.reply_error(request.unique, error.errno or errno.EIO)
        except BaseException:
            LOG.exception("a bug between the kernel and the operations")
            device.reply_error(request.unique, errno.EIO)
        else:
            device.reply(request.unique, *parts)
        finally:
            self._in_progress.end(request)
