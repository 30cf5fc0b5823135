"""Keys for tests, and Python's own XML-RPC client with signatures, written after docs/wire.md and not with our code."""

from __future__ import annotations

import hmac
import http.client
import itertools
import secrets
import time
import xmlrpc.client
from typing import Any, Final

from dfs.core.interfaces import Clock
from dfs.core.keys import Key, Keys, Sender
from dfs.core.peers import PeerKind
from dfs.host.clock import SystemClock
from dfs.host.randomness import SystemRandom
from dfs.rpc.keyring import Keyring
from dfs.rpc.signer import Signer
from dfs.rpc.verifier import Verifier
from tests.harness.recorded_events import RecordedEvents

SECRET: Final = bytes(range(32))
OTHER_SECRET: Final = bytes(range(1, 33))
KEYS: Final[Keys] = (Key(SECRET),)
DATA_0: Final = Sender(PeerKind.DATA)
MOUNT: Final = Sender(PeerKind.CLIENT, name="client")


def keyring(*keys: Key) -> Keyring:
    """Return a ring with the keys given, or with the usual one."""
    return Keyring(lambda: keys or KEYS)


def signer(sender: Sender = MOUNT, *keys: Key, clock: Clock | None = None) -> Signer:
    """Return what signs a client's calls."""
    return Signer(keyring=keyring(*keys), sender=sender, clock=clock or SystemClock(), random=SystemRandom())


def verifier(receiver: Sender = DATA_0, *keys: Key, clock: Clock | None = None, events: RecordedEvents | None = None) -> Verifier:
    """Return what checks a server's calls."""
    return Verifier(
        keyring=keyring(*keys),
        receiver=receiver,
        clock=clock or SystemClock(),
        random=SystemRandom(),
        events=events or RecordedEvents(),
    )


def admin_secret(secret: bytes) -> bytes:
    """Return the key of an administrator, as docs/wire.md says."""
    return hmac.digest(secret, b"dfs 1 key of admin", "sha256")


class SignedTransport(xmlrpc.client.Transport):
    """Signs calls as an administrator."""

    def __init__(self, cluster_secret: bytes, receiver: str) -> None:
        super().__init__(use_builtin_types=True)
        self._key = admin_secret(cluster_secret)
        self._key_id = hmac.digest(self._key, b"dfs 1 key id", "sha256")[:4].hex()
        self._receiver = receiver
        self._epoch = "0" * 16
        self._process = secrets.token_hex(8)
        self._counter = itertools.count(1)

    def request(self, host: Any, handler: str, request_body: Any, verbose: bool = False) -> Any:
        """Carry out one call."""
        connection = http.client.HTTPConnection(str(host), timeout=10)
        for _ in range(2):
            stamp = f"1 admin {self._key_id} {self._epoch} {self._process} {next(self._counter)} {time.time_ns() // 10**6}"
            mac = self._mac(f"dfs request\nPOST {handler}\n{self._receiver}\n{stamp}\n\n", request_body)
            connection.request("POST", handler, request_body, {"Content-Type": "text/xml", "X-DFS-Auth": f"{stamp} {mac}"})
            answer = connection.getresponse()
            content = answer.read()
            expected = "1 " + self._mac(f"dfs answer\n{answer.status}\n{mac}\n\n", content)
            if not hmac.compare_digest(answer.headers.get("X-DFS-Auth", ""), expected):
                break
            if answer.status == 200:
                connection.close()
                parser, unmarshaller = self.getparser()
                parser.feed(content)
                parser.close()
                return unmarshaller.close()
            self._epoch = content.split()[1].decode()
        connection.close()
        raise xmlrpc.client.ProtocolError(f"{host}{handler}", answer.status, content.decode(), dict(answer.headers))

    def _mac(self, text: str, body: bytes) -> str:
        return hmac.new(self._key, text.encode() + body, "sha256").hexdigest()
