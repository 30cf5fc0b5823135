"""What is told of connections: who was refused and why, keys and certificates."""

from __future__ import annotations

from dfs.core.events.event import EventKind, Level

INSECURE_NETWORK = EventKind(
    "INSECURE_NETWORK",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ea0",
    Level.WARNING,
    "{what} listens beyond loopback without a key (insecure_network = yes): everybody who reaches it can read and change all files",
)
AUTHENTICATION_FAILED = EventKind(
    "AUTHENTICATION_FAILED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ea1",
    Level.WARNING,
    "a request from {peer} was refused, {reason}: {words}",
)
KEYS_RELOADED = EventKind(
    "KEYS_RELOADED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ea2",
    Level.INFO,
    "the keys were read again: {keys}",
)
LIMIT_REACHED = EventKind(
    "LIMIT_REACHED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ea8",
    Level.WARNING,
    "refused {peer}, which is over the limit on {limit} ({reason})",
)
CERTIFICATE_READ = EventKind(
    "CERTIFICATE_READ",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7eb0",
    Level.INFO,
    "TLS is on with the certificate of {name} in {file}, valid until {until}",
)
CERTIFICATE_EXPIRES = EventKind(
    "CERTIFICATE_EXPIRES",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7eb1",
    Level.WARNING,
    "the certificate of {name} in {file} is valid for {days} more days only, until {until}",
)
CERTIFICATE_EXPIRES_SOON = EventKind(
    "CERTIFICATE_EXPIRES_SOON",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7eb2",
    Level.ERROR,
    "the certificate of {name} in {file} is valid until {until} ({days} days left): no connection is made with it after that",
)
CERTIFICATE_REFUSED = EventKind(
    "CERTIFICATE_REFUSED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7eb3",
    Level.ERROR,
    "the files of [tls] have changed and can't be used, what was read before stays in force: {reason}",
)
TLS_REFUSED = EventKind(
    "TLS_REFUSED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7eb4",
    Level.WARNING,
    "refused a connection from {peer}: {reason}",
)
CLIENT_REFUSED = EventKind(
    "CLIENT_REFUSED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7ec0",
    Level.WARNING,
    "a client at {peer} was refused: {reason}",
)
SERVER_REFUSED = EventKind(
    "SERVER_REFUSED",
    "6d1f0c5be0a84d0f8f0b6a2f5a1c7e11",
    Level.ERROR,
    "{peer} is not used: {reason}",
)
