"""The meta-server's program: `dfs-meta` with a configuration, `metaserver.py PORT` with the original arguments.

Reads arguments and the configuration, and hands over to dfs/cli/meta_serving.py; runs in the foreground until SIGTERM.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dfs.cli.arguments import make_parser, parse_port, run_program
from dfs.cli.configuration import add_config_option, open_config
from dfs.cli.meta_serving import run_meta_server
from dfs.cli.network_terms import NetworkTerms, network_terms
from dfs.core.config import MetricsConfig
from dfs.core.config_values import LogLevel
from dfs.core.errors import ExitCode
from dfs.meta.settings import LOG_BYTES, MetaSettings

PROGRAM: Final = "dfs-meta"
SCRIPT: Final = "metaserver.py"
STATE: Final = Path("dfs-state/meta")
"""Where the original command keeps its state, in the current folder."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the meta-server that the configuration describes, and return its exit status."""
    return run_program(PROGRAM, lambda: _run_configured(sys.argv[1:] if argv is None else argv))


def main_metaserver(argv: Sequence[str]) -> int:
    """Run a meta-server with the original arguments (R12), and return its exit status."""
    return run_program(SCRIPT, lambda: _run_original(argv))


def _run_configured(argv: Sequence[str]) -> int:
    parser = make_parser(PROGRAM, "Run the meta-server of a dfs file system in the foreground.")
    add_config_option(parser)
    parser.add_argument("--state", type=Path, metavar="DIR", help="state folder, instead of the configured one")
    parser.add_argument(
        "--accept-rollback",
        action="store_true",
        help="believe a state that was put back from a backup: what it does not know is removed from the data servers after a week",
    )
    options = parser.parse_args(argv)
    source = open_config(options.config)
    config = source.running
    settings = MetaSettings(
        name=config.cluster.name,
        block_size=config.cluster.block_size,
        data_servers=tuple(server.address for server in config.servers),
        accept_rollback=options.accept_rollback,
        exports=config.exports,
        log_bytes=LOG_BYTES,
    )
    folder = options.state or Path(config.meta.state)
    run_meta_server(
        program=PROGRAM,
        level=config.log.level,
        address=config.meta.address,
        folder=folder,
        settings=settings,
        network=network_terms(config),
        metrics=config.metrics,
        source=source,
    )
    return ExitCode.DONE


def _run_original(argv: Sequence[str]) -> int:
    parser = make_parser(
        SCRIPT,
        "Run the meta-server of a dfs file system on loopback, in the foreground.",
        "It learns of its data servers from the first mount.",
    )
    parser.add_argument("port", type=parse_port, metavar="PORT", help="where to listen")
    parser.add_argument("--state", type=Path, default=STATE, metavar="DIR", help=f"state folder (default: ./{STATE})")
    options = parser.parse_args(argv)
    run_meta_server(
        program=SCRIPT,
        level=LogLevel.INFO,
        address=f"127.0.0.1:{options.port}",
        folder=options.state,
        settings=MetaSettings(log_bytes=LOG_BYTES),
        network=NetworkTerms(),
        metrics=MetricsConfig(),
    )
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
