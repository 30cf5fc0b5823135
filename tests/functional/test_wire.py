"""Goal: both ends of the wire understand each other, and any stock XML-RPC peer.

Method: real sockets on loopback; our server and client, Python's xmlrpc.client.ServerProxy and SimpleXMLRPCServer, and a
service that answers every method with the smallest answer.
"""

from __future__ import annotations

import http.client
import inspect
import logging
import os
import socket
import threading
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any
from xmlrpc.server import SimpleXMLRPCServer

import pytest

from dfs.core.contexts import PlainContext, never
from dfs.core.errors import BadRequest, DiskFull, NotFound, ServerFailed, StaleTicket, Unreachable, WrongServer
from dfs.core.ids import BlockNo, Generation, Ino, OpId, ServerIndex, SessionId, Ticket
from dfs.core.interfaces import Caller
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.blocks import Blocks, Get, Put, Run, Segment, Sync
from dfs.core.messages.data_server import Identify
from dfs.core.messages.meta_methods import META_METHODS
from dfs.core.messages.names import Lookup, ReadLink
from dfs.core.messages.requests import Done, Request
from dfs.core.peers import Peer
from dfs.core.placement import Role
from dfs.core.plain import answer_type, parameters_of, plain_type
from dfs.core.start_errors import AddressInUse, ConfigError, PeerStartError
from dfs.host.clock import SystemClock
from dfs.host.journal import add_request
from dfs.rpc.client import DataServersClient, MetaClient
from dfs.rpc.dispatch import MULTICALL_CALLS_MAX
from dfs.rpc.server import RpcServer
from tests.harness.sample_api import SampleApi, sample

HERE = Peer("127.0.0.1")
CTX = PlainContext("req-1", never, SessionId(7), Caller(1000, 100, (4, 24)), OpId(12))
SERVICES: dict[str, Mapping[str, type[Request[Any]]]] = {"meta": META_METHODS, "data": BLOCK_METHODS}
EVERY_METHOD = [(service, name) for service, methods in SERVICES.items() for name in methods]
PUT = Put(Ino(5), Ticket(7), Generation(7 << 24 | 1), (Segment(Role.PRIMARY, BlockNo(0), 128, 512),), bytes(512), os.urandom(65536))

Serve = Callable[..., RpcServer]


@pytest.fixture
def api() -> SampleApi:
    return SampleApi()


@pytest.fixture
def serve(api: SampleApi) -> Iterator[Serve]:
    """Start servers; stop them at the end."""
    with ExitStack() as stack:

        def start(service: str = "data", **options: Any) -> RpcServer:
            server = RpcServer(
                address="127.0.0.1:0",
                service_name=service,
                methods=SERVICES[service],
                api=api,
                version="1",
                clock=SystemClock(),
                **options,
            )
            server.start()
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture
def to_data() -> Iterator[Callable[..., DataServersClient]]:
    """Make clients of data servers; close them at the end."""
    with ExitStack() as stack:

        def make(*servers: RpcServer, cluster: str = "", **options: Any) -> DataServersClient:
            client = DataServersClient(clock=SystemClock(), **options)
            client.set_addresses({ServerIndex(index): server.address for index, server in enumerate(servers)}, cluster)
            stack.callback(client.close)
            return client

        yield make


ToData = Callable[..., DataServersClient]


# --- our client, our server --------------------------------------------------------------------------------------------


def test_request_and_answer_arrive_as_sent(serve: Serve, api: SampleApi, to_data: ToData) -> None:
    server = serve()
    api.on_call = lambda _, __: Blocks(b"\x00\x01", bytes(PUT.data))
    get = Get(Ino(5), Ticket(0), (), (Run(Role.SECONDARY, BlockNo(3), 2),), ())
    assert to_data(server).call(CTX, ServerIndex(0), get) == Blocks(b"\x00\x01", bytes(PUT.data))
    api.on_call = None
    assert to_data(server).call(CTX, ServerIndex(0), PUT) == Done()
    assert [request for _, request in api.seen] == [get, PUT]


