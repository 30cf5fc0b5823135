"""What can be chosen about a mount, whichever channel to the kernel serves it.

Made by dfs/cli/mount_plan.py, read by mounting.py and by the channels.
"""

from __future__ import annotations

from dataclasses import dataclass

from dfs.fusefs.operation_context import HARD, OperationTerms


@dataclass(frozen=True, slots=True)
class MountOptions:
    """What can be chosen about a mount."""

    source: str
    """What `mount` and `df` show as device."""
    allow_other: bool
    """Whether other users than the one who mounts may use it."""
    flags: tuple[str, ...] = ()
    """Options of mount(8) that the kernel minds: "ro", "noexec", ... Without "suid" and "dev" it honours neither."""
    is_freed_on_crash: bool = False
    """Whether the mount point is freed when this process dies, rather than left to answer with errors."""
    takes_over: bool = False
    """Whether the mount point is this file system's whatever has come upon it: what a dead client left there is taken away at the
    last moment, so that nobody writes below it, and what somebody wrote there all the same is hidden and told.
    """
    terms: OperationTerms = HARD
    shutdown_grace_s: float = 0.0
    """How long operations in progress may go on when the mount or the machine is told to end."""
