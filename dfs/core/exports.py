"""Exports: what the clients of a network or of a name may do, as pure rules (decision record 21).

Owns the words of an [export:NAME] section, which export counts for whom, and whose permissions count there. Without any export
everybody who may connect has everything. Administrators, servers and this very process are subject to none. The meta-server
enforces them (dfs/meta/exporting); dfs/core/config.py has the keys.
"""

from __future__ import annotations

import enum
import ipaddress
import posixpath
import re
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Final, NamedTuple, Protocol

from dfs.core.interfaces import Caller
from dfs.core.peers import Peer, PeerKind
from dfs.core.unfit import Unfit

ANYWHERE: Final = (IPv4Network("0.0.0.0/0"),)
"""The networks of an export for clients wherever they are."""
ANYBODY: Final = ("*",)
"""The names of an export for clients whatever they are called."""
UNCONFINED: Final = "/"
"""The folder of an export that is the whole file system."""
ID_MAX: Final = (1 << 32) - 2
_CLIENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SUBJECT: Final = (None, PeerKind.CLIENT)
"""Kinds of peers to whom exports apply; where there is no key, nobody can prove to be anything else."""


class Access(enum.StrEnum):
    """Whether an export may be changed."""

    READ_WRITE = "rw"
    READ_ONLY = "ro"


class Squash(enum.StrEnum):
    """Which users count as the anonymous one."""

    NONE = "none"
    ROOT = "root"
    ALL = "all"


class Export(Protocol):
    """An [export:NAME] section: dfs/core/config.py's ExportConfig."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    @property
    def networks(self) -> tuple[IPv4Network, ...]:
        """Where its clients are."""

    @property
    def clients(self) -> tuple[str, ...]:
        """What its clients have proved to be called; ANYBODY: anything."""

    @property
    def access(self) -> Access:
        """Whether it may be changed."""

    @property
    def squash(self) -> Squash:
        """Which users count as anonymous."""

    @property
    def anonymous_uid(self) -> int:
        """The user that squashed ones count as."""

    @property
    def anonymous_gid(self) -> int:
        """Their group."""

    @property
    def folder(self) -> str:
        """Its root, from that of the file system."""


# --- reading one value: text -> value, or Unfit --------------------------------------------------------------------------


def parse_client_networks(text: str) -> tuple[IPv4Network, ...]:
    """Return the networks in a list with commas; a single address is a network of one."""
    try:
        return tuple(IPv4Network(word.strip()) for word in text.split(","))
    except ValueError:
        raise Unfit("IPv4 addresses or networks (ADDRESS/BITS, the other bits zero), with commas between") from None


def parse_clients(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas, or the one that means any."""
    names = tuple(word.strip() for word in text.split(","))
    if names != ANYBODY and not all(_CLIENT.fullmatch(name) for name in names):
        raise Unfit("names of clients as in their keys, with commas between, or * for any")
    return names


def parse_access(text: str) -> Access:
    """Return rw or ro."""
    try:
        return Access(text)
    except ValueError:
        raise Unfit("rw or ro") from None


def parse_squash(text: str) -> Squash:
    """Return none, root or all."""
    try:
        return Squash(text)
    except ValueError:
        raise Unfit("none, root or all") from None


def parse_anonymous(text: str) -> int:
    """Return the number of a user or group that is not root's."""
    if not re.fullmatch(r"[0-9]{1,10}", text) or not 1 <= int(text) <= ID_MAX:
        raise Unfit(f"a number from 1 to {ID_MAX}")
    return int(text)


def parse_root(text: str) -> str:
    """Return the absolute path of a folder of the file system, without a slash at its end."""
    if not text.startswith("/") or ".." in text.split("/"):
        raise Unfit("the absolute path of a folder of the file system, without ..")
    return "/" + posixpath.normpath(text).strip("/")


# --- judging --------------------------------------------------------------------------------------------------------------


def is_subject(peer: Peer) -> bool:
    """Tell whether exports apply to a peer: not to this process, and not to proved administrators and servers."""
    return bool(peer.host) and peer.kind in _SUBJECT


def find_export(exports: Sequence[Export], peer: Peer) -> Export | None:
    """Return the export that counts for a peer to whom exports apply: the most specific one that fits; None: it has none.

    One that asks for names is more specific than one that does not, then a smaller network than a larger one; of equals the
    first counts. One that asks for both is only for who fulfils both.
    """
    best, best_rank = None, (-1, -1)
    for export in exports:
        rank = _rank(export, peer)
        if rank is not None and rank > best_rank:
            best, best_rank = export, rank
    return best


def _rank(export: Export, peer: Peer) -> tuple[int, int] | None:
    """Return how specific an export is for a peer; None if it is not for it."""
    if export.clients != ANYBODY and (not peer.name or peer.name not in export.clients):
        return None
    try:
        address = ipaddress.IPv4Address(peer.host)
    except ValueError:
        return None
    fitting = [network.prefixlen for network in export.networks if address in network]
    return (int(export.clients != ANYBODY), max(fitting)) if fitting else None


class Terms(NamedTuple):
    """What an export lets its clients do; the default withholds nothing."""

    access: Access = Access.READ_WRITE
    squash: Squash = Squash.NONE
    anonymous_uid: int = 0
    """0 where nobody is squashed."""
    anonymous_gid: int = 0
    folder: str = UNCONFINED

    @property
    def is_read_only(self) -> bool:
        """Whether nothing may be changed."""
        return self.access is Access.READ_ONLY

    @property
    def is_confined(self) -> bool:
        """Whether it is a part of the file system."""
        return self.folder != UNCONFINED

    def text(self) -> str:
        """Return the terms as they are stored with a session; empty: nothing is withheld."""
        return "" if self == FULL else " ".join(map(str, self))


FULL: Final = Terms()
"""Everything. Terms that are equal to it are this very object."""


def terms_of(export: Export) -> Terms:
    """Return what an export lets its clients do."""
    if export.squash is Squash.NONE:
        terms = Terms(export.access, folder=export.folder)
        return FULL if terms == FULL else terms
    return Terms(export.access, export.squash, export.anonymous_uid, export.anonymous_gid, export.folder)


def parse_terms(text: str) -> Terms:
    """Return the terms that were stored as `text`."""
    if not text:
        return FULL
    access, squash, uid, gid, folder = text.split(" ", 4)
    return Terms(Access(access), Squash(squash), int(uid), int(gid), folder)


def narrows(before: Terms, after: Terms) -> bool:
    """Tell whether a client whose terms change loses anything."""
    if before.folder != after.folder or (after.is_read_only and not before.is_read_only):
        return True
    return after.squash is not Squash.NONE and before[1:4] != after[1:4]


def squashed(caller: Caller, terms: Terms) -> Caller:
    """Return whose permissions count, whoever the client says is calling."""
    uid, gid = terms.anonymous_uid, terms.anonymous_gid
    if terms.squash is Squash.ALL:
        return replace(caller, uid=uid, gid=gid, groups=())
    if terms.squash is Squash.ROOT and (not caller.uid or not caller.gid or 0 in caller.groups):
        groups = tuple(group for group in caller.groups if group)
        return replace(caller, uid=caller.uid or uid, gid=caller.gid or gid, groups=groups)
    return caller
