"""Who is at the other end of a connection, as far as it was proved.

Made where a request arrives (dfs/rpc), carried in the caller of its context, judged by whoever grants something: exports, and
which methods it may call.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class PeerKind(enum.StrEnum):
    """What a peer was shown to be. A role is something else: which replica a data server holds."""

    META = "meta"
    DATA = "data"
    ADMIN = "admin"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Peer:
    """The default is this very process: a service's own work, and what tests call directly."""

    host: str = ""
    """The address that it connects from; empty: this process."""
    kind: PeerKind | None = None
    """None: nothing was proved, as there is no key."""
    index: int = 0
    """Which data server it is."""
    name: str = ""
    """The client's name, where it was proved."""


THIS_PROCESS = Peer()
