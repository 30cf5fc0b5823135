"""Goal: with TLS on, nobody without a certificate of the cluster's CA is let in, nobody is mistaken for another, and whoever is
kept out learns why at once. Method: our server and client, Python's ssl and plain sockets, over real sockets on loopback;
certificates made by the code of `dfsctl tls`.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from dfs.core.config import TlsConfig
from dfs.core.contexts import PlainContext
from dfs.core.errors import NotAuthenticated, TlsFailed, Unreachable
from dfs.core.events.wire import CERTIFICATE_REFUSED, TLS_REFUSED
from dfs.core.ids import Ino, ServerIndex, Ticket
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.blocks import Blocks, Get, Put, Sync
from dfs.core.messages.data_server import Identify
from dfs.core.messages.requests import Done
from dfs.core.peers import PeerKind
from dfs.core.start_errors import ConfigError
from dfs.host.clock import SystemClock
from dfs.rpc import server_connection, tls
from dfs.rpc.client import DataServersClient
from dfs.rpc.load import ALL, Load
from dfs.rpc.server import RpcServer
from dfs.rpc.tls import TlsIdentity
from tests.bench.wire_loads import put_of
from tests.harness.certificates import Certificates
from tests.harness.recorded_events import RecordedEvents
from tests.harness.sample_api import SampleApi
from tests.harness.signing import signer, verifier
from tests.harness.waiting import wait_until

CTX = PlainContext("req-1")
FIRST = ServerIndex(0)
PUT = put_of(bytes(range(256)) * 512)
HERE = "127.0.0.1"


class Wire:
    """Servers and clients of one test, and what they told."""

    def __init__(self, stack: ExitStack) -> None:
        self.api = SampleApi()
        self.events = RecordedEvents()
        self._stack = stack

    def server(self, files: TlsConfig | None, **options: Any) -> RpcServer:
        """Start a server; without files it has no TLS."""
        identity = None if files is None else TlsIdentity(files, self.events, is_server=True)
        server = RpcServer(
            address=f"{HERE}:0",
            service_name="data",
            methods=BLOCK_METHODS,
            api=self.api,
            version="1",
            clock=SystemClock(),
            tls=identity,
            **options,
        )
        server.start()
        self._stack.callback(server.stop)
        return server

    def client(self, server: RpcServer, files: TlsConfig | None, *, host: str = HERE, **options: Any) -> DataServersClient:
        """Make a client that calls the server by `host`."""
        identity = None if files is None else TlsIdentity(files, self.events)
        client = DataServersClient(clock=SystemClock(), tls=identity, **options)
        client.set_addresses({FIRST: f"{host}:{port_of(server)}"}, "")
        self._stack.callback(client.close)
        return client

    def refusals(self) -> list[tuple[str | None, object]]:
        """Return whom servers did not let in, and why."""
        return [(event.peer, event.details["reason"]) for event in self.events.of(TLS_REFUSED)]

    def told_refusals(self) -> list[tuple[str | None, object]]:
        """Return the same, once there is one: the peer may know before the operator."""
        wait_until(lambda: bool(self.refusals()), "a refusal to be told")
        return self.refusals()


def port_of(server: RpcServer) -> int:
    return int(server.address.rpartition(":")[2])


@pytest.fixture
def wire() -> Iterator[Wire]:
    with ExitStack() as stack:
        yield Wire(stack)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA, and certificates of each kind that a test needs."""
    made = Certificates(tmp_path_factory.mktemp("ca"))
    made.host("here", HERE, "localhost")
    made.host("elsewhere", "10.0.0.1")
    made.host("old", HERE, made_days_ago=40, days=30)
    made.host("early", HERE, made_days_ago=-2)
    made.client("laptop")
    made.client("old-laptop", made_days_ago=40, days=30)
    return made


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Another CA, with certificates of the same names."""
    made = Certificates(tmp_path_factory.mktemp("strangers"))
    made.host("here", HERE, "localhost")
    made.client("laptop")
    return made


# --- those who belong together ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [HERE, "localhost"])
def test_call_over_tls_carries_everything_and_names_the_caller_by_its_certificate(
    wire: Wire, certificates: Certificates, host: str
) -> None:
    data = bytes(range(256)) * 16384  # 4 MiB: many records, and more than socket buffers hold
    wire.api.on_call = lambda _, request: Done() if isinstance(request, Put) else Blocks(b"\x01", data)
    client = wire.client(wire.server(certificates.files("here")), certificates.files("laptop"), host=host)
    assert client.call(CTX, FIRST, Get(Ino(5), Ticket(0), (), (), ())) == Blocks(b"\x01", data)
    assert client.call(CTX, FIRST, PUT) == Done()
    assert wire.api.seen[1][1] == PUT
    assert [(ctx.caller.peer.host, ctx.caller.peer.name) for ctx, _ in wire.api.seen] == [(HERE, "laptop")] * 2
    assert client.pool.opened == 1


def test_cluster_key_counts_over_tls_too_and_names_the_caller_rather_than_the_certificate(
    wire: Wire, certificates: Certificates
) -> None:
    server = wire.server(certificates.files("here"), verifier=verifier())
    wire.client(server, certificates.files("laptop"), signer=signer()).call(CTX, FIRST, Identify())
    [(ctx, _)] = wire.api.seen
    assert (ctx.caller.peer.kind, ctx.caller.peer.name) == (PeerKind.CLIENT, "client")
    with pytest.raises(NotAuthenticated):
        wire.client(server, certificates.files("laptop")).call(CTX, FIRST, Identify())
    assert len(wire.api.seen) == 1


def test_nothing_of_a_call_over_tls_can_be_read_on_the_wire(wire: Wire, certificates: Certificates) -> None:
    server = wire.server(certificates.files("here"))
    with Tap(port_of(server)) as tap:
        client = wire.client(server, certificates.files("laptop"))
        client.set_addresses({FIRST: f"{HERE}:{tap.port}"}, "")
        client.call(CTX, FIRST, PUT)
        client.close()
    assert len(tap.seen) > len(PUT.data)
    assert b"laptop" not in tap.seen
    assert b"methodCall" not in tap.seen


def test_one_bit_changed_on_the_wire_is_found_and_the_call_is_not_carried_out(wire: Wire, certificates: Certificates) -> None:
    server = wire.server(certificates.files("here"))
    with Tap(port_of(server), change_after_bytes=20_000) as tap:
        client = wire.client(server, certificates.files("laptop"))
        client.set_addresses({FIRST: f"{HERE}:{tap.port}"}, "")
        with pytest.raises((TlsFailed, Unreachable)):
            client.call(CTX, FIRST, PUT)
    assert wire.api.seen == []


def test_calls_to_several_servers_at_once_shake_hands_side_by_side(wire: Wire, certificates: Certificates) -> None:
    servers = [wire.server(certificates.files("here")) for _ in range(4)]
    client = wire.client(servers[0], certificates.files("laptop"))
    client.set_addresses({ServerIndex(index): server.address for index, server in enumerate(servers)}, "")
    answers = client.call_all(CTX, {ServerIndex(index): Sync(Ino(index)) for index in range(4)})
    assert len(answers) == len(wire.api.seen) == 4
    assert not any(isinstance(answer, Exception) for answer in answers.values())


def test_server_that_was_started_again_is_called_on_a_new_connection(wire: Wire, certificates: Certificates) -> None:
    first = wire.server(certificates.files("here"))
    client = wire.client(first, certificates.files("laptop"))
    client.call(CTX, FIRST, Sync(Ino(1)))
    first.stop()
    identity = TlsIdentity(certificates.files("here"), wire.events, is_server=True)
    options: dict[str, Any] = {"service_name": "data", "methods": BLOCK_METHODS, "api": wire.api, "version": "1", "tls": identity}
    second = RpcServer(address=first.address, clock=SystemClock(), **options)
    second.start()
    try:
        client.call(CTX, FIRST, Sync(Ino(2)))
    finally:
        second.stop()
    assert len(wire.api.seen) == 2


# --- those who do not ------------------------------------------------------------------------------------------------------------


def refused(client: DataServersClient) -> str:
    """Return why a call is refused, at once."""
    began_s = time.monotonic()
    with pytest.raises(TlsFailed) as caught:
        client.call(CTX, FIRST, PUT)
    assert time.monotonic() - began_s < 5, "the refusal came as a time limit"
    return caught.value.reason


def test_server_of_another_name_is_refused_by_the_client(wire: Wire, certificates: Certificates) -> None:
    client = wire.client(wire.server(certificates.files("elsewhere")), certificates.files("laptop"))
    assert refused(client).startswith("its certificate is not for 127.0.0.1:")
    assert wire.api.seen == []


def test_server_of_another_ca_is_refused_by_the_client(wire: Wire, certificates: Certificates, strangers: Certificates) -> None:
    client = wire.client(wire.server(strangers.files("here")), certificates.files("laptop"))
    assert refused(client) == "its certificate was signed by another CA than this cluster's"


@pytest.mark.parametrize(("name", "why"), [("old", "has expired"), ("early", "is not valid yet")])
def test_server_whose_certificate_is_out_of_date_is_refused(wire: Wire, certificates: Certificates, name: str, why: str) -> None:
    client = wire.client(wire.server(certificates.files(name)), certificates.files("laptop"))
    assert refused(client).startswith(f"its certificate {why}")


def test_client_of_another_ca_is_told_so_and_the_operator_too(
    wire: Wire, certificates: Certificates, strangers: Certificates
) -> None:
    server = wire.server(certificates.files("here"))
    mixed = strangers.files("laptop")
    trusting = TlsConfig(mixed.certificate, mixed.key, certificates.files("here").ca)
    with pytest.raises(ConfigError, match="signed by another CA"):  # found before anybody is called
        TlsIdentity(trusting, wire.events)
    assert (
        refused(raw_client(wire, server, trusting))
        == "it refuses this machine's certificate, which another CA than its own has signed"
    )
    assert wire.told_refusals() == [(HERE, "its certificate was signed by another CA than this cluster's")]
    assert wire.api.seen == []


def test_client_whose_certificate_has_expired_is_told_so(wire: Wire, certificates: Certificates) -> None:
    client = wire.client(wire.server(certificates.files("here")), certificates.files("old-laptop"))
    assert refused(client) == "it refuses this machine's certificate, which has expired by its clock"
    [(_, reason)] = wire.told_refusals()
    assert str(reason).startswith("its certificate has expired")


def test_certificate_of_a_client_makes_no_server(wire: Wire, certificates: Certificates) -> None:
    with pytest.raises(ConfigError, match="of a client does not make a server"):
        wire.server(certificates.files("laptop"))


def raw_client(wire: Wire, server: RpcServer, files: TlsConfig) -> DataServersClient:
    """Return a client whose own files were not checked."""
    check, tls._check_chain = tls._check_chain, lambda *_, **__: None
    try:
        return wire.client(server, files)
    finally:
        tls._check_chain = check


def stock_context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificates.files("here").ca)
    return context


def test_client_without_a_certificate_is_not_let_in(wire: Wire, certificates: Certificates) -> None:
    server = wire.server(certificates.files("here"))
    with closing(
        stock_context(certificates).wrap_socket(socket.create_connection((HERE, port_of(server))), server_hostname=HERE)
    ) as sock:
        sock.sendall(b"POST /RPC2 HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + bytes(100_000))
        wait_until(lambda: server.connections == 0, "the connection to be closed")
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):  # not lost, though nobody read what was sent
            sock.recv(1)
    assert wire.refusals() == [(HERE, "it shows no certificate")]
    assert wire.api.seen == []


def test_tls_1_2_is_refused(wire: Wire, certificates: Certificates) -> None:
    server, files = wire.server(certificates.files("here")), certificates.files("laptop")
    context = stock_context(certificates)
    context.load_cert_chain(files.certificate, files.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with closing(socket.create_connection((HERE, port_of(server)))) as sock, pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        context.wrap_socket(sock, server_hostname=HERE)
    wait_until(lambda: wire.refusals() == [(HERE, "it does not know TLS 1.3")], "the refusal to be told")


def test_client_without_tls_is_told_that_the_server_has_it(wire: Wire, certificates: Certificates) -> None:
    client = wire.client(wire.server(certificates.files("here")), None)
    assert refused(client).startswith("it uses TLS only, and this side does not")
    assert wire.told_refusals() == [(HERE, "it does not use TLS")]
    assert wire.api.seen == []


def test_client_with_tls_is_told_that_the_server_has_none(wire: Wire, certificates: Certificates) -> None:
    client = wire.client(wire.server(None), certificates.files("laptop"))
    assert refused(client).startswith("it does not use TLS, and this side does")
    assert wire.api.seen == []


def test_peer_that_speaks_neither_is_reported_as_one_without_tls(certificates: Certificates, wire: Wire) -> None:
    with socket.create_server((HERE, 0)) as listener:
        greeter = threading.Thread(target=lambda: listener.accept()[0].sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), daemon=True)
        greeter.start()
        client = DataServersClient(clock=SystemClock(), tls=TlsIdentity(certificates.files("laptop"), wire.events))
        client.set_addresses({FIRST: f"{HERE}:{listener.getsockname()[1]}"}, "")
        assert refused(client).startswith("it does not use TLS")
        client.close()


# --- slow ones -------------------------------------------------------------------------------------------------------------------


def test_handshakes_that_hang_hold_nobody_up_and_end_in_time(
    wire: Wire, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = wire.server(certificates.files("here"))
    hello = client_hello()
    silent = [socket.create_connection((HERE, port_of(server))) for _ in range(8)]
    halfway = [socket.create_connection((HERE, port_of(server))) for _ in range(8)]
    for sock in halfway:
        sock.sendall(hello[:100])
    wait_until(lambda: server.connections == 16, "all to be accepted")
    wire.client(server, certificates.files("laptop"), call_timeout_s=4).call(CTX, FIRST, PUT)  # long before they are given up
    for sock in (*silent, *halfway):
        sock.close()
    monkeypatch.setattr(server_connection, "TLS_HANDSHAKE_S", 0.2)
    with socket.create_connection((HERE, port_of(server))) as sock:
        sock.sendall(hello[:100])
        sock.settimeout(5)
        assert sock.recv(1) == b""
    wait_until(lambda: (HERE, "no TLS handshake within 0.2 s") in wire.refusals(), "the limit to be told")


def client_hello() -> bytes:
    """Return what a client begins with."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=HERE).do_handshake()
    return outgoing.read()


