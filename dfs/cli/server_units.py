"""systemd's generator for the servers' units: what the configuration says of addresses and state folders, said to systemd too.

Run by systemd at boot and at every daemon-reload, before any unit is loaded. The units of the package know the default address and
the default state folders. For others this writes drop-ins: the meta-server's socket listens at the configured address; a server may
write to its state folder and waits for the disk there; one that other machines reach waits for the network. It never fails a boot:
a configuration that is wrong is the servers' own to explain.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from dfs.cli.configuration import read_config
from dfs.cli.generator_log import warn
from dfs.core.config import Config, MetaConfig, default_server
from dfs.core.start_errors import ConfigError

PROGRAM: Final = "dfs-server-generator"
DROP_IN: Final = "50-dfs.conf"
HOSTS: Final = Path("/etc/hosts")
META: Final = "dfs-meta"
_HEADING: Final = f"# Written by {PROGRAM} from /etc/dfs/dfs.conf and its drop-ins.\n"
_NEVER: Final = "[Unit]\nConditionPathExists=!/\n"
_ON_NETWORK: Final = "Wants=network-online.target\nAfter=network-online.target\n"


def main(argv: Sequence[str] | None = None, config_file: Path | None = None, hosts: Path = HOSTS) -> int:
    """Write the drop-ins into the folder that systemd names, and return the exit status."""
    folders = sys.argv[1:] if argv is None else argv
    if len(folders) not in (1, 3):
        print(f"{PROGRAM}: expected NORMAL-DIR [EARLY-DIR LATE-DIR], got {len(folders)} arguments", file=sys.stderr)
        return 2
    try:
        config = read_config(config_file)
    except ConfigError as error:
        warn(PROGRAM, str(error))
        return 0
    for unit, text in drop_ins(config, _read_hosts(hosts)).items():
        folder = Path(folders[0]) / f"{unit}.d"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DROP_IN).write_text(_HEADING + text)
    return 0


def drop_ins(config: Config, hosts: Mapping[str, str]) -> dict[str, str]:
    """Return what has to be said of each unit for which the package's own words are not enough: unit -> text of the drop-in.

    `hosts`: addresses of the host names that can be known before there is a network.
    """
    found = {
        f"{META}.socket": _socket(config.meta.address, hosts),
        f"{META}.service": _service(config.meta.address, config.meta.state, MetaConfig().state),
    }
    for server in config.servers:
        found[f"dfs-data@{server.index}.service"] = _service(server.address, server.state, default_server(server.index).state)
    return {unit: text for unit, text in found.items() if text}


def _socket(address: str, hosts: Mapping[str, str]) -> str:
    """Return what the socket must be told. A name that only a name server knows is left to the service, which starts later."""
    if address == MetaConfig().address:
        return ""
    host, _, port = address.rpartition(":")
    numeric = host if _is_numeric(host) else hosts.get(host.lower())
    if numeric is None:
        return _NEVER
    return f"[Socket]\nListenStream=\nListenStream={numeric}:{port}\nFreeBind=yes\n"


def _service(address: str, state: str, default_state: str) -> str:
    """Return what a server's service must be told."""
    host = address.rpartition(":")[0]
    unit = "" if host == "localhost" or (_is_numeric(host) and ipaddress.ip_address(host).is_loopback) else _ON_NETWORK
    service = ""
    if state != default_state:
        unit += f"RequiresMountsFor={_quote(state)}\n"
        service = f"[Service]\nReadWritePaths={_quote(state)}\n"
    return (f"[Unit]\n{unit}" if unit else "") + service


def _is_numeric(host: str) -> bool:
    return host.replace(".", "").isdigit()


def _quote(path: str) -> str:
    """Return a path as one word of a unit file (systemd.syntax(7))."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def _read_hosts(file: Path) -> dict[str, str]:
    """Return the IPv4 addresses in a hosts(5) file by name; the first line that has a name counts."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        lines = []  # then every name is one that only a name server knows
    found = {"localhost": "127.0.0.1"}
    for name, address in _host_names(lines):
        found.setdefault(name, address)
    return found


def _host_names(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        address, *names = line.partition("#")[0].split() or [""]
        if _is_numeric(address) and address:
            yield from ((name.lower(), address) for name in names)


if __name__ == "__main__":
    sys.exit(main())
