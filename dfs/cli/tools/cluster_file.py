"""`dfsctl init`: which servers a cluster has, written beside the configuration file, never into it.

Owns the drop-in 10-cluster.conf. Promises: what it writes is a configuration that every program accepts, there whole or not at all;
a drop-in that says something else is replaced only when asked. The file itself stays as the package or the administrator left it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dfs.cli.arguments import parse_address
from dfs.cli.configuration import drop_in_folder, find_drop_ins, read_text
from dfs.core.config import Config
from dfs.core.config_file import ConfigText, parse_config
from dfs.core.limits import SERVERS_MAX, SERVERS_MIN
from dfs.core.start_errors import ConfigError, StateError, UsageError

NAME: Final = "10-cluster.conf"
_MODE: Final = 0o644
"""Users who mount read it too."""


def parse_servers(text: str) -> tuple[str, ...]:
    """Return the addresses in HOST:PORT,HOST:PORT,...; the `type=` of --servers. Raises: UsageError."""
    addresses = tuple(parse_address(part) for part in text.split(","))
    if not SERVERS_MIN <= len(addresses) <= SERVERS_MAX:
        raise UsageError(expected=f"{SERVERS_MIN} to {SERVERS_MAX} data servers", got=str(len(addresses)))
    return addresses


def write_cluster(path: Path, servers: Sequence[str], *, meta: str | None, name: str | None, force: bool) -> str:
    """Write the drop-in of the configuration file `path`; return in words what came of it.

    Arguments: host:port of the data servers in order of index, of the meta-server, and the cluster's name (None: as configured
    otherwise); `force`: replace a drop-in that says something else.
    Raises: ConfigError if all files together would be wrong or say something else; UsageError; StateError.
    """
    target = drop_in_folder(path) / NAME
    text = _to_text(servers, meta, name)
    config = _config_with(path, target, text)
    if tuple(server.address for server in config.servers) != tuple(servers):
        found = ", ".join(server.address for server in config.servers)
        raise ConfigError(f"the data servers {', '.join(servers)}", f"{found} with what the other files say", str(target))
    summary = f"meta-server at {config.meta.address}, {len(servers)} data servers"
    if target.exists():
        if read_text(target).text == text:
            return f"{target} says so already: {summary}"
        if not force:
            raise UsageError(f"a cluster that is not described yet, or --force to replace {target}", "another description")
    try:
        _write(target, text)
    except OSError as error:
        raise StateError(f"to write {target}", error.strerror or str(error)) from error
    return f"wrote {target}: {summary}"


def _to_text(servers: Sequence[str], meta: str | None, name: str | None) -> str:
    """Return what the drop-in says."""
    parts = ["# Written by dfsctl init. Files that come later in this folder have the last word."]
    if name is not None:
        parts.append(f"[cluster]\nname = {name}")
    if meta is not None:
        parts.append(f"[meta]\naddress = {meta}")
    parts += [f"[data:{index}]\naddress = {address}" for index, address in enumerate(servers)]
    return "\n\n".join(parts) + "\n"


def _config_with(path: Path, target: Path, text: str) -> Config:
    """Return what all files would mean together. Raises: ConfigError."""
    others = [drop_in for drop_in in find_drop_ins(path) if drop_in != target]
    texts = [ConfigText(text, str(target)) if file == target else read_text(file) for file in sorted([*others, target])]
    return parse_config(*read_text(path), texts)


def _write(target: Path, text: str) -> None:
    """Put a file there whole. The temporary one has no name that is read as a drop-in. Raises: OSError."""
    from dfs.cli.tools.backup import sync_folder

    target.parent.mkdir(exist_ok=True)
    temporary = target.with_name(f".{target.name}.part")
    with temporary.open("w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), _MODE)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, target)
    sync_folder(target.parent)