def test_server_that_never_shakes_hands_is_given_up_in_time(certificates: Certificates, wire: Wire) -> None:
    with socket.create_server((HERE, 0)) as listener:
        client = DataServersClient(
            clock=SystemClock(), tls=TlsIdentity(certificates.files("laptop"), wire.events), call_timeout_s=0.3
        )
        client.set_addresses({FIRST: f"{HERE}:{listener.getsockname()[1]}"}, "")
        with pytest.raises(Unreachable, match=r"no TLS handshake within 0\.3 s"):
            client.call(CTX, FIRST, PUT)
        client.close()


def test_server_that_is_full_is_not_taken_for_one_without_tls(wire: Wire, certificates: Certificates) -> None:
    server = wire.server(certificates.files("here"), load=Load(ALL._replace(connections=1)))
    with socket.create_connection((HERE, port_of(server))):
        wait_until(lambda: server.connections == 1, "the only connection to be taken")
        with pytest.raises(Unreachable):
            wire.client(server, certificates.files("laptop")).call(CTX, FIRST, PUT)


# --- renewal ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files be looked at whenever a connection is made."""
    monkeypatch.setattr(tls, "LOOK_INTERVAL_S", 0.0)


def served_serial(server: RpcServer, certificates: Certificates) -> str:
    """Return the serial number of the certificate that a new connection is shown."""
    files, context = certificates.files("laptop"), stock_context(certificates)
    context.load_cert_chain(files.certificate, files.key)
    with closing(context.wrap_socket(socket.create_connection((HERE, port_of(server))), server_hostname=HERE)) as sock:
        shown: Any = sock.getpeercert()
        return str(shown["serialNumber"])


