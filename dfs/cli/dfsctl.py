"""`dfsctl`: looking at a cluster and its disks. Reads arguments and hands over to one module per subcommand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from dfs.cli.arguments import make_parser, parse_address, run_program
from dfs.cli.configuration import add_config_option, read_config
from dfs.cli.dump_strip import dump_strip
from dfs.cli.ls_blocks import PREFIX, find_place, list_blocks, show
from dfs.cli.restore import restore_meta
from dfs.cli.status import ANSWER_TIMEOUT_S, ask_cluster, to_json, to_text
from dfs.cli.wiring import connect_data_servers, connect_meta
from dfs.core.errors import ExitCode
from dfs.core.interfaces import PlainContext

PROGRAM: Final = "dfsctl"
EPILOG: Final = """\
Exit status of status: 0 healthy, 1 degraded, 2 data at risk (two neighbouring servers are not healthy). Of ls-blocks: 0 both
copies of all blocks are good, 1 some are not. Of dump-strip: 0 everything verifies, 1 something does not. All: 2 wrong
usage, 3 wrong configuration, 5 the meta-server does not answer."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run dfsctl and return its exit status."""
    return run_program(PROGRAM, lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    parser = make_parser(PROGRAM, "Look at a dfs cluster and its disks.", EPILOG)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="how the cluster is doing", allow_abbrev=False)
    _add_where(status)
    status.add_argument("--json", action="store_true", help="for programs: one JSON object")
    blocks = commands.add_parser("ls-blocks", help="where a file's blocks are and whether they verify", allow_abbrev=False)
    blocks.add_argument("path", metavar="PATH", help=f"a file below a mount, or {PREFIX}PATH from the root of the file system")
    _add_where(blocks)
    blocks.add_argument("--json", action="store_true", help="for programs: one JSON array")
    dump = commands.add_parser("dump-strip", help="what a strip file on a data server's disk says", allow_abbrev=False)
    dump.add_argument("file", type=Path, metavar="FILE")
    meta = commands.add_parser("meta", help="what concerns the meta-server's state", allow_abbrev=False)
    restore = meta.add_subparsers(dest="meta_command", required=True, metavar="COMMAND").add_parser(
        "restore", help="bring the meta-server's state back into an empty state folder", allow_abbrev=False
    )
    restore.add_argument("--from-servers", action="store_true", required=True, help="from the newest snapshot on the data servers")
    restore.add_argument("--state", type=Path, metavar="DIR", help="state folder, instead of the configured one")
    add_config_option(restore)
    options = parser.parse_args(argv)
    run: dict[str, Callable[[argparse.Namespace], int]] = {
        "status": _status,
        "ls-blocks": _ls_blocks,
        "meta": _restore,
        "dump-strip": lambda options: dump_strip(options.file),
    }
    return run[options.command](options)


def _add_where(command: argparse.ArgumentParser) -> None:
    where = command.add_mutually_exclusive_group()
    add_config_option(where)
    where.add_argument("--meta", type=parse_address, metavar="HOST:PORT", help="the meta-server, without a configuration")


def _status(options: argparse.Namespace) -> int:
    address: str = options.meta or read_config(options.config).meta.address
    meta, servers = connect_meta(address, ANSWER_TIMEOUT_S), connect_data_servers(ANSWER_TIMEOUT_S)
    report = ask_cluster(PlainContext(), address, meta, servers)
    print(to_json(report) if options.json else to_text(report))
    return report.health()


def _ls_blocks(options: argparse.Namespace) -> int:
    place = find_place(options.path)
    address: str = (
        options.meta or (place.meta_address if options.config is None else "") or read_config(options.config).meta.address
    )
    meta, servers = connect_meta(address, ANSWER_TIMEOUT_S), connect_data_servers(ANSWER_TIMEOUT_S)
    return show(list_blocks(PlainContext(), place, meta, servers), as_json=options.json)


def _restore(options: argparse.Namespace) -> int:
    config = read_config(options.config)
    servers = connect_data_servers(ANSWER_TIMEOUT_S)
    addresses = [server.address for server in config.servers]
    for line in restore_meta(PlainContext(), options.state or Path(config.meta.state), addresses, servers):
        print(line)
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
