"""Keys: what a key file says, who may hold which key, and how one is derived from another. Pure.

The cluster key is held by servers and administrators. Every sender signs with a key of its own, derived from the cluster key and
the sender's name, so a client host needs only its client's key: whoever holds the cluster key can derive that one, and nobody can
go back. A key file has one line per key: HEX for a cluster key, `client NAME HEX` for a client's; the first signs, and a second is
accepted, too, while keys are changed. It is read by dfs/host/key_files.py; dfs/rpc/keyring.py holds what came of it.
"""

from __future__ import annotations

import functools
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from dfs.core.limits import SERVERS_MAX
from dfs.core.peers import PeerKind

KEY_BYTES: Final = 32
KEYS_MAX: Final = 2
"""Keys of one file: the one that counts and, while keys are changed, the next or the last one."""
KEY_ID_BYTES: Final = 4
_SENDERS_KEPT_MAX: Final = 1024
DEFAULT_CLIENT: Final = "client"
RETIRED: Final = "retired"
_CLIENT: Final = "client"
_DERIVED: Final = b"dfs 1 key of "
_IDENTIFIED: Final = b"dfs 1 key id"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,2}")
_HEX: Final = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")
_HEADING: Final = {
    False: "# The key of a dfs cluster: whoever can read this can read and change all files of the cluster.\n",
    True: "# The key of a client of a dfs cluster: whoever can read this can use the cluster as that client.\n",
}


class BadKey(ValueError):
    """A key file makes no sense; the argument says what was expected, and never shows what was there."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who signs."""

    kind: PeerKind
    index: int = 0
    """Which data server."""
    name: str = ""
    """Which client."""

    def text(self) -> str:
        """Return how it is called on the wire: meta, data/INDEX, admin or client/NAME."""
        if self.kind is PeerKind.DATA:
            return f"{self.kind}/{self.index}"
        return f"{self.kind}/{self.name}" if self.kind is PeerKind.CLIENT else str(self.kind)


META: Final = Sender(PeerKind.META)
ADMIN: Final = Sender(PeerKind.ADMIN)


def parse_sender(text: str) -> Sender | None:
    """Return the sender of that name on the wire, or None if there can be none."""
    kind, slash, rest = text.partition("/")
    if kind == PeerKind.DATA and slash and _INDEX.fullmatch(rest) and int(rest) < SERVERS_MAX:
        return Sender(PeerKind.DATA, index=int(rest))
    if kind == PeerKind.CLIENT and slash and is_client_name(rest):
        return Sender(PeerKind.CLIENT, name=rest)
    return {"meta": META, "admin": ADMIN}.get(text)


@functools.lru_cache(_SENDERS_KEPT_MAX)
def is_sender(text: str) -> bool:
    """Tell whether there can be a sender of that name."""
    return parse_sender(text) is not None


def is_client_name(text: str) -> bool:
    """Tell whether a client may be called so."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Key:
    """One line of a key file."""

    secret: bytes = field(repr=False)
    """KEY_BYTES bytes."""
    client: str = ""
    """Whose key it is; empty: the cluster's."""
    is_retired: bool = False
    """Whether it is still accepted only until nobody uses it any more."""

    def secret_of(self, sender: Sender) -> bytes:
        """Return what `sender` signs with; a client's key signs for that client only, whatever is asked for."""
        return self.secret if self.client else derive(self.secret, sender)

    def line(self) -> str:
        """Return its line in a key file."""
        words = ([_CLIENT, self.client] if self.client else []) + [self.secret.hex()] + ([RETIRED] if self.is_retired else [])
        return " ".join(words) + "\n"


Keys = tuple[Key, ...]
"""What a key file says: one key or two of the same holder, the one to sign with first."""


def derive(secret: bytes, sender: Sender) -> bytes:
    """Return the key of one sender: HMAC-SHA256 as a key derivation function, labelled with the sender's name."""
    return hmac.digest(secret, _DERIVED + sender.text().encode(), "sha256")


def key_id(secret: bytes) -> str:
    """Return what a key is called where it must not be shown: 8 hex digits that tell nothing about it."""
    return hmac.digest(secret, _IDENTIFIED, "sha256")[:KEY_ID_BYTES].hex()


def show_ids(keys: Keys) -> str:
    """Return what keys are called where they must not be shown."""
    return ", ".join(f"{key_id(key.secret)}{' (retired)' if key.is_retired else ''}" for key in keys)


def client_keys(keys: Keys, name: str) -> Keys:
    """Return a client's keys, derived from the cluster's."""
    sender = Sender(PeerKind.CLIENT, name=name)
    return tuple(Key(derive(key.secret, sender), name, key.is_retired) for key in keys)


# --- key files ---------------------------------------------------------------------------------------------------------------


def parse_keys(text: str) -> Keys:
    """Return what a key file says. Raises: BadKey."""
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not 1 <= len(lines) <= KEYS_MAX:
        raise BadKey(f"one key, or {KEYS_MAX} while keys are changed, each on a line; got {len(lines)}")
    keys = tuple(_parse_line(words) for words in lines)
    if len({key.client for key in keys}) > 1:
        raise BadKey("keys of the same holder in one file")
    if len({key.secret for key in keys}) < len(keys):
        raise BadKey("two different keys, got the same one twice")
    if keys[0].is_retired:
        raise BadKey("a first key that is not retired")
    return keys


def _parse_line(words: Sequence[str]) -> Key:
    client = ""
    if words[0] == _CLIENT and len(words) > 1:
        client, words = words[1], words[2:]
        if not is_client_name(client):
            raise BadKey("a client's name of 1 to 64 letters, digits, dots, dashes or underscores")
    if not words or not _HEX.fullmatch(words[0]) or list(words[1:]) not in ([], [RETIRED]):
        raise BadKey(f"a key of {KEY_BYTES} bytes as {2 * KEY_BYTES} hex digits, or `client NAME` and such a key")
    return Key(bytes.fromhex(words[0]), client, len(words) > 1)


def show_keys(keys: Keys) -> str:
    """Return the text of a key file."""
    return _HEADING[bool(keys[0].client)] + "".join(key.line() for key in keys)


# --- changing the cluster key ---------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """One step of a change of keys."""

    keys: Keys
    done: str
    """What the step did, for people."""
    then: str
    """What has to be done next, for people."""


def next_step(keys: Keys, new_secret: Callable[[], bytes]) -> Step:
    """Return the next step: a second key is accepted; the second becomes the one that signs; the retired one is dropped."""
    if len(keys) == 1:
        return Step(
            (*keys, Key(new_secret(), keys[0].client)),
            "a new key is accepted beside the old one, which still signs",
            "bring this file to all servers, reload them, then: dfsctl key rotate",
        )
    if not keys[1].is_retired:
        return Step(
            (keys[1], replace(keys[0], is_retired=True)),
            "the new key signs; the old one is still accepted",
            "bring this file to all servers, reload them, bring all clients new keys (dfsctl key client), then: dfsctl key rotate",
        )
    return Step(keys[:1], "the old key is dropped", "bring this file to all servers and reload them")
