"""`dfsctl`: looking at a cluster and its disks. Reads arguments and hands over to one module per subcommand; changes nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dfs.cli.arguments import make_parser, parse_address, run_program
from dfs.cli.configuration import add_config_option, read_config
from dfs.cli.dump_strip import dump_strip
from dfs.cli.status import ANSWER_TIMEOUT_S, ask_cluster, to_json, to_text
from dfs.cli.wiring import connect_data_servers, connect_meta
from dfs.core.interfaces import PlainContext

PROGRAM: Final = "dfsctl"
EPILOG: Final = """\
Exit status of status: 0 healthy, 1 degraded, 2 data at risk (two neighbouring servers are not healthy), 5 the
meta-server does not answer. Of dump-strip: 0 everything verifies, 1 something does not. Both: 2 wrong usage,
3 wrong configuration."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run dfsctl and return its exit status."""
    return run_program(PROGRAM, lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    parser = make_parser(PROGRAM, "Look at a dfs cluster and its disks.", EPILOG)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="how the cluster is doing", allow_abbrev=False)
    where = status.add_mutually_exclusive_group()
    add_config_option(where)
    where.add_argument("--meta", type=parse_address, metavar="HOST:PORT", help="the meta-server, without a configuration")
    status.add_argument("--json", action="store_true", help="for programs: one JSON object")
    dump = commands.add_parser("dump-strip", help="what a strip file on a data server's disk says", allow_abbrev=False)
    dump.add_argument("file", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    return _status(options) if options.command == "status" else dump_strip(options.file)


def _status(options: argparse.Namespace) -> int:
    address: str = options.meta or read_config(options.config).meta.address
    meta, servers = connect_meta(address, ANSWER_TIMEOUT_S), connect_data_servers(ANSWER_TIMEOUT_S)
    report = ask_cluster(PlainContext(), address, meta, servers)
    print(to_json(report) if options.json else to_text(report))
    return report.health()


if __name__ == "__main__":
    sys.exit(main())
