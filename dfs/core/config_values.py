"""Reading one value of the configuration: its text in, the value out, or Unfit with what was expected (pure).

Called through the keys of dfs/core/config.py; show_value writes a value as it stands in the file. What exports say is read by
dfs/core/exports.py.
"""

from __future__ import annotations

import enum
import ipaddress
import posixpath
import re
from collections.abc import Callable
from typing import Final

from dfs.core.limits import BLOCK_SIZES
from dfs.core.unfit import Unfit

NETWORKS_MAX: Final = 64
NO_NETWORKS: Final = "none"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LABEL: Final = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME: Final = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_ANY_HOST: Final = "0.0.0.0"
_DECIMAL: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class LogLevel(enum.StrEnum):
    """The least important messages that are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class FuseChannel(enum.StrEnum):
    """Through what a mount talks with the kernel."""

    FUSEPY = "fusepy"
    """The module fusepy, over libfuse 2."""
    OWN = "own"
    """/dev/fuse itself."""


def parse_name(text: str) -> str:
    """Return a name that is safe in messages, unit names and file names."""
    if not _NAME.fullmatch(text):
        raise Unfit("1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit")
    return text


def parse_block_size(text: str) -> int:
    """Return a block size in bytes."""
    low, high = BLOCK_SIZES
    size = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
    if not low <= size <= high or size & (size - 1):
        raise Unfit(f"a power of two from {low} to {high} (bytes)")
    return size


def parse_address(text: str) -> str:
    """Return host:port, where the host is an IPv4 address or a name that this machine can look up."""
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535 or not is_host(host):
        raise Unfit("HOST:PORT with an IPv4 address or a host name, and a port from 1 to 65535")
    if host == _ANY_HOST:
        raise Unfit(f"the address at which the others reach this server, not {_ANY_HOST}")
    return f"{host}:{int(port)}"


def is_host(text: str) -> bool:
    """Tell whether `text` is an IPv4 address or could be the name of a host."""
    if re.fullmatch(r"[0-9.]+", text) is None:
        return _HOST_NAME.fullmatch(text) is not None
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def parse_folder(text: str) -> str:
    """Return the absolute path of a folder, without a slash at its end."""
    if not text.startswith("/"):
        raise Unfit("the absolute path of a folder")
    return "/" + posixpath.normpath(text).strip("/")


def parse_file(text: str) -> str:
    """Return the absolute path of a file, or nothing."""
    if text and (not text.startswith("/") or text.endswith("/")):
        raise Unfit("the absolute path of a file, or nothing")
    return "/" + posixpath.normpath(text).strip("/") if text else ""


def parse_yes_no(text: str) -> bool:
    """Return True for yes and False for no."""
    if text not in ("yes", "no"):
        raise Unfit("yes or no")
    return text == "yes"


def number_up_to(largest: float, what: str) -> Callable[[str], float]:
    """Return what reads a number of `what`, such as seconds, from 0 to `largest`."""

    def parse(text: str) -> float:
        if not _DECIMAL.fullmatch(text) or float(text) > largest:
            raise Unfit(f"a number of {what} from 0 to {largest:.0f}")
        return float(text)

    return parse


def parse_networks(text: str) -> str:
    """Return networks as ipaddress writes them, with ", " between, or NO_NETWORKS."""
    if text == NO_NETWORKS:
        return text
    try:
        networks = [str(ipaddress.ip_network(word.strip())) for word in text.split(",", NETWORKS_MAX)]
    except ValueError:
        networks = []
    if not 0 < len(networks) <= NETWORKS_MAX:
        raise Unfit(f"none, or at most {NETWORKS_MAX} networks such as 10.0.0.0/8, with commas between")
    return ", ".join(networks)


def parse_fuse_channel(text: str) -> FuseChannel:
    """Return a channel to the kernel."""
    try:
        return FuseChannel(text)
    except ValueError:
        raise Unfit(f"one of {', '.join(FuseChannel)}") from None


def parse_level(text: str) -> LogLevel:
    """Return a log level."""
    try:
        return LogLevel(text)
    except ValueError:
        raise Unfit(f"one of {', '.join(LogLevel)}") from None


def show_value(value: object) -> str:
    """Return a value as it is written in the file."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)
