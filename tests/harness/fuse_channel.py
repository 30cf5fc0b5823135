"""Which channel to the kernel the mounts of a test run use: `DFS_TEST_CHANNEL=fusepy python -m pytest tests/fuse`."""

from __future__ import annotations

import os

from dfs.core.config import MountConfig
from dfs.core.config_values import FuseChannel, parse_fuse_channel

VARIABLE = "DFS_TEST_CHANNEL"


def chosen_channel() -> FuseChannel:
    """Return it; without a choice the one that is the default of dfs."""
    return parse_fuse_channel(os.environ.get(VARIABLE, MountConfig().fuse_channel))
