"""`dfsctl diagnose`: what is wrong, ranked by harm, each with its evidence and the command that cures it.

Asks the servers, this machine's systemd and its journal; works with what is there, and says what is not. Changes nothing. Exit
status: 0 healthy, 1 something is wrong, 2 data can't be read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dfs.cli.diagnosis.cluster_source import look_at_cluster
from dfs.cli.diagnosis.findings import exit_code, to_json, to_text
from dfs.cli.diagnosis.journal_source import look_at_journal
from dfs.cli.diagnosis.judging import diagnose
from dfs.cli.diagnosis.observations import Observations
from dfs.cli.diagnosis.programs import Unseen
from dfs.cli.diagnosis.unit_source import look_at_units
from dfs.core.interfaces import CallContext, Clock, DataServers, MetaApi
from dfs.core.start_errors import ConfigError

T = TypeVar("T")


Connect = Callable[[], tuple[str, MetaApi, DataServers]]
"""Returns the meta-server's address, and clients of it and of the data servers. Raises: ConfigError."""


def observe(ctx: CallContext, clock: Clock, connect: Connect) -> Observations:
    """Look at everything that can be seen from here; a wrong configuration, which hides the servers, is part of it."""
    unseen: list[str] = []
    cluster, config_trouble = None, ""
    try:
        cluster = look_at_cluster(ctx, clock, *connect())
    except ConfigError as error:
        config_trouble = str(error)
        unseen.append("the servers: without a configuration they are not known")

    def look(what: str, source: Callable[[], T]) -> T | None:
        try:
            return source()
        except Unseen as error:
            unseen.append(f"{what}: {error}")
            return None

    return Observations(
        cluster=cluster,
        units=look("the units of this machine (systemd does not run here, or is out of reach)", look_at_units),
        entries=look("the journal of this machine", look_at_journal),
        config_trouble=config_trouble,
        unseen=tuple(unseen),
    )


def show_diagnosis(seen: Observations, *, as_json: bool) -> int:
    """Print the findings and return the exit status."""
    ranked = diagnose(seen)
    print(to_json(ranked, seen.unseen) if as_json else to_text(ranked, seen.unseen))
    return exit_code(ranked)
