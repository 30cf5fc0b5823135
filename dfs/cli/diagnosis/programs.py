"""Running systemctl and journalctl: their output, or in one line why there is none."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Final

from dfs.core.start_errors import StartError

TIMEOUT_S: Final = 15.0


class Unseen(StartError):
    """A source can't be looked at here; `got` says why."""


def run(command: Sequence[str]) -> str:
    """Return what a program writes to standard output. Raises: Unseen if it is not there, fails, or takes too long."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise Unseen(f"{command[0]} to be there", "no such program") from error
    except subprocess.TimeoutExpired as error:
        raise Unseen(f"{command[0]} to end within {TIMEOUT_S:.0f} s", "no end") from error
    except OSError as error:
        raise Unseen(f"{command[0]} to run", error.strerror or str(error)) from error
    words = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if done.returncode != 0:
        raise Unseen(f"{command[0]} to work", words[0] if words else f"exit status {done.returncode}")
    if words and not done.stdout:  # journalctl without a journal ends with 0
        raise Unseen(f"{command[0]} to find something", words[0])
    return done.stdout.decode("utf-8", "surrogateescape")