def test_context_arrives_beside_the_request(serve: Serve, api: SampleApi) -> None:
    client = MetaClient(address=serve("meta").address, clock=SystemClock())
    client.call(CTX, Lookup(Ino(1), b"a/\xff"))
    [(ctx, request)] = api.seen
    assert request == Lookup(Ino(1), b"a/\xff")
    assert (ctx.request_id, ctx.session, ctx.caller, ctx.acknowledged) == ("req-1", 7, Caller(1000, 100, (4, 24), HERE), 12)
    assert ctx.deadline_s is None
    client.close()


def test_answer_that_is_bare_bytes_arrives(serve: Serve, api: SampleApi) -> None:
    api.on_call = lambda _, __: b"target\x00"
    client = MetaClient(address=serve("meta").address, clock=SystemClock())
    assert client.call(CTX, ReadLink(Ino(1), b"link")) == b"target\x00"
    client.close()


def test_error_of_the_service_is_raised_with_its_fields(serve: Serve, api: SampleApi, to_data: ToData) -> None:
    def stale(_: object, __: object) -> None:
        raise StaleTicket(5, 9)

    api.on_call = stale
    client = to_data(serve(), serve())
    with pytest.raises(StaleTicket) as caught:
        client.call(CTX, ServerIndex(0), PUT)
    assert (caught.value.ino, caught.value.floor) == (5, 9)
    answers = client.call_all(CTX, {ServerIndex(0): Sync(Ino(1)), ServerIndex(1): Sync(Ino(2))})
    assert {server: type(answer) for server, answer in answers.items()} == {0: StaleTicket, 1: StaleTicket}


