"""Goal: with a key nobody without it is served, nothing on the way can be changed, swapped or said twice, and each key is good for
what it is meant for.

Method: real sockets on loopback, our clients and servers, somebody in the middle who changes what he likes, and recorded bytes that
are sent again.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from dfs.core.contexts import PlainContext, never
from dfs.core.errors import BadAnswer, CallerRefused, DfsError, NotAuthenticated
from dfs.core.events.wire import AUTHENTICATION_FAILED
from dfs.core.ids import BlockNo, Ino, OpId, ServerIndex, SessionId, Ticket
from dfs.core.interfaces import Caller
from dfs.core.keys import ADMIN, META, Key, Keys, Sender, client_keys, next_step
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.blocks import Blocks, Get, Run
from dfs.core.messages.callers import CALLERS
from dfs.core.messages.data_server import Identify
from dfs.core.messages.inspection import ShowMeta, TakeBackup
from dfs.core.messages.meta_methods import META_METHODS
from dfs.core.messages.requests import Request
from dfs.core.peers import Peer, PeerKind
from dfs.core.placement import Role
from dfs.host.clock import SystemClock
from dfs.host.key_files import new_secret
from dfs.host.randomness import SystemRandom
from dfs.rpc.client import DataServersClient, MetaClient, RawClient
from dfs.rpc.keyring import Keyring
from dfs.rpc.server import RpcServer
from dfs.rpc.signatures import TIME_OFF_MS_MAX
from dfs.rpc.signer import Signer
from dfs.rpc.verifier import Verifier
from tests.harness.fake_clock import FakeClock
from tests.harness.meddler import Change, Meddler, send_to
from tests.harness.recorded_events import RecordedEvents
from tests.harness.sample_api import SampleApi, sample
from tests.harness.signing import DATA_0, KEYS, MOUNT, OTHER_SECRET, SECRET, signer, verifier

CTX = PlainContext("req-1", never, SessionId(7), Caller(1000, 100, (4, 24)), OpId(12))
GET = Get(Ino(5), Ticket(0), (), (Run(Role.SECONDARY, BlockNo(3), 2),), ())
BYTES = Blocks(b"\x00\x01", bytes(1024))
SERVICES: dict[PeerKind, Mapping[str, type[Request[Any]]]] = {PeerKind.META: META_METHODS, PeerKind.DATA: BLOCK_METHODS}
SENDERS = (META, DATA_0, ADMIN, MOUNT)
OTHER = Key(OTHER_SECRET)


class Parts:
    """What a test starts; all of it ends with the test."""

    def __init__(self, stack: ExitStack) -> None:
        self.api = SampleApi()
        self.events = RecordedEvents()
        self._stack = stack

    def serve(self, receiver: Sender = DATA_0, check: Verifier | None = None, **options: Any) -> RpcServer:
        server = RpcServer(
            **{"address": "127.0.0.1:0", **options},
            service_name=receiver.text(),
            methods=SERVICES[receiver.kind],
            api=self.api,
            version="1",
            clock=SystemClock(),
            verifier=check or verifier(receiver, events=self.events),
        )
        server.start()
        self._stack.callback(server.stop)
        return server

    def serve_anybody(self) -> RpcServer:
        server = RpcServer(
            address="127.0.0.1:0", service_name="x", methods=BLOCK_METHODS, api=self.api, version="1", clock=SystemClock()
        )
        server.start()
        self._stack.callback(server.stop)
        return server

    def data(self, address: str, sign: Signer | None, index: int = 0) -> DataServersClient:
        client = DataServersClient(clock=SystemClock(), call_timeout_s=5.0, signer=sign)
        client.set_addresses({ServerIndex(index): address}, "")
        self._stack.callback(client.close)
        return client

    def meta(self, address: str, sign: Signer | None) -> MetaClient:
        client = MetaClient(address=address, clock=SystemClock(), call_timeout_s=5.0, signer=sign)
        self._stack.callback(client.close)
        return client

    def caller(self, server: RpcServer, sign: Signer) -> Callable[[Request[Any]], DfsError | None]:
        """Return what calls a server and returns its error, if that is one."""
        data, meta = self.data(server.address, sign), self.meta(server.address, sign)

        def call(request: Request[Any]) -> DfsError | None:
            try:
                if type(request) in META_METHODS.values():
                    meta.call(CTX, request)
                else:
                    data.call(CTX, ServerIndex(0), request)
            except DfsError as error:
                return error
            return None

        return call

    def meddler(self, server: RpcServer) -> Meddler:
        return self._stack.enter_context(Meddler(server.address))

    def refusals(self) -> list[object]:
        return [event.details["reason"] for event in self.events.of(AUTHENTICATION_FAILED)]


@pytest.fixture
def parts() -> Iterator[Parts]:
    with ExitStack() as stack:
        yield Parts(stack)


# --- who it is -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "peer"),
    [
        (MOUNT, Peer("127.0.0.1", PeerKind.CLIENT, name="client")),
        (META, Peer("127.0.0.1", PeerKind.META)),
        (Sender(PeerKind.DATA, index=3), Peer("127.0.0.1", PeerKind.DATA, 3)),
        (ADMIN, Peer("127.0.0.1", PeerKind.ADMIN)),
    ],
)
def test_server_knows_who_signed(sender: Sender, peer: Peer, parts: Parts) -> None:
    client = parts.data(parts.serve().address, signer(sender))
    for _ in range(3):
        client.call(CTX, ServerIndex(0), Identify())
    assert [ctx.caller.peer for ctx, _ in parts.api.seen] == [peer] * 3
    assert not parts.events.events
    assert client.pool.opened == 1, "the first request teaches the epoch, all others are taken at once"


def test_client_key_signs_for_its_client_whatever_the_program_is(parts: Parts) -> None:
    client = parts.meta(parts.serve(META).address, signer(ADMIN, *client_keys(KEYS, "laptop")))
    client.call(CTX, ShowMeta())
    with pytest.raises(CallerRefused, match="take_backup is not for a caller with the key of kind client"):
        client.call(CTX, TakeBackup())
    assert [ctx.caller.peer for ctx, _ in parts.api.seen] == [Peer("127.0.0.1", PeerKind.CLIENT, name="laptop")]


def test_large_request_and_answer_arrive_as_sent(parts: Parts) -> None:
    parts.api.on_call = lambda _, __: BYTES
    client = parts.data(parts.serve().address, signer())
    assert client.call(CTX, ServerIndex(0), GET) == BYTES


# --- who it is not -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sign", "told", "reason"),
    [
        (lambda: None, r"there is no key here, set \[cluster\] key_file", "unsigned"),
        (
            lambda: signer(MOUNT, OTHER),
            r"wrong key: client/client signed with key \w{8}, expected \w{8}",
            "unknown-key",
        ),
        (lambda: signer(ADMIN, *client_keys((OTHER,), "laptop")), r"wrong key: client/laptop", "unknown-key"),
    ],
)
def test_wrong_or_no_key_is_told_to_both_sides(sign: Callable[[], Signer | None], told: str, reason: str, parts: Parts) -> None:
    client = parts.data(parts.serve().address, sign())
    for _ in range(3):
        with pytest.raises(NotAuthenticated, match=f"data server 0 at .* and this program do not trust each other: .*{told}"):
            client.call(CTX, ServerIndex(0), GET)
    assert not parts.api.seen
    assert parts.refusals() == [reason], "one event a minute is enough"


def test_event_names_the_host_and_never_the_key(parts: Parts) -> None:
    client = parts.data(parts.serve().address, signer(MOUNT, OTHER))
    with pytest.raises(NotAuthenticated):
        client.call(CTX, ServerIndex(0), GET)
    [event] = parts.events.of(AUTHENTICATION_FAILED)
    assert event.peer == "127.0.0.1"
    assert SECRET.hex() not in event.message()
    assert OTHER_SECRET.hex() not in event.message()


def test_answer_of_a_server_without_key_is_not_believed(parts: Parts) -> None:
    client = parts.data(parts.serve_anybody().address, signer())
    with pytest.raises(NotAuthenticated, match="its answer is not signed with our key"):
        client.call(CTX, ServerIndex(0), Identify())


@pytest.mark.parametrize("off_s", [TIME_OFF_MS_MAX / 1000 + 1, -TIME_OFF_MS_MAX / 1000 - 1])
def test_clock_that_is_far_off_is_refused_and_named(off_s: float, parts: Parts) -> None:
    clock, client_clock = FakeClock(), FakeClock()
    client_clock.set_wall(off_s)
    server = parts.serve(check=verifier(clock=clock, events=parts.events))
    direction = "ahead" if off_s > 0 else "behind"
    with pytest.raises(NotAuthenticated, match=f"the clocks are too far apart: the sender's clock is 61 s {direction}"):
        parts.data(server.address, signer(clock=client_clock)).call(CTX, ServerIndex(0), GET)
    assert (parts.refusals(), parts.api.seen) == (["clock"], [])
    client_clock.set_wall(-off_s / 61)
    parts.data(server.address, signer(clock=client_clock)).call(CTX, ServerIndex(0), Identify())


# --- what each key is good for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SERVICES)
def test_every_method_is_for_the_kinds_in_the_table_only(kind: PeerKind, parts: Parts) -> None:
    receiver = META if kind is PeerKind.META else DATA_0
    server = parts.serve(receiver)
    wrong = []
    for sender in SENDERS:
        call = parts.caller(server, signer(sender))
        for name, cls in SERVICES[kind].items():
            error = call(sample(cls))
            refused = isinstance(error, CallerRefused) and (error.method, error.kind) == (name, sender.kind.value)
            if refused == (sender.kind in CALLERS[cls]) or isinstance(error, NotAuthenticated):
                wrong.append((name, sender.text()))
    assert not wrong


def test_method_inside_a_multicall_is_refused_as_well(parts: Parts) -> None:
    server = parts.serve(META)
    client = RawClient(address=server.address, peer="meta", server="", clock=SystemClock(), call_timeout_s=5, signer=signer())
    calls: list[Any] = [{"methodName": name, "params": []} for name in ("take_backup", "status", "system.listMethods")]
    answer: Any = client.call(CTX, "system.multicall", [calls])
    refused, shown, listed = answer
    client.close()
    assert refused["faultCode"] == 315
    assert shown
    assert "take_backup" in listed[0]
    assert [type(request) for _, request in parts.api.seen] == [ShowMeta]


# --- somebody in the middle ----------------------------------------------------------------------------------------------


def replace(old: bytes, new: bytes) -> Change:
    """Return the change of one piece of a message, which must be there."""

    def change(message: bytes) -> bytes:
        assert old in message, message
        return message.replace(old, new, 1)

    return change


def resub(pattern: bytes, new: bytes) -> Change:
    def change(message: bytes) -> bytes:
        changed, count = re.subn(pattern, new, message, count=1)
        assert count == 1, message
        return changed

    return change


CHANGED_REQUESTS: dict[str, Change] = {
    "body": replace(b"<int>3</int>", b"<int>4</int>"),
    "method": replace(b"<methodName>get<", b"<methodName>put<"),
    "request id": replace(b"X-DFS-Request: req-1", b"X-DFS-Request: req-2"),
    "another case of the same header": replace(b"X-DFS-Request: req-1", b"x-dfs-request: req-2"),
    "server": replace(b"X-DFS-Server: /0", b"X-DFS-Server: x/0"),
    "server left out": replace(b"X-DFS-Server: /0\r\n", b""),
    "header added": replace(b"X-DFS-Request", b"X-DFS-Deadline: 1\r\nX-DFS-Request"),
    "empty header added": replace(b"X-DFS-Request", b"X-DFS-Session: \r\nX-DFS-Request"),
    "caller added": replace(b"X-DFS-Request", b"X-DFS-Caller: 0:0:\r\nX-DFS-Request"),
    "path": replace(b"POST /RPC2", b"POST /"),
    "sender": replace(b"client/client", b"client/cliena"),
    "kind of sender": replace(b"client/client", b"admin"),
    "counter": resub(rb"(X-DFS-Auth: (?:\S+ ){5})", rb"\g<1>1"),
    "time": resub(rb"(X-DFS-Auth: (?:\S+ ){6})\d", rb"\g<1>2"),
    "epoch": resub(rb"(X-DFS-Auth: (?:\S+ ){3})\S+", rb"\g<1>0123456789abcdef"),
    "process": resub(rb"(X-DFS-Auth: (?:\S+ ){4})\S+", rb"\g<1>0123456789abcdef"),
    "key": resub(rb"(X-DFS-Auth: (?:\S+ ){2})\S+", rb"\g<1>01234567"),
    "signature": resub(rb"[0-9a-f]{64}\r\n", b"0" * 64 + b"\r\n"),
    "signature left out": resub(rb"X-DFS-Auth: .*\r\n", b""),
    "nonsense": resub(rb"X-DFS-Auth: .*\r\n", b"X-DFS-Auth: 1 \xff\r\n"),
}


@pytest.mark.parametrize("change", CHANGED_REQUESTS.values(), ids=list(CHANGED_REQUESTS))
def test_changed_request_is_not_served(change: Change, parts: Parts) -> None:
    parts.api.on_call = lambda _, __: BYTES
    meddler = parts.meddler(parts.serve())
    client = parts.data(meddler.address, signer())
    client.call(CTX, ServerIndex(0), GET)
    meddler.on_request = change
    with pytest.raises((NotAuthenticated, BadAnswer)):
        client.call(CTX, ServerIndex(0), GET)
    assert len(parts.api.seen) == 1
    meddler.on_request = lambda message: message
    assert client.call(CTX, ServerIndex(0), GET) == BYTES


CHANGED_ANSWERS: dict[str, Change] = {
    "body": resub(rb"AAEAA|AAE=", b"AAI="),
    "signature": resub(rb"[0-9a-f]{64}\r\n", b"0" * 64 + b"\r\n"),
    "signature left out": resub(rb"X-DFS-Auth: .*\r\n", b""),
    "no latin signature": resub(rb"X-DFS-Auth: .*\r\n", b"X-DFS-Auth: 1 \xe9\r\n"),
    "refusal instead": replace(b"200 OK", b"401 Unauthorized"),
}


@pytest.mark.parametrize("change", CHANGED_ANSWERS.values(), ids=list(CHANGED_ANSWERS))
def test_changed_answer_is_not_believed(change: Change, parts: Parts) -> None:
    parts.api.on_call = lambda _, __: BYTES
    meddler = parts.meddler(parts.serve())
    client = parts.data(meddler.address, signer())
    client.call(CTX, ServerIndex(0), GET)
    meddler.on_answer = change
    with pytest.raises(NotAuthenticated):
        client.call(CTX, ServerIndex(0), GET)
    meddler.on_answer = lambda message: message
    assert client.call(CTX, ServerIndex(0), GET) == BYTES


@pytest.mark.parametrize("body", [b"epoch 0123456789abcdef\n", b"clock 99: x\n", b"replay x\n"])
def test_made_up_refusal_is_not_believed(body: bytes, parts: Parts) -> None:
    meddler = parts.meddler(parts.serve())
    sign = signer()
    client = parts.data(meddler.address, sign)
    client.call(CTX, ServerIndex(0), Identify())
    epochs = dict(sign.epochs)
    meddler.on_answer = lambda _: b"HTTP/1.1 401 U\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with pytest.raises(NotAuthenticated, match="its refusal is not signed with our key"):
        client.call(CTX, ServerIndex(0), Identify())
    assert sign.epochs == epochs


def test_refusal_that_is_made_an_answer_is_not_believed(parts: Parts) -> None:
    meddler = parts.meddler(parts.serve())
    meddler.on_answer = replace(b"401 Unauthorized", b"200 OK")
    with pytest.raises(NotAuthenticated, match="its answer is not signed with our key"):
        parts.data(meddler.address, signer()).call(CTX, ServerIndex(0), Identify())


def test_request_is_signed_anew_when_its_answer_was_lost_with_a_kept_connection(parts: Parts) -> None:
    meddler = parts.meddler(parts.serve())
    client = parts.data(meddler.address, signer())
    client.call(CTX, ServerIndex(0), Identify())

    def hang_up(answer: bytes) -> bytes:
        meddler.on_answer = lambda message: message
        raise ConnectionError(answer[:20])

    meddler.on_answer = hang_up
    client.call(CTX, ServerIndex(0), Identify())
    assert len(parts.api.seen) == 3, "each of the three was taken"
    assert len(set(meddler.requests)) == len(meddler.requests) == 4
    assert not parts.events.events


def test_answer_to_another_request_is_not_believed(parts: Parts) -> None:
    parts.api.on_call = lambda _, __: BYTES
    meddler = parts.meddler(parts.serve())
    client = parts.data(meddler.address, signer())
    client.call(CTX, ServerIndex(0), GET)
    old = meddler.answers[-1]
    meddler.on_answer = lambda _: old
    with pytest.raises(NotAuthenticated, match="its answer is not signed with our key"):
        client.call(CTX, ServerIndex(0), GET)


def test_request_that_comes_back_as_answer_is_not_believed(parts: Parts) -> None:
    meddler = parts.meddler(parts.serve())
    client = parts.data(meddler.address, signer())
    client.call(CTX, ServerIndex(0), Identify())

    def reflect(_: bytes) -> bytes:
        head, _, body = meddler.requests[-1].partition(b"\r\n\r\n")
        signature = head.split(b"X-DFS-Auth: ")[1].split(b"\r\n")[0].split()[-1]
        return b"HTTP/1.1 200 OK\r\nX-DFS-Auth: 1 %s\r\nContent-Length: %d\r\n\r\n%s" % (signature, len(body), body)

    meddler.on_answer = reflect
    with pytest.raises(NotAuthenticated):
        client.call(CTX, ServerIndex(0), Identify())


# --- what was said once --------------------------------------------------------------------------------------------------


def recorded(parts: Parts, server: RpcServer) -> bytes:
    """Return the bytes of a request that was served."""
    meddler = parts.meddler(server)
    parts.data(meddler.address, signer()).call(CTX, ServerIndex(0), Identify())
    return meddler.requests[-1]


def test_request_said_again_is_not_served_again(parts: Parts) -> None:
    server = parts.serve()
    request = recorded(parts, server)
    assert len(parts.api.seen) == 1
    for answers in (send_to(server.address, request, request), send_to(server.address, request)):
        assert all(b" 401 " in answer and b"\r\n\r\nreplay " in answer for answer in answers)
    assert len(parts.api.seen) == 1
    assert parts.refusals() == ["replay"]


def test_request_said_to_another_server_of_the_cluster_is_not_served(parts: Parts) -> None:
    request = recorded(parts, parts.serve())
    twin = parts.serve(check=verifier(Sender(PeerKind.DATA, index=1), events=parts.events))
    meta = parts.serve(META, check=verifier(META, events=parts.events))
    for server in (twin, meta):
        [answer] = send_to(server.address, request)
        assert b"\r\n\r\nwrong-signature " in answer
    assert len(parts.api.seen) == 1


def test_request_said_after_a_restart_is_not_served(parts: Parts) -> None:
    server = parts.serve()
    request = recorded(parts, server)
    server.stop()
    again = parts.serve(address=server.address)
    [answer] = send_to(again.address, request)
    assert b"\r\n\r\nepoch " in answer
    assert len(parts.api.seen) == 1


def test_client_does_not_notice_a_restart(parts: Parts) -> None:
    server = parts.serve()
    client = parts.data(server.address, signer())
    client.call(CTX, ServerIndex(0), Identify())
    server.stop()
    parts.serve(address=server.address)
    client.call(CTX, ServerIndex(0), Identify())
    assert len(parts.api.seen) == 2


def test_many_calls_at_once_are_all_served(parts: Parts) -> None:
    client = parts.data(parts.serve().address, signer())
    failed: list[BaseException] = []

    def call_often() -> None:
        try:
            for _ in range(100):
                client.call(CTX, ServerIndex(0), Identify())
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=call_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(parts.api.seen) == 800
    assert not parts.events.events


# --- changing the key ----------------------------------------------------------------------------------------------------


class Host:
    """A host with its key file and a program that holds what it read from it."""

    def __init__(self) -> None:
        self.file: Keys = KEYS
        self.ring = Keyring(lambda: self.file)

    def bring(self, keys: Keys, *, reload: bool) -> None:
        self.file = keys
        if reload:
            self.ring.reload()


@pytest.mark.parametrize("kind", [MOUNT, META])
def test_key_is_changed_under_load_without_one_failed_call(kind: Sender, parts: Parts) -> None:
    servers = [Host(), Host()]
    caller = Host()
    if kind is MOUNT:
        caller.bring(client_keys(KEYS, "client"), reload=True)
    sign = Signer(keyring=caller.ring, sender=kind, clock=SystemClock(), random=SystemRandom())
    client = DataServersClient(clock=SystemClock(), signer=sign)
    addresses = {}
    for index, host in enumerate(servers):
        check = Verifier(
            keyring=host.ring,
            receiver=Sender(PeerKind.DATA, index=index),
            clock=SystemClock(),
            random=SystemRandom(),
            events=parts.events,
        )
        addresses[ServerIndex(index)] = parts.serve(check=check).address
    client.set_addresses(addresses, "")
    served, failed, is_over = [0], list[DfsError](), threading.Event()

    def call_on() -> None:
        while not is_over.is_set():
            for answer in client.call_all(CTX, dict.fromkeys(addresses, Identify())).values():
                if isinstance(answer, DfsError):
                    failed.append(answer)
            served[0] += 1

    def meanwhile() -> None:
        target = served[0] + 20
        while served[0] < target and not failed:
            threading.Event().wait(0.001)

    thread = threading.Thread(target=call_on)
    thread.start()
    keys = KEYS
    try:
        for _ in range(3):
            meanwhile()
            keys = next_step(keys, new_secret).keys
            for host in servers:
                host.bring(keys, reload=True)
                meanwhile()
            # A mount is not told: it reads its file again when its key is refused. A server is reloaded like the others.
            caller.bring(client_keys(keys, "client") if kind is MOUNT else keys, reload=kind is not MOUNT)
        meanwhile()
    finally:
        is_over.set()
        thread.join()
        client.close()
    assert not failed
    assert keys != KEYS
    assert caller.ring.keys[0].secret != (client_keys(KEYS, "client") if kind is MOUNT else KEYS)[0].secret


def test_server_that_lags_behind_in_a_change_of_keys_is_still_reached(parts: Parts) -> None:
    keys = (OTHER, *KEYS)
    client = parts.data(parts.serve().address, signer(MOUNT, *keys))
    client.call(CTX, ServerIndex(0), Identify())
    assert len(parts.api.seen) == 1


def test_ring_with_two_keys_accepts_both(parts: Parts) -> None:
    server = parts.serve(check=verifier(DATA_0, *KEYS, OTHER, events=parts.events))
    for keys in (KEYS, (OTHER,)):
        parts.data(server.address, signer(MOUNT, *keys)).call(CTX, ServerIndex(0), Identify())
    assert not parts.events.events


def test_metrics_page_asks_for_a_signature_only_where_its_own_rule_does(parts: Parts) -> None:
    server = parts.serve()
    page = b"GET /metrics HTTP/1.1\r\nHost: x\r\n%s\r\n"
    [answer] = send_to(server.address, page % b"")
    assert b"metrics are switched off" in answer, "on loopback everybody may ask"
    [answer] = send_to(server.address, page % b"X-DFS-Auth: nonsense\r\n")
    assert answer.startswith(b"HTTP/1.1 401 ")


# --- without a key -------------------------------------------------------------------------------------------------------


def test_server_without_key_takes_a_signed_request_as_any_other(parts: Parts) -> None:
    server = parts.serve_anybody()
    with pytest.raises(NotAuthenticated):
        parts.data(server.address, signer()).call(CTX, ServerIndex(0), Identify())
    assert parts.api.seen[0][0].caller.peer == Peer("127.0.0.1")
