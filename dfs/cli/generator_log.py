"""How a generator of units warns the administrator: it runs before there is any journal but the kernel's log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

_WARNING: Final = "<4>"
"""Priority of a line in the kernel's log."""


def warn(program: str, text: str) -> None:
    """Tell the administrator, on standard error where the kernel's log can't be written."""
    try:
        Path("/dev/kmsg").write_text(f"{_WARNING}{program}: {text}\n")
    except OSError:
        print(f"{program}: {text}", file=sys.stderr)
