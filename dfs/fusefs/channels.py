"""The choice between the channels to the kernel (decision record 26). Called by dfs/cli/mount.py."""

from __future__ import annotations

from dfs.core.config_values import FuseChannel
from dfs.fusefs.binding import load_binding
from dfs.fusefs.channel.own_channel import OwnChannel
from dfs.fusefs.libfuse_channel import LibfuseChannel
from dfs.fusefs.serving import Channel


def open_channel(kind: FuseChannel) -> Channel:
    """Return a channel for one mount. Raises: StartError if what it needs is not installed."""
    return OwnChannel() if kind is FuseChannel.OWN else LibfuseChannel(load_binding())
