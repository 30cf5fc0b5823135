"""The server's side of signatures: who sent a request, or why it is not taken.

Promises: a request is taken only if whoever has the sender's key signed exactly this one, for this server in this run of it, within
TIME_OFF_MS_MAX, and only once. Memory is bounded, and nobody without a key can use any of it up. Tells about refusals by an event,
one a minute for each host. Called by server_connection.py for each request that has arrived; judges no method, which dispatch.py
does by the kind of peer found here.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from dfs.core.events.event import Event
from dfs.core.events.wire import AUTHENTICATION_FAILED
from dfs.core.interfaces import Clock, EventSink, Random
from dfs.core.keys import Sender, parse_sender
from dfs.core.lately_told import LatelyTold
from dfs.core.peers import Peer
from dfs.core.records import Buffer
from dfs.rpc.framing import Head
from dfs.rpc.keyring import Keyring, SigningKey
from dfs.rpc.replays import ReplayWindows
from dfs.rpc.signatures import (
    EPOCH_BYTES,
    HEADER,
    TIME_OFF_MS_MAX,
    Refused,
    Stamp,
    answer_preamble,
    header_line,
    read_stamp,
    request_preamble,
)

TOLD_AGAIN_S: Final = 60.0
"""An event about a host is not repeated for so long."""
HOSTS_TOLD_MAX: Final = 1024


@functools.lru_cache(HOSTS_TOLD_MAX)
def _proved(peer: Peer, name: str) -> Peer:
    """Return what is known of a peer who has shown that he is the sender of that name."""
    sender = parse_sender(name)
    assert sender is not None, name
    return replace(peer, kind=sender.kind, index=sender.index, name=sender.name)


class Proof(NamedTuple):
    """A request's signature is right: what its answer is signed with."""

    peer: Peer
    """Who sent it."""
    key: SigningKey
    signature: str
    """The request's."""

    def sign(self, status: int, parts: Sequence[Buffer]) -> bytes:
        """Return the header line that signs the answer."""
        return header_line(f"1 {self.key.sign(answer_preamble(status, self.signature), *parts)}")


class Refusal(NamedTuple):
    """A request is not taken."""

    why: Refused
    words: str
    """For people, after what a program must know."""
    proof: Proof | None = None
    """Who was refused, where that was proved: he gets a signed answer."""

    def body(self) -> bytes:
        """Return the body of the answer."""
        return f"{self.why} {self.words}\n".encode()


class Verifier:
    """Checks the requests of one server."""

    def __init__(self, *, keyring: Keyring, receiver: Sender, clock: Clock, random: Random, events: EventSink) -> None:
        """`receiver`: this server, as callers call it."""
        self._keyring = keyring
        self._receiver = receiver.text()
        self._clock = clock
        self._events = events
        self._epoch = random.token_bytes(EPOCH_BYTES).hex()
        self._windows = ReplayWindows()
        self._told = LatelyTold(threading.Lock(), period_s=TOLD_AGAIN_S, most=HOSTS_TOLD_MAX)

    def judge(self, head: Head, body: Buffer, peer: Peer) -> Proof | Refusal:
        """Return who sent a request, or why it is not taken. `peer`: who is known so far, by his connection."""
        verdict = self._judge(head, body, peer)
        if isinstance(verdict, Refusal) and verdict.why is not Refused.EPOCH:
            self._tell(verdict, peer)
        return verdict

    def _judge(self, head: Head, body: Buffer, peer: Peer) -> Proof | Refusal:
        raw = head.headers.get(HEADER)
        if raw is None:
            return Refusal(Refused.NO_SIGNATURE, "this server takes signed requests only: a key is needed")
        stamp = read_stamp(raw)
        if stamp is None:
            return Refusal(Refused.MALFORMED, "X-DFS-Auth: expected 1 SENDER KEY-ID EPOCH PROCESS COUNTER TIME SIGNATURE")
        keys = self._keyring.signing_keys(stamp.sender)
        key = next((key for key in keys if key.id == stamp.key_id), None)
        if key is None:
            known = " or ".join(key.id for key in keys)
            return Refusal(Refused.UNKNOWN_KEY, f"{stamp.sender} signed with key {stamp.key_id}, expected {known}")
        preamble = request_preamble(b"%s %s" % head.start[:2], self._receiver, stamp.text, head.headers)
        if not key.is_signed(stamp.signature, preamble, body):
            return Refusal(Refused.WRONG_SIGNATURE, f"what {stamp.sender} signed is not what arrived at {self._receiver}")
        proof = Proof(_proved(peer, stamp.sender), key, stamp.signature)
        return self._judge_freshness(stamp, proof) or proof

    def _judge_freshness(self, stamp: Stamp, proof: Proof) -> Refusal | None:
        """Return why a rightly signed request is not taken, if it is not."""
        if stamp.epoch != self._epoch:
            return Refusal(Refused.EPOCH, f"{self._epoch} is what this run of the server is known by", proof)
        ahead_ms = stamp.time_ms - self._clock.wall_ns() // 10**6
        if abs(ahead_ms) > TIME_OFF_MS_MAX:
            direction = "ahead" if ahead_ms > 0 else "behind"
            return Refusal(Refused.CLOCK, f"{ahead_ms} ms: the sender's clock is {abs(ahead_ms) / 1000:.0f} s {direction}", proof)
        if not self._windows.take(f"{stamp.sender} {stamp.process}", stamp.counter, stamp.time_ms):
            return Refusal(Refused.REPLAY, "this request, or many later ones, came before", proof)
        return None

    def _tell(self, refusal: Refusal, peer: Peer) -> None:
        if not self._told.is_news(peer.host, self._clock.monotonic_s()):
            return
        details = {"reason": str(refusal.why), "words": refusal.words}
        self._events.emit(Event(AUTHENTICATION_FAILED, peer=peer.host, details=details))
