"""Start a program from a bare checkout, by whichever Python ran the script.

Owns the way from a file in scripts/ to a main function in dfs/cli. The checkout goes onto sys.path; if this Python lacks
a package and the checkout's virtual environment (./.venv, or $VENV) exists, the script is run again by the one in there.
It uses nothing but the standard library and has to be readable by a Python that is too old for dfs.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON_MIN = (3, 11)
WANTED = (("systemd",), ("pybase64",), ("isal",))
"""Packages that dfs does without, if the environment has none either; each tuple names alternatives."""


def run(module: str, function: str, needs: Sequence[tuple[str, ...]] = ()) -> NoReturn:
    """Call `function` of `module` with the script's arguments and end the process with its result.

    Arguments: needs: packages without which the program can't work, each a tuple of alternative module names.
    """
    if lacks((*needs, *WANTED)):
        run_again_in_environment()
    lacking = lacks(needs)
    if lacking:
        program = os.path.basename(sys.argv[0])
        sys.exit(f"{program}: expected {lacking}, got Python {sys.version.split()[0]} without it; `make up` installs it")
    sys.path.insert(0, CHECKOUT)
    # Ctrl-C while modules are loaded ends the program as it ends any other, without a traceback.
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL) if signal.getsignal(signal.SIGINT) != signal.SIG_IGN else signal.SIG_IGN
    program = getattr(importlib.import_module(module), function)
    signal.signal(signal.SIGINT, handler)
    sys.exit(program(sys.argv[1:]))


def lacks(needs: Sequence[tuple[str, ...]]) -> str:
    """Return what this Python lacks, in words, or an empty string."""
    if sys.version_info < PYTHON_MIN:
        return "Python {}.{} or newer".format(*PYTHON_MIN)
    for names in needs:
        if not any(importlib.util.find_spec(name) for name in names):
            return "the Python package " + " or ".join(names)
    return ""


def run_again_in_environment() -> None:
    """Replace this process by the same script under the environment's Python; returns if there is none, or it is this one."""
    environment = os.path.join(CHECKOUT, os.environ.get("VENV") or ".venv")
    python = os.path.join(environment, "bin", "python")
    if os.path.realpath(sys.prefix) != os.path.realpath(environment) and os.access(python, os.X_OK):
        os.execv(python, [python, *sys.argv])
