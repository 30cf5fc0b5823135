"""Capabilities: what a client shows to data servers so that they serve it blocks of one inode (decision record 22). Pure.

The meta-server, which knows who may do what, signs; data servers, which know of blocks only, verify; a client carries the text
about. Both servers derive the key from the cluster key, which clients do not have. The text:

    1:INO:RIGHTS:TICKET:ISSUED:MAC

All but MAC are decimal numbers: the version, the inode, the sum of `Right`s, the ticket under which blocks may be put (0: none) and
when it was signed, in seconds since 1970 on the meta-server's clock. MAC is the HMAC-SHA256, in hexadecimal, over what stands
before it and the name of the client, which is not in the text: who verifies uses the name that the caller has proved.
"""

from __future__ import annotations

import enum
import functools
import hmac
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from dfs.core.errors import CapabilityRefused
from dfs.core.ids import NO_TICKET, NUMBER_MAX, Ino, Ticket

LIFETIME_S: Final = 900
"""How long a capability to read counts."""
WRITE_LIFETIME_S: Final = 120
"""How long one to write counts. A mount that does not reach the meta-server stops writing sooner (LEASE_CLIENT_S), so that it gains
nothing by a longer time; and nothing but this ends what a client may put under a ticket that it has given back.
"""
SLACK_S: Final = 60
"""By how much the clocks of the servers may differ."""
_DERIVED: Final = b"dfs 1 capability key"
"""Begins as no label of dfs/core/keys.py does."""
KEYS_KEPT_MAX: Final = 8
_VERSION: Final = 1
_TEXT: Final = re.compile(r"1:([0-9]{1,13}):([0-7]):([0-9]{1,13}):([0-9]{1,11}):([0-9a-f]{64})", re.ASCII)

Keys = Callable[[], Sequence[bytes]]
"""The derived keys that count now, the newest first: two while the cluster key is replaced."""


class Right(enum.IntFlag):
    """What a capability lets its client do with an inode's blocks."""

    NONE = 0
    """Ask how many there are, and have them synced: what stat(2) and fsync(2) of any open file need."""
    READ = 1
    WRITE = 2
    """Put blocks under the ticket; includes READ, as a part of a block is written by reading the rest."""


class Capability(NamedTuple):
    """What the meta-server vouches for."""

    ino: Ino
    rights: Right
    ticket: Ticket
    issued_s: int

    def expires_s(self) -> int:
        """Return when it ends, in seconds since 1970."""
        return self.issued_s + (WRITE_LIFETIME_S if Right.WRITE in self.rights else LIFETIME_S)


@functools.lru_cache(KEYS_KEPT_MAX)
def capability_key(cluster_key: bytes) -> bytes:
    """Return the key of capabilities that belongs to a cluster key."""
    return hmac.digest(cluster_key, _DERIVED, "sha256")


def sign(capability: Capability, client: str, key: bytes) -> str:
    """Return the text of a capability for the client of that name."""
    text = f"{_VERSION}:{capability.ino}:{int(capability.rights)}:{capability.ticket}:{capability.issued_s}"
    return f"{text}:{_mac(text, client, key)}"


def read(text: str) -> Capability | None:
    """Return what a text says, verified by nobody; None if it is none."""
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    ino, rights, ticket, issued_s = (int(word) for word in match.groups()[:4])
    if ino > NUMBER_MAX or ticket > NUMBER_MAX:
        return None
    return Capability(Ino(ino), Right(rights), Ticket(ticket), issued_s)


def _mac(text: str, client: str, key: bytes) -> str:
    return hmac.digest(key, f"{text}:{client}".encode(), "sha256").hex()


class Signer:
    """The meta-server's end."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def sign(self, capability: Capability, client: str) -> str:
        """Return the text, signed with the newest key."""
        return sign(capability, client, self._keys()[0])


class Verifier:
    """A data server's end."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def require(self, text: str, client: str, ino: Ino, right: Right, ticket: Ticket, now_s: float) -> None:
        """Return if `client` may do this to the inode now.

        Arguments: what the client showed, the name that it proved, what it wants; `ticket`: under which it puts, NO_TICKET if it
        does not; `now_s`: seconds since 1970.
        Raises: CapabilityRefused. Which part of a forged one is wrong is not told.
        """
        if not text:
            raise CapabilityRefused(ino, "none was shown")
        found = read(text)
        signed, _, mac = text.rpartition(":")
        # All keys are tried, whichever fits: the time that takes tells nothing.
        fits = [hmac.compare_digest(_mac(signed, client, key), mac) for key in self._keys()] if found is not None else []
        if found is None or not any(fits) or found.ino != ino:
            raise CapabilityRefused(ino, "the one shown is not for this client and inode")
        if now_s > found.expires_s() + SLACK_S:
            raise CapabilityRefused(ino, f"it has expired {now_s - found.expires_s():.0f} s ago by this server's clock")
        if now_s < found.issued_s - SLACK_S:
            raise CapabilityRefused(ino, f"it is from {found.issued_s - now_s:.0f} s after now by this server's clock")
        if not allows(found, right, ticket):
            raise CapabilityRefused(ino, f"it does not allow to {_WORDS[right]}{f' under ticket {ticket}' if ticket else ''}")


_WORDS: Final = {Right.NONE: "ask", Right.READ: "read", Right.WRITE: "write"}


def allows(capability: Capability, right: Right, ticket: Ticket = NO_TICKET) -> bool:
    """Tell whether a capability is for this: a right, and the ticket of a Put."""
    if ticket and capability.ticket != ticket:
        return False
    return right is Right.NONE or right in capability.rights or (right is Right.READ and Right.WRITE in capability.rights)
