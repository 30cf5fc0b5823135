"""A data server's program: `dfs-data INDEX` with a configuration, `dataserver.py INDEX PORT...` with the original arguments.

Reads arguments and the configuration, and hands over to dfs/cli/data_serving.py; runs in the foreground until SIGTERM.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dfs.cli.arguments import check_data_ports, check_index, make_parser, parse_index, parse_port, run_program
from dfs.cli.configuration import add_config_option, config_path, open_config
from dfs.cli.data_serving import run_data_server
from dfs.cli.network_terms import NetworkTerms, network_terms
from dfs.core.config import MetricsConfig
from dfs.core.config_values import LogLevel
from dfs.core.errors import ExitCode
from dfs.data.settings import SCRUB_BYTES_PER_S

PROGRAM: Final = "dfs-data"
SCRIPT: Final = "dataserver.py"
STATE: Final = "dfs-state/data-{index}"
"""Where the original command keeps its state, in the current folder."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the data servers that the configuration describes, and return its exit status."""
    return run_program(PROGRAM, lambda: _run_configured(sys.argv[1:] if argv is None else argv))


def main_dataserver(argv: Sequence[str]) -> int:
    """Run a data server with the original arguments (R12), and return its exit status."""
    return run_program(SCRIPT, lambda: _run_original(argv))


def _run_configured(argv: Sequence[str]) -> int:
    parser = make_parser(PROGRAM, "Run one data server of a dfs file system in the foreground.")
    parser.add_argument("index", type=parse_index, metavar="INDEX", help="which of the configured data servers, from 0")
    add_config_option(parser)
    options = parser.parse_args(argv)
    source = open_config(options.config)
    config = source.running
    check_index(options.index, len(config.servers), f"the {len(config.servers)} data servers in {config_path(options.config)}")
    server = config.servers[options.index]
    run_data_server(
        program=PROGRAM,
        level=config.log.level,
        index=options.index,
        addresses=[each.address for each in config.servers],
        folder=Path(server.state),
        require_mount=config.data.require_mount,
        scrub_bytes_per_s=config.data.scrub_bytes_per_s,
        network=network_terms(config),
        metrics=config.metrics,
        source=source,
    )
    return ExitCode.DONE


def _run_original(argv: Sequence[str]) -> int:
    parser = make_parser(SCRIPT, "Run one data server of a dfs file system on loopback, in the foreground.")
    parser.add_argument("index", type=parse_index, metavar="INDEX", help="which of the ports is this server's, counted from 0")
    parser.add_argument("ports", type=parse_port, nargs="+", metavar="PORT", help="ports of all data servers, in order of index")
    state = STATE.format(index="INDEX")
    parser.add_argument("--state", type=Path, metavar="DIR", help=f"state folder (default: ./{state})")
    options = parser.parse_args(argv)
    ports = check_data_ports(options.ports)
    check_index(options.index, len(ports), f"{len(ports)} ports")
    run_data_server(
        program=SCRIPT,
        level=LogLevel.INFO,
        index=options.index,
        addresses=[f"127.0.0.1:{port}" for port in ports],
        folder=options.state or Path(STATE.format(index=options.index)),
        require_mount=False,
        scrub_bytes_per_s=SCRUB_BYTES_PER_S,
        network=NetworkTerms(),
        metrics=MetricsConfig(),
    )
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
