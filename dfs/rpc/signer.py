"""The caller's side of signatures: requests are signed, answers checked, and what a server refuses is signed anew if that helps.

Promises: no answer is believed that the server that was meant did not sign for this very request. A request is signed anew each
time it is sent, so that no server meets it twice. Knows the epoch of each server from its refusal of the first request. Used by
client.py and exchange.py, from any number of threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from dfs.core.errors import NotAuthenticated
from dfs.core.interfaces import Clock, Random
from dfs.core.keys import Sender
from dfs.core.records import Buffer
from dfs.rpc.framing import Message, request_head
from dfs.rpc.keyring import Keyring, SigningKey
from dfs.rpc.outgoing import gathered
from dfs.rpc.signatures import (
    HEADER,
    NO_EPOCH,
    PROCESS_BYTES,
    REQUEST_LINE,
    Refused,
    answer_preamble,
    header_line,
    is_epoch,
    parse_lines,
    read_answer_signature,
    request_preamble,
    write_stamp,
)

REPEATS_MAX: Final = 6
"""How often one call is signed anew because a server refused it."""
_OK: Final = 200
_UNAUTHORIZED: Final = 401
_SIGNED: Final = (Refused.EPOCH, Refused.CLOCK, Refused.REPLAY)
"""What a server refuses only to those whose signature it has found right, so that it signs its answer, too."""


class Signer:
    """Signs for one client object."""

    def __init__(self, *, keyring: Keyring, sender: Sender, clock: Clock, random: Random) -> None:
        """`sender`: what the program is; with a client's key it is that client."""
        self.keyring = keyring
        self.clock = clock
        self.process = random.token_bytes(PROCESS_BYTES).hex()
        self.counter = itertools.count(1)
        self.epochs: dict[str, str] = {}
        """Address -> what the present run of the server there is known by."""
        self._sender = sender.text()

    def seal(self, address: str, peer: str, server: str, headers: bytes, parts: Sequence[Buffer], size_bytes: int) -> Seal:
        """Return what signs one call. `server`: CLUSTER/INDEX, or empty for the meta-server; `headers`: lines with their ends."""
        receiver = f"data/{server.rpartition('/')[2]}" if server else "meta"
        return Seal(self, address, peer, receiver, headers, parts, size_bytes)

    def keys(self) -> tuple[str, tuple[SigningKey, ...]]:
        """Return who signs, and with what."""
        sender = self.keyring.acting_as(self._sender)
        return sender, self.keyring.signing_keys(sender)


class Seal:
    """One call: signs it, as often as it is sent, and checks what comes back."""

    __slots__ = (
        "_address",
        "_body",
        "_headers",
        "_key",
        "_parsed",
        "_peer",
        "_receiver",
        "_repeats",
        "_signature",
        "_signer",
        "_size_bytes",
    )

    def __init__(
        self, signer: Signer, address: str, peer: str, receiver: str, headers: bytes, body: Sequence[Buffer], size_bytes: int
    ) -> None:
        self._signer = signer
        self._address = address
        self._peer = peer
        self._receiver = receiver
        self._headers = headers
        self._parsed = parse_lines(headers)
        self._body = body
        self._size_bytes = size_bytes
        self._key: SigningKey | None = None
        self._signature = ""
        self._repeats: list[str] = []
        """Which keys have been refused by then, each time it was."""

    def payload(self) -> list[Buffer]:
        """Return head and body of the request, signed now, in few pieces."""
        signer = self._signer
        sender, keys = signer.keys()
        # While keys are changed, the server may know only the other one.
        key = next((key for key in keys if key.id not in self._repeats), keys[0])
        time_ms = signer.clock.wall_ns() // 10**6
        epoch = signer.epochs.get(self._address, NO_EPOCH)
        stamp = write_stamp(sender, key.id, epoch, signer.process, next(signer.counter), time_ms)
        self._key = key
        self._signature = key.sign(request_preamble(REQUEST_LINE, self._receiver, stamp, self._parsed), *self._body)
        headers = self._headers + header_line(f"{stamp} {self._signature}")
        return gathered((request_head(self._address, headers, self._size_bytes), *self._body))

    def judge(self, message: Message) -> bytearray | NotAuthenticated | None:
        """Return the body of an answer, or why it is not believed; None: the request shall be sent again, signed anew."""
        status = int(message.head.start[1])
        is_signed = self._is_signed(status, message)
        if status == _OK:
            return (
                message.body
                if is_signed
                else self._error("its answer is not signed with our key: another server, or it has no key")
            )
        assert status == _UNAUTHORIZED
        word, _, words = message.body[:500].decode("utf-8", "replace").strip().partition(" ")
        if word in _SIGNED and not is_signed:
            return self._error("its refusal is not signed with our key")
        return self._error_of(word, words) if len(self._repeats) >= REPEATS_MAX else self._refused(word, words)

    def _is_signed(self, status: int, message: Message) -> bool:
        assert self._key is not None
        signature = read_answer_signature(message.head.headers.get(HEADER))
        return signature is not None and self._key.is_signed(signature, answer_preamble(status, self._signature), message.body)

    def _refused(self, word: str, words: str) -> NotAuthenticated | None:
        """Return None if the request can be signed in a way that may be taken."""
        assert self._key is not None
        if word == Refused.EPOCH:
            self._repeats.append("")
            epoch = words[: len(NO_EPOCH)]
            if not is_epoch(epoch):
                return self._error_of(word, words)
            self._signer.epochs[self._address] = epoch
            return None
        if word == Refused.REPLAY:
            self._repeats.append("")
            return None
        if word == Refused.UNKNOWN_KEY:
            self._repeats.append(self._key.id)
            if any(key.id not in self._repeats for key in self._signer.keys()[1]) or self._signer.keyring.find_changes():
                return None
        return self._error_of(word, words)

    def _error_of(self, word: str, words: str) -> NotAuthenticated:
        match word:
            case Refused.UNKNOWN_KEY:
                return self._error(f"wrong key: {words}")
            case Refused.CLOCK:
                return self._error(f"the clocks are too far apart: {words.partition(': ')[2]}")
        return self._error(f"{word}: {words}")

    def _error(self, reason: str) -> NotAuthenticated:
        return NotAuthenticated(self._peer, reason[:300])
