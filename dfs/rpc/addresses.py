"""host:port, read in one place. Called by server.py and pool.py."""

from __future__ import annotations

from dfs.core.errors import BadRequest


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of "host:port" ("[::1]:9000" for IPv6). Raises: BadRequest."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadRequest(f"address: expected host:port, got {address!r}"[:160])
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """Return "host:port"."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
