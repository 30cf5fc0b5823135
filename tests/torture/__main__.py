"""`make torture MINUTES=n SEED=n`: torment a cluster and tell what was done, what broke and what was lost.

Exit status: 0 nothing was lost, 1 something was. Runs itself again in a network namespace of its own, so that cutting servers off
disturbs nobody; ends all that it started.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.harness.leftovers import remove_leftovers
from tests.torture.campaign import run_campaign

INSIDE: Final = "DFS_TORTURE_INSIDE"
"""Set in the environment of the process that is in the namespace."""


def main(argv: Sequence[str]) -> int:
    """Run a campaign and return the exit status."""
    parser = argparse.ArgumentParser(prog="make torture", description="Break a cluster in every way while it is written to.")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31), help="default: a random one")
    parser.add_argument("--only", action="append", default=[], metavar="FAULT", help="a kind of fault; default: all")
    options = parser.parse_args(argv)
    if INSIDE not in os.environ:
        command = [sys.executable, "-m", "tests.torture", "--minutes", str(options.minutes), "--seed", str(options.seed)]
        command += [word for name in options.only for word in ("--only", name)]
        os.execvpe("unshare", ["unshare", "--net", *command], os.environ | {INSIDE: "1"})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended before its time"))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    print(f"seed {options.seed}, {options.minutes:g} minutes", flush=True)
    with tempfile.TemporaryDirectory(prefix="dfs-torture-") as folder:
        try:
            outcome = run_campaign(Path(folder), options.minutes, options.seed, frozenset(options.only))
        finally:
            left = remove_leftovers(Path(folder))
    print(outcome.report())
    if left:
        print("left behind: " + "; ".join(left))
    return 1 if outcome.losses or left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
