"""The keys of this process, ready to sign and to check signatures with, and their replacement while calls go on.

Owns what was read from the key file, and the signing keys derived from it, each derived once. Servers and clients hold one; whoever
composes them says how the file is read (dfs/host/key_files.py). Used by any number of threads.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable
from typing import Final

from dfs.core.keys import Keys, key_id, parse_sender
from dfs.core.peers import PeerKind
from dfs.core.records import Buffer
from dfs.core.start_errors import ConfigError

_SENDERS_KEPT_MAX: Final = 1024

Sealed = Buffer | memoryview
"""What a signature is made over."""


class SigningKey:
    """One sender's key."""

    __slots__ = ("_context", "id")

    def __init__(self, secret: bytes) -> None:
        self.id = key_id(secret)
        self._context = hmac.new(secret, digestmod="sha256")

    def sign(self, *parts: Sealed) -> str:
        """Return the HMAC-SHA256 over the parts, one after the other, in hex."""
        context = self._context.copy()
        for part in parts:
            context.update(part)
        return context.hexdigest()

    def is_signed(self, signature: str, *parts: Sealed) -> bool:
        """Tell whether the signature is that of the parts; takes as long whatever is wrong with it."""
        return signature.isascii() and hmac.compare_digest(self.sign(*parts), signature)


class _Held:
    """The keys of one reading of the file."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.signing: dict[str, tuple[SigningKey, ...]] = {}


class Keyring:
    """The keys of one process."""

    def __init__(self, read: Callable[[], Keys]) -> None:
        """Read the keys. Raises: ConfigError."""
        self._read = read
        self._mutex = threading.Lock()
        self._held = _Held(read())

    @property
    def keys(self) -> Keys:
        """What was read last."""
        return self._held.keys

    def reload(self) -> bool:
        """Read the keys again; tell whether they differ. Raises: ConfigError, and what was read before stays."""
        keys = self._read()
        with self._mutex:
            if keys == self._held.keys:
                return False
            self._held = _Held(keys)
            return True

    def find_changes(self) -> bool:
        """Read the keys again if they can be read, and tell whether they differ."""
        try:
            return self.reload()
        except ConfigError:
            return False  # whoever asks is about to tell that its keys were refused

    def signing_keys(self, name: str) -> tuple[SigningKey, ...]:
        """Return what the sender of that name on the wire may sign with; the first one is what it should."""
        held = self._held
        found = held.signing.get(name)
        if found is None:
            sender = parse_sender(name)
            assert sender is not None, name
            found = tuple(SigningKey(key.secret_of(sender)) for key in held.keys)
            with self._mutex:
                if len(held.signing) >= _SENDERS_KEPT_MAX:
                    held.signing.clear()
                held.signing[name] = found
        return found

    def acting_as(self, name: str) -> str:
        """Return as whom a program with these keys signs that would be `name`: a client's key is good for that client only."""
        client = self._held.keys[0].client
        return f"{PeerKind.CLIENT}/{client}" if client else name
