"""The mount helper, `mount.dfs` and `mount.fuse.dfs`: what mount(8), fstab and systemd call.

Owns mount(8)'s exit codes and the order of steps: read the command line, refuse what is wrong before anything happens, then
remount, or have the client started and return when its mount is live. Writes one line on standard error when it fails.
"""

from __future__ import annotations

import enum
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from dfs.cli.end_report import one_line
from dfs.cli.mount_helper.command_line import HelperCall, parse_helper_call
from dfs.cli.mount_helper.hand_over import can_hand_over, hand_over, is_asked_by_systemd
from dfs.cli.mount_helper.in_place import mount_in_place
from dfs.cli.mount_helper.options import is_for_others, is_known, parse_options
from dfs.cli.mount_helper.parameters import MountParameters
from dfs.cli.mount_helper.remount import OF_THE_LIST, remount
from dfs.cli.mount_helper.unit_names import mount_unit
from dfs.cli.mount_plan import MountPlan, plan_source
from dfs.core.errors import DfsError, ExitCode
from dfs.core.start_errors import MountPointError, UsageError
from dfs.fusefs.mount_point import check_mount_point, is_automount, resolve_point, show

PROGRAM: Final = "mount.dfs"


class MountCode(enum.IntEnum):
    """Exit status, as mount(8) documents it for itself and its helpers."""

    DONE = 0
    USAGE = 1
    SYSTEM = 2
    BUG = 4
    INTERRUPTED = 8
    FAILED = 32


def main(argv: Sequence[str] | None = None) -> int:
    """Mount as mount(8) asks, and return its exit status."""
    try:
        return carry_out(parse_helper_call(sys.argv[1:] if argv is None else argv))
    except UsageError as error:
        return _tell(str(error), MountCode.USAGE)
    except DfsError as error:
        return _tell(str(error), MountCode.FAILED)
    except OSError as error:
        return _tell(str(error), MountCode.SYSTEM)
    except KeyboardInterrupt:
        return _tell("interrupted", MountCode.INTERRUPTED)
    except Exception as bug:  # noqa: BLE001 - the top of the program: a bug is shown whole, with mount(8)'s exit code
        traceback.print_exc()
        return _tell(f"a bug: {bug!r}", MountCode.BUG)


def carry_out(call: HelperCall) -> MountCode:
    """Do what a call asks for. Raises: DfsError; OSError; KeyboardInterrupt."""
    minded = [word for word in call.words if not (call.is_remount and word.startswith(OF_THE_LIST))]
    wishes = parse_options(minded, sloppy=call.is_sloppy)
    if call.is_fake:
        return MountCode.DONE
    if call.is_remount:
        remount(resolve_point(call.folder), call.words)
        return MountCode.DONE
    plan = replace(plan_source(call.source, resolve_point(call.folder), wishes), program=PROGRAM)
    if call.is_verbose:
        print(f"{PROGRAM}: {call.source} on {show(plan.mount_point)} ({','.join(call.words)})")
    if is_automount(plan.mount_point):
        return _outcome(mount_in_place(_prepare_automount(plan)))
    # What a program wrote below an fstab's mount while it was away must not keep it away for ever.
    check_mount_point(plan.mount_point, may_hold_files=is_asked_by_systemd())
    if not can_hand_over(plan.mount_point):
        return _outcome(mount_in_place(plan))
    # What this helper leaves out, the service must not meet.
    words = [word for word in call.words if is_known(word) and not is_for_others(word)]
    hand_over(plan.mount_point, MountParameters(call.source, tuple(words)), keeps_trying=is_asked_by_systemd())
    return MountCode.DONE


def _prepare_automount(plan: MountPlan) -> MountPlan:
    """Return the plan for a mount where an automount waits: by this process, for whoever else looks there makes systemd mount it,
    and waits for that. Raises: MountPointError if this process is none that may look.
    """
    if not is_asked_by_systemd():
        got = f"an automount, which mounts on first access or by `systemctl start {mount_unit(plan.mount_point)}`"
        raise MountPointError(expected=f"a mount point that is free at {show(plan.mount_point)}", got=got)
    check_mount_point(plan.mount_point)
    # An automount does not mount again over one that is dead.
    return replace(plan, is_freed_on_crash=True)


def _outcome(code: int) -> MountCode:
    """Return mount(8)'s code for the client's, which has told already what is wrong."""
    return {ExitCode.DONE: MountCode.DONE, ExitCode.USAGE: MountCode.USAGE}.get(ExitCode(code), MountCode.FAILED)


def _tell(message: str, code: MountCode) -> MountCode:
    print(f"{PROGRAM}: {one_line(message)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
