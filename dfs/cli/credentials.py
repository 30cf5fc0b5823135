"""From a key file to what signs and what checks signatures: the keys of one program, put together.

Owns which keys a program may have: a server needs the cluster's, a mount or a tool does with a client's. A server under systemd
takes the credential that it was handed, and the key file itself when it is told to reload: systemd hands over only at a start.
Called by whoever in dfs/cli composes a server or a client.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dfs.cli.network_terms import NetworkTerms
from dfs.core import capability
from dfs.core.capability import capability_key
from dfs.core.events.event import Event
from dfs.core.events.programs import CONFIG_REFUSED
from dfs.core.events.wire import KEYS_RELOADED
from dfs.core.interfaces import EventSink
from dfs.core.keys import DEFAULT_CLIENT, Keys, Sender, show_ids
from dfs.core.peers import PeerKind
from dfs.core.start_errors import ConfigError
from dfs.host.clock import SystemClock
from dfs.host.key_files import read_credential, read_keys
from dfs.host.randomness import SystemRandom
from dfs.rpc.keyring import Keyring
from dfs.rpc.signer import Signer
from dfs.rpc.verifier import Verifier

MOUNT: Final = Sender(PeerKind.CLIENT, name=DEFAULT_CLIENT)
"""What a mount is where the cluster key itself is at hand."""


class Credentials:
    """The keys of one program; without a key file it has none, and signs and checks nothing."""

    def __init__(self, network: NetworkTerms, sender: Sender) -> None:
        """`sender`: what the program is. Raises: ConfigError."""
        self._sender = sender
        self._is_started = False
        self._keyring = None if network.key_file is None else Keyring(self._reader(network.key_file))
        self._is_started = True

    def signer(self) -> Signer | None:
        """Return what signs the calls of one client object."""
        if self._keyring is None:
            return None
        return Signer(keyring=self._keyring, sender=self._sender, clock=SystemClock(), random=SystemRandom())

    def verifier(self, events: EventSink) -> Verifier | None:
        """Return what checks the calls that this server gets."""
        if self._keyring is None:
            return None
        return Verifier(keyring=self._keyring, receiver=self._sender, clock=SystemClock(), random=SystemRandom(), events=events)

    def capability_signer(self) -> capability.Signer | None:
        """Return what signs the capabilities of clients: the meta-server's."""
        return None if self._keyring is None else capability.Signer(self._capability_keys)

    def capability_verifier(self) -> capability.Verifier | None:
        """Return what checks the capabilities of clients: a data server's."""
        return None if self._keyring is None else capability.Verifier(self._capability_keys)

    def _capability_keys(self) -> list[bytes]:
        assert self._keyring is not None
        return [capability_key(key.secret) for key in self._keyring.keys]

    def reload(self, events: EventSink) -> None:
        """Read the keys again and tell; if they are wrong, those that were read before stay."""
        if self._keyring is None:
            return
        try:
            if self._keyring.reload():
                events.emit(Event(KEYS_RELOADED, details={"keys": show_ids(self._keyring.keys)}))
        except ConfigError as error:
            events.emit(Event(CONFIG_REFUSED, details={"reason": str(error)}))

    def _reader(self, path: Path) -> Callable[[], Keys]:
        if self._sender.kind not in (PeerKind.META, PeerKind.DATA):
            return lambda: read_keys(path)

        def read() -> Keys:
            keys = self._read_as_server(path)
            if keys[0].client:
                raise ConfigError(f"the cluster key in {path}: a server must know who its callers are", "the key of a client")
            return keys

        return read

    def _read_as_server(self, path: Path) -> Keys:
        credential = read_credential(os.environ)
        if credential is None:
            return read_keys(path)
        if not self._is_started:
            return credential
        try:
            return read_keys(path)
        except ConfigError:
            if path.exists():
                raise
            return credential  # it is from elsewhere, and no file stands behind it
