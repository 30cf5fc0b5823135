"""One XML-RPC call there and back, ours against Python's own server and client: the same method, the same parameters.

Both servers run in a process of their own and do nothing but check the length of what they got. Both keep connections: for the
stock server that is a better case than its default, a new connection for each call.
Run as `python -m tests.bench.wire_loads ours|key|stock|tls [FOLDER]`, it serves until its standard input ends, after it printed its
port.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Final, TypeVar, cast
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

from dfs.cli.tls import folder as tls_folder
from dfs.core.config import TlsConfig
from dfs.core.contexts import PlainContext
from dfs.core.ids import BlockNo, Generation, Ino, ServerIndex, Ticket
from dfs.core.interfaces import CallContext
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.blocks import Blocks, Get, Put, Run, Segment
from dfs.core.messages.requests import Done, Request
from dfs.core.placement import Role
from dfs.host.clock import SystemClock
from dfs.host.journal import JournalEvents
from dfs.rpc.client import DataServersClient
from dfs.rpc.server import RpcServer
from dfs.rpc.tls import TlsIdentity
from tests.bench.file_loads import Rate
from tests.bench.sizes import Sizes
from tests.harness.certificates import Certificates
from tests.harness.leftovers import marked_environment
from tests.harness.program import ROOT
from tests.harness.signing import signer, verifier

SIZES: Final = {"512 B": 512, "64 KiB": 64 << 10, "256 KiB": 256 << 10}
BLOCK_BYTES: Final = 512
A = TypeVar("A")

OURS, KEY, STOCK = "ours", "key", "stock"
TLS: Final = "tls"
"""Ours, over TLS."""


def put_of(data: bytes) -> Put:
    """Return a Put of two segments that carries `data`."""
    blocks = -(-len(data) // BLOCK_BYTES)
    half = max(1, blocks // 2)
    segments = [Segment(Role.PRIMARY, BlockNo(0), half, BLOCK_BYTES)]
    if blocks > half:
        segments.append(Segment(Role.SECONDARY, BlockNo(3), blocks - half, BLOCK_BYTES))
    return Put(Ino(7), Ticket(9), Generation(9 << 24 | 1), tuple(segments), bytes(4 * blocks), data)


def get_of(size_bytes: int) -> Get:
    """Return a Get that asks for so many bytes."""
    return Get(Ino(7), Ticket(0), (), (Run(Role.PRIMARY, BlockNo(0), size_bytes // BLOCK_BYTES),), ())


class _Sink:
    """A BlockApi that keeps nothing."""

    def call(self, ctx: CallContext, request: Request[A]) -> A:
        """Answer a Put or a Get."""
        if isinstance(request, Put):
            return cast(A, Done())
        assert isinstance(request, Get)
        blocks = request.send[0].blocks
        return cast(A, Blocks(bytes(20 * blocks), os.urandom(BLOCK_BYTES) * blocks))


class _Handler(SimpleXMLRPCRequestHandler):
    protocol_version = "HTTP/1.1"
    rpc_paths = ("/RPC2",)


class _StockServer(ThreadingMixIn, SimpleXMLRPCServer):
    daemon_threads = True


def serve(kind: str, folder: str = "") -> None:
    """Serve until standard input ends. `folder`: with certificate and key, for TLS."""
    if kind != STOCK:
        server = RpcServer(
            address="127.0.0.1:0",
            service_name="sink",
            methods=BLOCK_METHODS,
            api=_Sink(),
            version="bench",
            clock=SystemClock(),
            verifier=verifier() if kind == KEY else None,
            tls=identity_in(Path(folder), is_server=True) if kind == TLS else None,
        )
        server.start()
        print(server.address.rpartition(":")[2], flush=True)
        sys.stdin.read()
        server.stop()
        return
    stock = _StockServer(("127.0.0.1", 0), _Handler, logRequests=False, allow_none=True, use_builtin_types=True)
    stock.register_function(_stock_put, "put")
    stock.register_function(_stock_get, "get")
    print(stock.server_address[1], flush=True)
    stock.serve_forever()


def _stock_put(*parameters: Any) -> dict[str, Any]:
    if not parameters[-1]:
        raise ValueError("no data")
    return {}


def _stock_get(*parameters: Any) -> dict[str, Any]:
    blocks = parameters[3][0][2]
    return {"copies": bytes(20 * blocks), "data": os.urandom(BLOCK_BYTES) * blocks}


def identity_in(folder: Path, *, is_server: bool = False) -> TlsIdentity:
    """Return what secures connections with the files in a folder of `dfsctl tls init`."""
    files = TlsConfig(*(str(folder / name) for name in (tls_folder.CERTIFICATE, tls_folder.KEY, tls_folder.CA)))
    return TlsIdentity(files, JournalEvents(), is_server=is_server)


class WireServer:
    """A server in a process of its own."""

    def __init__(self, kind: str, folder: Path | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.wire_loads", kind, *([] if folder is None else [str(folder)])],
            cwd=ROOT,
            env=marked_environment() | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


class Wire:
    """All servers and a client of each."""

    def __init__(self) -> None:
        self._servers = {kind: WireServer(kind) for kind in (OURS, KEY, STOCK)}
        self._clients = {
            kind: DataServersClient(clock=SystemClock(), signer=sign) for kind, sign in ((OURS, None), (KEY, signer()))
        }
        for kind, client in self._clients.items():
            client.set_addresses({ServerIndex(0): f"127.0.0.1:{self._servers[kind].port}"}, "")
        self._stock = xmlrpc.client.ServerProxy(
            f"http://127.0.0.1:{self._servers[STOCK].port}", use_builtin_types=True, allow_none=True
        )

    def measure(self, kind: str, sizes: Sizes) -> Iterator[Rate]:
        """Time puts and gets of each size."""
        yield from _measure(lambda request: self._caller(kind, request), sizes, "")

    def _caller(self, kind: str, request: Put | Get) -> Callable[[], object]:
        if kind != STOCK:
            ctx, client = PlainContext(), self._clients[kind]
            return lambda: client.call(ctx, ServerIndex(0), request)
        if isinstance(request, Put):
            segments = [[int(number) for number in segment] for segment in request.segments]
            put = (request.ino, request.ticket, str(request.generation), segments, request.checksums, bytes(request.data))
            return lambda: self._stock.put(*put)
        runs = [[int(number) for number in run] for run in request.send]
        return lambda: self._stock.get(request.ino, request.newest_cut, [], runs, [])

    def close(self) -> None:
        """End everything."""
        for client in self._clients.values():
            client.close()
        self._stock("close")()
        for server in self._servers.values():
            server.close()


class TlsWire:
    """Our server with and without TLS, and a client of each."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where certificates are made."""
        files = Certificates(folder / "ca").host("localhost", "127.0.0.1")
        self._servers = {OURS: WireServer(OURS), TLS: WireServer(TLS, Path(files.certificate).parent)}
        self._clients = {
            OURS: DataServersClient(clock=SystemClock()),
            TLS: DataServersClient(clock=SystemClock(), tls=TlsIdentity(files, JournalEvents())),
        }
        for kind, client in self._clients.items():
            client.set_addresses({ServerIndex(0): f"127.0.0.1:{self._servers[kind].port}"}, "")

    def measure(self, sizes: Sizes) -> Iterator[tuple[str, Rate]]:
        """Time puts and gets of each size, and a new connection for each call; each line with TLS and at once without."""
        for lines in zip(*(self._lines(kind, sizes) for kind in self._clients), strict=True):
            yield from zip(self._clients, lines, strict=True)

    def _lines(self, kind: str, sizes: Sizes) -> Iterator[Rate]:
        client, ctx = self._clients[kind], PlainContext()
        yield from _measure(lambda request: lambda: client.call(ctx, ServerIndex(0), request), sizes, "TLS ")
        start_s = time.perf_counter()
        for _ in range(sizes.wire_calls):
            client.close()
            client.call(ctx, ServerIndex(0), get_of(BLOCK_BYTES))
        yield Rate("TLS get 512 B, connecting", "calls/s", sizes.wire_calls, time.perf_counter() - start_s)

    def close(self) -> None:
        """End everything."""
        for client in self._clients.values():
            client.close()
        for server in self._servers.values():
            server.close()


def _measure(caller: Callable[[Put | Get], Callable[[], object]], sizes: Sizes, prefix: str) -> Iterator[Rate]:
    for name, size_bytes in SIZES.items():
        put, get = put_of(os.urandom(size_bytes)), get_of(size_bytes)
        for line, call in ((f"{prefix}put {name}", caller(put)), (f"{prefix}get {name}", caller(get))):
            call()
            start_s = time.perf_counter()
            for _ in range(sizes.wire_calls):
                call()
            yield Rate(line, "calls/s", sizes.wire_calls, time.perf_counter() - start_s)


if __name__ == "__main__":
    serve(*sys.argv[1:])