def test_bug_of_the_service_is_logged_once_and_hidden_from_the_caller(
    serve: Serve, api: SampleApi, to_data: ToData, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(_: object, __: object) -> None:
        raise KeyError("secret")

    api.on_call = bug
    caplog.handler.addFilter(add_request)  # as the handlers of a program have it
    with pytest.raises(ServerFailed) as caught:
        to_data(serve()).call(CTX, ServerIndex(0), PUT)
    assert caught.value.reason == "a bug, see its log: KeyError"
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.exc_info is not None
    assert vars(record)["DFS_REQUEST"] == "req-1"


def test_disk_error_of_a_server_is_logged_and_reported_as_its_failure(
    serve: Serve, api: SampleApi, to_data: ToData, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: object, __: object) -> None:
        raise DiskFull("pwrite", "strips/5", "No space left on device")

    api.on_call = full
    with pytest.raises(ServerFailed, match="No space left on device"):
        to_data(serve()).call(CTX, ServerIndex(0), PUT)
    assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == ["ERROR"]


def test_call_meant_for_another_server_is_refused_without_effect(serve: Serve, api: SampleApi, to_data: ToData) -> None:
    server = serve(identity=lambda: "c1/0")
    assert to_data(server, cluster="c1").call(CTX, ServerIndex(0), Sync(Ino(1))) == Done()
    assert to_data(server).call(CTX, ServerIndex(0), Sync(Ino(1))) == Done()
    with pytest.raises(WrongServer, match="expected data server 0 of cluster c2, got data server 0 of cluster c1"):
        to_data(server, cluster="c2").call(CTX, ServerIndex(0), Sync(Ino(1)))
    assert len(api.seen) == 2


def test_server_without_known_address_is_unreachable_among_the_others(serve: Serve, to_data: ToData) -> None:
    answers = to_data(serve()).call_all(CTX, {ServerIndex(0): Sync(Ino(1)), ServerIndex(3): Sync(Ino(1))})
    assert answers[ServerIndex(0)] == Done()
    unreachable = answers[ServerIndex(3)]
    assert isinstance(unreachable, Unreachable)
    assert unreachable.peer == "data server 3"


def test_calls_are_counted_per_method_at_both_ends(serve: Serve, to_data: ToData) -> None:
    servers = [serve() for _ in range(4)]
    client = to_data(*servers)
    client.call_all(CTX, dict.fromkeys(map(ServerIndex, range(4)), PUT))
    client.call(CTX, ServerIndex(2), Identify())
    assert client.calls == {"put": 4, "identify": 1}
    assert [server.calls for server in servers] == [{"put": 1}, {"put": 1}, {"put": 1, "identify": 1}, {"put": 1}]


def test_connections_are_used_again_by_all_threads(serve: Serve, to_data: ToData) -> None:
    server = serve()
    client = to_data(server)
    for _ in range(5):
        thread = threading.Thread(target=client.call, args=(CTX, ServerIndex(0), Identify()))
        thread.start()
        thread.join()
    assert (client.pool.opened, client.pool.reused) == (1, 4)
    assert server.connections == 1


def test_many_threads_at_once_get_their_own_answers(serve: Serve, api: SampleApi, to_data: ToData) -> None:
    api.on_call = lambda _, request: Blocks(b"", b"%d" % request.ino)  # type: ignore[attr-defined]
    client = to_data(serve())
    wrong: list[object] = []

    def work(ino: int) -> None:
        for _ in range(20):
            answer = client.call(CTX, ServerIndex(0), Get(Ino(ino), Ticket(0), (), (), ()))
            if answer != Blocks(b"", b"%d" % ino):
                wrong.append(answer)

    threads = [threading.Thread(target=work, args=(ino,)) for ino in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert client.pool.opened <= 8


# --- stock peers -------------------------------------------------------------------------------------------------------


def stock_form(value: Any) -> Any:
    """Return plain values as a stock client sends them: ints beyond 32 bits as decimal strings."""
    if type(value) is int and not -(1 << 31) <= value < 1 << 31:
        return str(value)
    if type(value) is list:
        return [stock_form(item) for item in value]
    return value


@pytest.mark.parametrize(("service", "name"), EVERY_METHOD)
def test_stock_client_calls_every_method_and_finds_it_described(serve: Serve, api: SampleApi, service: str, name: str) -> None:
    cls = SERVICES[service][name]
    request = sample(cls)
    with xmlrpc.client.ServerProxy(f"http://{serve(service).address}", use_builtin_types=True) as proxy:
        system: Any = proxy.system
        assert name in system.listMethods()
        assert system.methodHelp(name).startswith(inspect.getdoc(cls))
        [signature] = system.methodSignature(name)
        assert len(signature) == 1 + len(parameters_of(request))
        answer = getattr(proxy, name)(*stock_form(parameters_of(request)))
    assert type(answer) is plain_type(answer_type(cls))
    assert [seen for _, seen in api.seen] == [request]


def test_stock_client_puts_and_gets_block_data(serve: Serve, api: SampleApi) -> None:
    with xmlrpc.client.ServerProxy(f"http://{serve().address}/RPC2") as proxy:
        binary = xmlrpc.client.Binary
        segments = [[1, 0, 128, 512]]
        assert proxy.put(5, "7", str(PUT.generation), segments, binary(PUT.checksums), binary(bytes(PUT.data))) == {}
        assert api.seen[0][1] == PUT
        api.on_call = lambda _, __: Blocks(b"", bytes(PUT.data))
        answer: Any = proxy.get(5, 0, [], [[1, 0, 128]], [])
        assert answer["data"].data == bytes(PUT.data)


def test_stock_client_gets_faults_with_code_and_message(serve: Serve, api: SampleApi) -> None:
    def missing(_: object, __: object) -> None:
        raise NotFound(b"a")

    api.on_call = missing
    faults = []
    with xmlrpc.client.ServerProxy(f"http://{serve('meta').address}") as stock:
        proxy: Any = stock
        calls: list[Callable[[], object]] = [
            lambda: proxy.lookup(1, b"a"),
            lambda: proxy.lookup(1, "a"),
            lambda: proxy.lookup(1),
            lambda: proxy.no_such_method(),
            lambda: proxy.system.methodHelp("no_such_method"),
            lambda: proxy.system.listMethods(1),
        ]
        for call in calls:
            with pytest.raises(xmlrpc.client.Fault) as caught:
                call()
            faults.append((caught.value.faultCode, caught.value.faultString.partition("\n")[0]))
    assert faults == [
        (101, "no such file or folder: a"),
        (301, "bad request: path: expected base64, got string 'a'"),
        (301, "bad request: expected 2 parameters (base, path), got 1"),
        (302, "unknown method: no_such_method"),
        (302, "unknown method: no_such_method"),
        (301, "bad request: system.listMethods: expected parameters [], got others"),
    ]


def test_stock_multicall_has_each_result_or_fault(serve: Serve, api: SampleApi) -> None:
    server = serve()
    with xmlrpc.client.ServerProxy(f"http://{server.address}") as proxy:
        many: Any = xmlrpc.client.MultiCall(proxy)
        many.sync(1)
        many.sync("x")
        many.system.multicall([])
        many.note_mark(5)
        results = many()
        assert results[0] == {}
        for position, code in ((1, 301), (2, 301)):
            with pytest.raises(xmlrpc.client.Fault) as caught:
                results[position]
            assert caught.value.faultCode == code
        assert results[3] == {}
        with pytest.raises(xmlrpc.client.Fault, match="calls of a multicall: expected at most"):
            proxy.system.multicall([{"methodName": "sync", "params": [1]}] * (MULTICALL_CALLS_MAX + 1))
    assert server.calls["sync"] == 2
    assert len(api.seen) == 2


def test_our_client_calls_a_stock_server() -> None:
    stock = SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False, use_builtin_types=True)
    received: list[object] = []

    def put(*parameters: object) -> dict[str, object]:
        received.append(parameters)
        return {}

    stock.register_function(put)
    stock.register_function(lambda *_: {"copies": b"abc", "data": bytes(PUT.data)}, "get")
    thread = threading.Thread(target=stock.serve_forever, args=(0.05,))
    thread.start()
    client = DataServersClient(clock=SystemClock())
    client.set_addresses({ServerIndex(0): f"127.0.0.1:{stock.server_address[1]}"}, "")
    try:
        assert client.call(CTX, ServerIndex(0), PUT) == Done()
        assert received == [tuple(parameters_of(PUT))]
        get = Get(Ino(5), Ticket(0), (), (), ())
        assert client.call(CTX, ServerIndex(0), get) == Blocks(b"abc", bytes(PUT.data))
    finally:
        stock.shutdown()
        stock.server_close()
        thread.join()


@pytest.mark.parametrize("path", ["/RPC2", "/"])
def test_http_1_0_and_expect_continue_are_served(serve: Serve, path: str) -> None:
    body = b"<methodCall><methodName>sync</methodName><params><param><value><int>1</int></value></param></params></methodCall>"
    host, _, port = serve().address.rpartition(":")
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(b"POST %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(body), body))
        answer = sock.makefile("rb").read()  # ends: HTTP/1.0 closes the connection
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    connection = http.client.HTTPConnection(host, int(port))
    connection.putrequest("POST", path)
    connection.putheader("Expect", "100-continue")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    connection.send(body)
    assert connection.getresponse().status == 200
    connection.close()


# --- listening ---------------------------------------------------------------------------------------------------------


def test_address_in_use_is_named(serve: Serve, api: SampleApi) -> None:
    address = serve().address
    with pytest.raises(AddressInUse, match=f"expected {address} to be free to listen on, got another process listens there"):
        RpcServer(address=address, service_name="x", methods=BLOCK_METHODS, api=api, version="1", clock=SystemClock())


@pytest.mark.parametrize("address", ["0.0.0.0:0", "192.0.2.1:9000", "[::]:0"])
def test_address_that_others_can_reach_is_refused_with_the_reason(address: str, api: SampleApi) -> None:
    with pytest.raises(ConfigError, match="without a cluster key anybody on the network"):
        RpcServer(address=address, service_name="x", methods=BLOCK_METHODS, api=api, version="1", clock=SystemClock())


def test_address_that_others_can_reach_is_served_where_that_was_allowed(api: SampleApi) -> None:
    server = RpcServer(
        address="0.0.0.0:0",
        service_name="x",
        methods=BLOCK_METHODS,
        api=api,
        version="1",
        clock=SystemClock(),
        is_open_to_network=True,
    )
    server.start()
    assert server.is_on_network
    server.stop()


def test_own_name_that_means_loopback_is_refused_with_the_reason(api: SampleApi, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.1.1", 9000))]
    monkeypatch.setattr("dfs.rpc.addresses.socket.getaddrinfo", lambda *_, **__: found)
    with pytest.raises(ConfigError, match=r"expected meta1:9000 to be an address that the other machines reach, got 127\.0\.1\.1"):
        RpcServer(
            address="meta1:9000",
            service_name="x",
            methods=BLOCK_METHODS,
            api=api,
            version="1",
            clock=SystemClock(),
            is_open_to_network=True,
        )


def test_name_server_that_does_not_answer_is_no_wrong_configuration(api: SampleApi, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr("dfs.rpc.addresses.socket.getaddrinfo", fail)
    with pytest.raises(PeerStartError, match="expected a name server that knows meta1:9000, got no answer"):
        RpcServer(address="meta1:9000", service_name="x", methods=BLOCK_METHODS, api=api, version="1", clock=SystemClock())


@pytest.mark.parametrize("address", ["9000", "localhost", ":1", "127.0.0.1:70000", "127.0.0.1:x", "a..b:1"])
def test_address_that_is_none_is_refused(address: str, api: SampleApi) -> None:
    with pytest.raises(ConfigError, match="expected an address to listen on"):
        RpcServer(address=address, service_name="x", methods=BLOCK_METHODS, api=api, version="1", clock=SystemClock())


def test_inherited_socket_is_served(api: SampleApi, to_data: ToData) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    server = RpcServer(
        address=address,
        service_name="x",
        methods=BLOCK_METHODS,
        api=api,
        version="1",
        clock=SystemClock(),
        inherited_fd=os.dup(listener.fileno()),
    )
    server.start()
    assert to_data(server).call(CTX, ServerIndex(0), Sync(Ino(1))) == Done()
    server.stop()
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    listener.close()


def test_inherited_socket_at_another_address_than_the_configured_one_is_refused(api: SampleApi) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(ConfigError, match="systemctl daemon-reload"):
        RpcServer(
            address="127.0.0.2:9000",
            service_name="x",
            methods=BLOCK_METHODS,
            api=api,
            version="1",
            clock=SystemClock(),
            inherited_fd=os.dup(listener.fileno()),
        )


def test_server_restarted_at_once_gets_its_address_again_and_calls_go_on(api: SampleApi, to_data: ToData) -> None:
    first = RpcServer(address="127.0.0.1:0", service_name="x", methods=BLOCK_METHODS, api=api, version="1", clock=SystemClock())
    first.start()
    client = to_data(first)
    client.call(CTX, ServerIndex(0), Identify())
    first.stop()
    second = RpcServer(address=first.address, service_name="x", methods=BLOCK_METHODS, api=api, version="1", clock=SystemClock())
    second.start()
    assert client.call(CTX, ServerIndex(0), Sync(Ino(1))) == Done()
    assert (client.pool.reused, client.pool.opened) == (1, 2)
    second.stop()


def test_bad_parameter_is_refused_before_the_service_sees_it(serve: Serve, api: SampleApi, to_data: ToData) -> None:
    bad = Sync(Ino("x"))  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="ino: expected int, got string 'x'"):
        to_data(serve()).call(CTX, ServerIndex(0), bad)
    assert api.seen == []
