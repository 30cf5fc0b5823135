"""`make bench-peers`: measures dfs with two and four data servers and two block sizes beside MooseFS, GlusterFS and the null
file system, all with two copies of everything, on this machine's loopback.

Installs the peers if they are absent and runs everything in namespaces of its own, see namespace.py. Where that can't be done it
says why in one line and ends with status 0.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.bench import namespace
from tests.bench.peers.options import NO_PEERS, parse
from tests.bench.peers.packages import install_absent
from tests.bench.peers.rounds import compare


def main(argv: Sequence[str]) -> int:
    """Measure and print; the exit status does not judge."""
    options = parse(argv)
    if options.inside is not None:
        return compare(options, options.inside)
    reason = namespace.why_impossible()
    if reason:
        print(f"nothing is measured: {reason}")
        return 0
    usable: list[str] = []
    for peer in options.peers:
        reason = install_absent(peer)
        if reason:
            print(f"without {peer}: {reason}", flush=True)
        else:
            usable.append(peer)
    if options.peers and not usable:
        print("nothing is measured: there is none of the peers here")
        return 0
    peers = ",".join(usable) or NO_PEERS
    return namespace.run_module_inside(__package__, [*argv, "--peers", peers], options.folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