@pytest.mark.usefixtures("looks_often")
def test_renewal_under_load_fails_no_call_and_counts_for_new_connections(wire: Wire, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "ca")
    server = wire.server(certificates.host("here", HERE))
    clients = [wire.client(server, certificates.client(name)) for name in ("laptop", "desktop")]
    failures: list[Exception] = []
    made = [0, 0]
    ended = threading.Event()

    def call_on(number: int) -> None:
        while not ended.is_set():
            try:
                clients[number].call(CTX, FIRST, PUT)
                made[number] += 1
                if number:
                    clients[number].close()  # each call on a new connection
            except Exception as error:  # noqa: BLE001 - the test looks at all of them
                failures.append(error)

    threads = [threading.Thread(target=call_on, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    serials = [served_serial(server, certificates)]
    for name in ("here", "laptop", "desktop", "here"):
        certificates.renew(name)
        so_far = list(made)
        wait_until(lambda so_far=so_far: all(now > then + 2 for now, then in zip(made, so_far, strict=True)), "calls to go on", 20)  # type: ignore[misc]
        serials.append(served_serial(server, certificates))
    ended.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(set(serials)) == 3, "two renewals of the server's certificate"
    assert clients[0].pool.opened == 1, "the connection that was there went on"
    assert not wire.events.of(CERTIFICATE_REFUSED)


@pytest.mark.usefixtures("looks_often")
def test_files_that_do_not_fit_change_nothing_and_are_told_once(wire: Wire, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "ca")
    files = certificates.host("here", HERE)
    other = certificates.host("other", HERE)
    server = wire.server(files)
    certificates.client("laptop")
    serial = served_serial(server, certificates)
    shutil.copy(other.certificate, files.certificate)  # but not its key
    assert served_serial(server, certificates) == serial
    assert not wire.events.of(CERTIFICATE_REFUSED), "the key may come at any moment"
    wait_until(lambda: served_serial(server, certificates) == serial and bool(wire.events.of(CERTIFICATE_REFUSED)), "it to be told")
    assert [served_serial(server, certificates) for _ in range(3)] == [serial] * 3
    [event] = wire.events.of(CERTIFICATE_REFUSED)
    assert event.details[
        "reason"
    ] == f"[tls] key = {files.key}: expected the private key of the certificate, readable, in PEM, " + (
        "got the key of another certificate"
    )
    shutil.copy(other.key, files.key)
    assert served_serial(server, certificates) != serial


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda files: Path(files.key).unlink(), r"\[tls\] key = .*: expected the private key .* got No such file or directory"),
        (
            lambda files: Path(files.ca).write_text("hello"),
            r"\[tls\] ca = .*: expected a certificate in PEM, got no certificate in PEM",
        ),
        (lambda files: Path(files.certificate).unlink(), r"\[tls\] certificate = .*: expected a readable file, got No such file"),
        (lambda files: encrypt(Path(files.key)), r"\[tls\] key = .* got one with a password"),
    ],
)
def test_files_that_can_not_be_used_at_start_are_named(
    tmp_path: Path, break_it: Callable[[TlsConfig], object], message: str
) -> None:
    files = Certificates(tmp_path / "ca").host("here", HERE)
    break_it(files)
    with pytest.raises(ConfigError, match=message):
        TlsIdentity(files, RecordedEvents(), is_server=True)


def encrypt(key: Path) -> None:
    """Give a private key a password."""
    from cryptography.hazmat.primitives import serialization

    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    key.write_bytes(loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))


class Tap:
    """Somebody on the wire between client and server, who reads all of it and may change a bit of what the client sends."""

    def __init__(self, server_port: int, change_after_bytes: int = 1 << 60) -> None:
        self.seen = bytearray()
        self._change_at = change_after_bytes
        self._server_port = server_port
        self._listener = socket.create_server((HERE, 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._run, daemon=True)]

    def __enter__(self) -> Tap:
        self._threads[0].start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _run(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection((HERE, self._server_port))
        back = threading.Thread(target=self._carry, args=(server, client), daemon=True)
        back.start()
        sent = 0
        with closing(client), closing(server), suppress(OSError):  # the server may end it
            while data := bytearray(receive(client)):
                if sent <= self._change_at < sent + len(data):
                    data[self._change_at - sent] ^= 1
                sent += len(data)
                self.seen += data
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)
        back.join(10)

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # closed meanwhile
            while data := receive(source):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except OSError:
        return b""
