"""What a program of the cluster brings to TLS: its certificate, its key, and the CA that it trusts, from files that may change.

Promises: TLS 1.3 only, and both sides show a certificate that the cluster's CA has signed; a client also checks that the server's
is for the very address that it was configured with. Connections that are there go on with what they began with, new ones use what
the files say now (they are looked at once a second at most). Files that can't be used change nothing, and are told once.
No tickets: kept connections make handshakes rare, and each new one asks for the certificate. Built by dfs/cli, shared by threads.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from dfs.core.certificates import Certificate, Unreadable, read_certificate
from dfs.core.config import TlsConfig
from dfs.core.events.event import Event
from dfs.core.events.wire import CERTIFICATE_REFUSED, TLS_REFUSED
from dfs.core.interfaces import EventSink
from dfs.core.start_errors import ConfigError
from dfs.rpc.tls_errors import DATES, explain
from dfs.rpc.tls_stream import HANDSHAKE, TlsServerStream, TlsStream, wait_for
from dfs.rpc.transport import PlainPeer

LOOK_INTERVAL_S: Final = 1.0
SETTLE_S: Final = 1.0
"""Files that can't be used are told when they have been the same for so long."""
_ROUNDS_MAX: Final = 8


class _Stamp(NamedTuple):
    """What changes when a file does."""

    mtime_ns: int
    size_bytes: int
    ino: int


class Read(NamedTuple):
    """What one reading of the files gave."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    certificate: Certificate
    ca: Certificate


class TlsIdentity:
    """The files of one program. Locking: `_mutex` guards the reading; what was read is replaced whole and needs none."""

    def __init__(self, files: TlsConfig, events: EventSink, *, is_server: bool = False) -> None:
        """`is_server`: whether the certificate must do for a server, too.

        Raises: ConfigError if the files can't be used; a certificate that has only expired can be.
        """
        self._files = files
        self._events = events
        self._is_server = is_server
        self._mutex = threading.Lock()
        self._looked_s = time.monotonic()
        self._stamps = self._look()
        self._failed: tuple[_Stamp | None, ...] | None = None
        """What the files were when they could not be used, until that is told."""
        self._failed_s = 0.0
        self._read = _read_files(files, is_server=is_server)

    @property
    def now(self) -> Read:
        """What was read last, without a look at the files."""
        return self._read

    @property
    def files(self) -> TlsConfig:
        """Where it is read from."""
        return self._files

    def begin_client(self, sock: socket.socket, host: str) -> TlsStream:
        """Return TLS over a connected, non-blocking socket, which it takes over; see `Security`."""
        self.refresh()
        return TlsStream(sock, self._read.client, host=host)

    def begin_server(self, sock: socket.socket, ends_s: float) -> TlsServerStream:
        """Return TLS over an accepted socket, which it takes over, once the peer begins; see `Security`."""
        wait_for(sock, select.POLLIN, ends_s)
        begin = sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        if not begin:
            raise ConnectionResetError(errno.ECONNRESET, "closed by the client")
        if begin[0] != HANDSHAKE:
            raise PlainPeer
        self.refresh()
        return TlsServerStream(sock, self._read.server, is_server=True)

    def refresh(self, *, at_once: bool = False) -> None:
        """Read the files again if they have changed; `at_once`: even if they were looked at within the last second."""
        if not at_once and time.monotonic() - self._looked_s < LOOK_INTERVAL_S:
            return
        with self._mutex:
            self._looked_s = time.monotonic()
            stamps = self._look()
            if stamps == self._stamps:
                return
            reason = ""
            try:
                self._read = _read_files(self._files, is_server=self._is_server)
            except ConfigError as error:
                if stamps != self._failed:
                    self._failed, self._failed_s = stamps, self._looked_s
                if self._looked_s - self._failed_s < SETTLE_S and not at_once:
                    return  # certificate and key are replaced one after the other: look again before it is told
                reason = str(error)
            self._stamps, self._failed = stamps, None
        if reason:
            self._events.emit(Event(CERTIFICATE_REFUSED, details={"reason": reason}))

    def tell_refused(self, peer: str, reason: str) -> None:
        """Tell the operator of a peer that was not let in."""
        self._events.emit(Event(TLS_REFUSED, peer=peer, details={"reason": reason}))

    def _look(self) -> tuple[_Stamp | None, ...]:
        return tuple(_stamp(path) for path in (self._files.certificate, self._files.key, self._files.ca))


def _stamp(path: str) -> _Stamp | None:
    """Return what changes when a file does; None while it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return _Stamp(found.st_mtime_ns, found.st_size, found.st_ino)


def _read_files(files: TlsConfig, *, is_server: bool) -> Read:
    """Return what the files say, once they fit together. Raises: ConfigError."""
    certificate, ca = _certificate("certificate", files.certificate), _certificate("ca", files.ca)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (server, client):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(files.ca)
        except (OSError, ValueError) as error:
            raise ConfigError("the CA's certificate in PEM", _words(error), f"[tls] ca = {files.ca}") from error
        try:
            context.load_cert_chain(files.certificate, files.key, password=_refuse_password)
        except (OSError, ValueError) as error:
            raise ConfigError(
                "the private key of the certificate, readable, in PEM", _words(error), f"[tls] key = {files.key}"
            ) from error
    server.num_tickets = 0
    _check_chain(server, client, files, is_server=is_server)
    return Read(server, client, certificate, ca)


def _certificate(key: str, path: str) -> Certificate:
    try:
        return read_certificate(Path(path).read_text(encoding="latin-1"))
    except OSError as error:
        raise ConfigError("a readable file", error.strerror or str(error), f"[tls] {key} = {path}") from error
    except Unreadable as error:
        raise ConfigError("a certificate in PEM", str(error), f"[tls] {key} = {path}") from error


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key of another certificate"
        return (error.reason or "something else").replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _refuse_password() -> NoReturn:
    raise ValueError("one with a password, which nobody is there to type")


def _check_chain(server: ssl.SSLContext, client: ssl.SSLContext, files: TlsConfig, *, is_server: bool) -> None:
    """Have this machine shake hands with itself, so that a certificate of another CA is told here and not by every peer.

    Raises: ConfigError. What is wrong with the day passes: that is told by events, and a renewal cures it.
    """
    checker = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    checker.check_hostname = False
    checker.verify_mode = ssl.CERT_NONE
    if is_server:
        checker.load_verify_locations(files.ca)
        checker.verify_mode = ssl.CERT_REQUIRED
    checker.load_cert_chain(files.certificate, files.key, password=_refuse_password)
    try:
        _shake_own_hands(server, checker)
    except ssl.SSLError as error:
        if not isinstance(error, ssl.SSLCertVerificationError) or error.verify_code not in DATES:
            where = f"[tls] certificate = {files.certificate}"
            raise ConfigError(f"a certificate that {files.ca} has signed for this use", explain(error), where) from error


def _shake_own_hands(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    """Carry out a handshake in memory. Raises: ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_ROUNDS_MAX):
        waiting = 0
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waiting += 1
        if not waiting:
            return
