"""`dfs-inhibit`: delays shutdowns of this machine while it has the only good copy of something, until SIGTERM.

Reads arguments and the configuration and puts the parts together. Run by dfs-inhibit.service, as root: logind gives such locks to
root without asking a policy (decision record 23).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from dfs.cli.arguments import make_parser, run_program
from dfs.cli.configuration import add_config_option, open_config
from dfs.cli.inhibit.cluster_look import ClusterLook
from dfs.cli.inhibit.login import Login
from dfs.cli.inhibit.only_copies import describe
from dfs.cli.inhibit.watch import ShutdownWatch
from dfs.cli.network_terms import network_terms
from dfs.cli.reloading import Reloading
from dfs.cli.tools.connections import connect_data_servers
from dfs.core.errors import ExitCode
from dfs.host.clock import SystemClock
from dfs.host.journal import JournalEvents, setup_logging
from dfs.host.service import run_service
from dfs.host.tasks import ThreadTasks

PROGRAM: Final = "dfs-inhibit"
ANSWER_TIMEOUT_S: Final = 3.0
"""A data server that has not answered by then is taken to be away."""
SECTIONS: Final = ("shutdown", "log")
"""The sections of the configuration that concern this program, besides those of the single data servers."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the watch and return its exit status."""
    return run_program(PROGRAM, lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    parser = make_parser(PROGRAM, "Delay shutdowns of this machine while it has the only good copy of something.")
    add_config_option(parser)
    source = open_config(parser.parse_args(argv).config)
    config = source.running
    setup_logging(config.log.level, PROGRAM)
    cluster = ClusterLook(
        connect_data_servers(ANSWER_TIMEOUT_S, network_terms(config)), [server.address for server in config.servers]
    )
    watch = ShutdownWatch(
        look=lambda ctx: describe(cluster.look(ctx)),
        lock=Login(),
        inhibit_s_max=config.shutdown.inhibit_max,
        clock=SystemClock(),
        tasks=ThreadTasks(),
        events=JournalEvents(),
    )
    reloading = Reloading(
        read=source.read,
        running=config,
        sections=SECTIONS,
        apply=lambda changed: watch.set_max(changed.shutdown.inhibit_max),
        events=JournalEvents(),
    )
    run_service(
        service=watch,
        what="watching over shutdowns of this machine",
        open_for_requests=_nothing,
        close_for_requests=_nothing,
        events=JournalEvents(),
        reload=reloading.reload,
    )
    return ExitCode.DONE


def _nothing() -> None:
    """Nobody calls this program."""


if __name__ == "__main__":
    sys.exit(main())
