"""host:port, read and looked up in one place. Called by server.py and pool.py."""

from __future__ import annotations

import socket
from typing import Any

from dfs.core.errors import BadRequest


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of "host:port" ("[::1]:9000" for IPv6). Raises: BadRequest."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadRequest(f"address: expected host:port, got {address!r}"[:160])
    return host, int(port)


def resolve(address: str) -> tuple[socket.AddressFamily, Any]:
    """Return family and socket address of "host:port". A host that is a name may be asked of a name server.

    Raises: BadRequest if it is no address; OSError if the name is unknown.
    """
    host, port = split_address(address)
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except UnicodeError as error:  # an empty or overlong label
        raise BadRequest(f"address: expected host:port, got {address!r}: {error}"[:160]) from error
    return family, place


def join_address(host: str, port: int) -> str:
    """Return "host:port"."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
