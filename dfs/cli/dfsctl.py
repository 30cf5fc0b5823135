"""`dfsctl`: looking at a cluster and its disks. Reads arguments and hands over to one module per subcommand.

Only accept-loss changes anything, and only if --yes says that its meaning was understood.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from dfs.cli import lost
from dfs.cli.arguments import make_parser, parse_address, run_program
from dfs.cli.configuration import add_config_option, read_config
from dfs.cli.dump_strip import dump_strip
from dfs.cli.status import ANSWER_TIMEOUT_S, ask_cluster, to_json, to_text
from dfs.cli.wiring import connect_data_servers, connect_meta
from dfs.core.errors import ExitCode
from dfs.core.interfaces import DataServers, MetaApi, PlainContext

PROGRAM: Final = "dfsctl"
EPILOG: Final = """\
Exit status of status: 0 healthy, 1 degraded, 2 data at risk (two neighbouring servers are not healthy). Of lost: 0 nothing
is lost, 1 something is. Of dump-strip: 0 everything verifies, 1 something does not. All: 2 wrong usage, 3 wrong
configuration, 5 a server that is needed does not answer."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run dfsctl and return its exit status."""
    return run_program(PROGRAM, lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    parser = make_parser(PROGRAM, "Look at a dfs cluster and its disks.", EPILOG)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="how the cluster is doing", allow_abbrev=False)
    _add_cluster(status, _status)
    status.add_argument("--json", action="store_true", help="for programs: one JSON object")
    listing = commands.add_parser("lost", help="which files have blocks of which no copy is left", allow_abbrev=False)
    _add_cluster(listing, _lost)
    listing.add_argument("--everywhere", action="store_true", help="look at every block, not only at those of two lost neighbours")
    listing.add_argument("--json", action="store_true", help="for programs: one JSON array")
    accept = commands.add_parser("accept-loss", help="let lost blocks read as never written", allow_abbrev=False)
    _add_cluster(accept, _accept_loss)
    accept.add_argument("--yes", action="store_true", required=True, help="yes: what `dfsctl lost` lists will read as zeros")
    dump = commands.add_parser("dump-strip", help="what a strip file on a data server's disk says", allow_abbrev=False)
    dump.add_argument("file", type=Path, metavar="FILE")
    dump.set_defaults(run=lambda options: dump_strip(options.file))
    options = parser.parse_args(argv)
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def _add_cluster(command: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    """Let a subcommand take --config or --meta, and name the function that runs it."""
    where = command.add_mutually_exclusive_group()
    add_config_option(where)
    where.add_argument("--meta", type=parse_address, metavar="HOST:PORT", help="the meta-server, without a configuration")
    command.set_defaults(run=run)


def _connect(options: argparse.Namespace) -> tuple[str, MetaApi, DataServers]:
    """Return the meta-server's address, and clients of it and of the data servers."""
    address: str = options.meta or read_config(options.config).meta.address
    return address, connect_meta(address, ANSWER_TIMEOUT_S), connect_data_servers(ANSWER_TIMEOUT_S)


def _status(options: argparse.Namespace) -> int:
    address, meta, servers = _connect(options)
    report = ask_cluster(PlainContext(), address, meta, servers)
    print(to_json(report) if options.json else to_text(report))
    return report.health()


def _lost(options: argparse.Namespace) -> int:
    _, meta, servers = _connect(options)
    found = []
    for file in lost.find_lost(PlainContext(), meta, servers, everywhere=options.everywhere):
        found.append(file)
        if not options.json:
            print(lost.to_text(file))
    if options.json:
        print(lost.to_json(found))
    return ExitCode.FAILED if found else ExitCode.DONE


def _accept_loss(options: argparse.Namespace) -> int:
    _, meta, servers = _connect(options)
    for server, identity in lost.accept_loss(PlainContext(), meta, servers).items():
        print(f"data server {server}: primary {identity.primary}, secondary {identity.secondary}")
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
