"""How mount(8) and systemd call a mount helper: SOURCE DIR [-sfnvrw] [-N NAMESPACE] [-t TYPE] [-o OPTIONS] (pure).

Owns the reading of that command line and nothing of what the options mean but `remount`, which is another errand. Called by
dfs/cli/mount_helper/program.py.
"""

from __future__ import annotations

import getopt
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dfs.cli.mount_helper.options import split_options
from dfs.core.start_errors import UsageError

USAGE: Final = "mount.dfs SOURCE DIR [-sfnvrw] [-o OPTIONS], as mount(8) calls it; see mount.dfs(8)"
REMOUNT: Final = "remount"


@dataclass(frozen=True, slots=True)
class HelperCall:
    """What the helper is asked for."""

    source: str
    folder: bytes
    words: tuple[str, ...]
    """The options, `remount` not among them."""
    is_remount: bool = False
    is_sloppy: bool = False
    """-s: leave out options that nobody knows."""
    is_fake: bool = False
    """-f: do nothing."""
    is_verbose: bool = False


def parse_helper_call(argv: Sequence[str]) -> HelperCall:
    """Return what a command line asks for. Raises: UsageError."""
    try:
        given, arguments = getopt.gnu_getopt(list(argv), "sfnvrwo:t:N:")
    except getopt.GetoptError as error:
        raise UsageError(expected=USAGE, got=str(error)) from error
    if len(arguments) != 2 or not all(arguments):
        raise UsageError(expected=USAGE, got=f"{len(arguments)} arguments")
    letters = {letter for letter, _ in given}
    words = [word for letter, value in given for word in _words(letter, value)]
    return HelperCall(
        source=arguments[0],
        folder=os.fsencode(arguments[1]),
        words=tuple(word for word in words if word != REMOUNT),
        is_remount=REMOUNT in words,
        is_sloppy="-s" in letters,
        is_fake="-f" in letters,
        is_verbose="-v" in letters,
    )


def _words(letter: str, value: str) -> list[str]:
    if letter == "-o":
        return split_options(value)
    return {"-r": ["ro"], "-w": ["rw"]}.get(letter, [])
