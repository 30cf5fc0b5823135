"""A cluster of real processes on loopback: one meta-server, N data servers, any number of mounts, each of which a test can
stop, kill, pause, restart and read the log of. Used by tests/probe and tests/fuse through the fixtures in tests/conftest.py.

Promises: nothing of it remains after close(), whatever state the test left it in; waiting is for conditions, with deadlines.
"""

from __future__ import annotations

import functools
import random
import re
import socket
import ssl
import subprocess
import xmlrpc.client
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from dfs.cli.mount_table import is_mounted, unmount
from dfs.core.config import TlsConfig
from dfs.core.config_values import FuseChannel
from dfs.core.keys import Key
from dfs.host.key_files import create_key_file
from tests.harness.fuse_channel import chosen_channel
from tests.harness.program import Program, module_command
from tests.harness.signing import SignedTransport
from tests.harness.waiting import wait_until

LOOPBACK: Final = "127.0.0.1"
PORTS: Final = range(20_000, 32_000)
"""Below those that the kernel gives to outgoing connections, so that a restarted server finds its port free."""
READY_TIMEOUT_S: Final = 30.0


class MountProgram(Program):
    """A mount."""

    def __init__(self, name: str, command: list[str], log_file: Path, cwd: Path, path: Path) -> None:
        super().__init__(name, command, log_file, cwd)
        self.path = path

    def start(self) -> None:
        """Start it; returns at once."""
        self.path.mkdir(exist_ok=True)
        super().start()

    def answers(self) -> bool:
        """Tell whether the mount is there and answers."""
        if not is_mounted(self.path):
            return False
        try:
            asked = subprocess.run(["stat", "-f", str(self.path)], check=False, capture_output=True, timeout=5)
        except subprocess.TimeoutExpired:
            return False
        return asked.returncode == 0

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until the mount answers."""
        wait_until(lambda: self.answers() or not self.is_running(), f"{self.name} to answer", timeout_s)
        assert self.is_running(), f"{self.name} ended with status {self.process.returncode}:\n{self.log_text()}"

    def unmount(self) -> int:
        """Unmount as a user does and return the mount program's exit status."""
        assert unmount(self.path), f"{self.path} is busy"
        return self.wait_for_end()

    def end_for_sure(self) -> None:
        """Detach the mount, then end the program: the kernel lets its callers go."""
        if is_mounted(self.path):
            unmount(self.path, lazy=True)
        super().end_for_sure()


class Cluster:
    """One cluster in one folder, configured by one file. Start it with start(), or its parts one by one."""

    def __init__(
        self,
        folder: Path,
        *,
        n: int = 4,
        block_size: int = 512,
        log_level: str = "info",
        attr_timeout_s: float = 1.0,
        shutdown_grace: float = 3.0,
        meta_host: str = LOOPBACK,
        data_hosts: Sequence[str] = (),
        secret: bytes | None = None,
        tls: TlsConfig | None = None,
        channel: FuseChannel | None = None,
    ) -> None:
        """Nothing runs yet.

        Arguments: `meta_host`, `data_hosts`: loopback addresses of the servers, if each shall have its own; `secret`: the cluster
        key, if there shall be one; `tls`: the files of [tls], for all programs, if there shall be TLS; `channel`: of the mounts to
        the kernel; None: what the test run chose.
        """
        self.folder = folder
        self.n = n
        self.block_size = block_size
        self.attr_timeout_s = attr_timeout_s
        self.shutdown_grace = shutdown_grace
        self.config_file = folder / "dfs.conf"
        self.key_file = folder / "cluster.key"
        self.secret = secret
        self.meta_host = meta_host
        self.tls = tls
        self.channel = channel or chosen_channel()
        self.data_hosts = tuple(data_hosts) or (LOOPBACK,) * n
        self.meta_port, *data_ports = free_ports(1 + n)
        self.data_ports = tuple(data_ports)
        self._allowed: list[str] = []
        self._mounts: dict[int, MountProgram] = {}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log").mkdir(exist_ok=True)
        if secret is not None:
            create_key_file(self.key_file, (Key(secret),))
        self.config_file.write_text(self._config_text(log_level))
        self.meta = self._program("meta", "dfs.cli.meta")
        self._data = [self._program(f"data{index}", "dfs.cli.data", index) for index in range(n)]

    def _config_text(self, log_level: str) -> str:
        key_line = f"\nkey_file = {self.key_file}" if self.secret is not None else ""
        parts = [f"[cluster]\nname = test\nblock_size = {self.block_size}{key_line}", f"[log]\nlevel = {log_level}"]
        parts.append(f"[mount]\nattr_timeout_s = {self.attr_timeout_s}\nshutdown_grace = {self.shutdown_grace}")
        parts.append(f"fuse_channel = {self.channel}")
        if self.tls is not None:
            parts.append(f"[tls]\ncertificate = {self.tls.certificate}\nkey = {self.tls.key}\nca = {self.tls.ca}")
        parts.append(f"[meta]\naddress = {self.meta_address}\nstate = {self.folder}/meta")
        parts += [
            f"[data:{index}]\naddress = {host}:{port}\nstate = {self.state_folder(index)}"
            for index, (host, port) in enumerate(zip(self.data_hosts, self.data_ports, strict=True))
        ]
        return "\n".join(parts) + "\n"

    def _program(self, name: str, module: str, *arguments: object) -> Program:
        command = module_command(module, *arguments, "--config", self.config_file)
        return Program(name, command, self.folder / "log" / f"{name}.log", self.folder)

    @property
    def meta_address(self) -> str:
        """The meta-server's host:port."""
        return f"{self.meta_host}:{self.meta_port}"

    def data(self, index: int) -> Program:
        """Return data server `index`."""
        return self._data[index]

    def mount(self, number: int = 0, options: str = "") -> MountProgram:
        """Return mount `number`, which stands in FOLDER/mnt<number>; `options` of mount.dfs(8) count when it is first named."""
        if number not in self._mounts:
            path = self.folder / f"mnt{number}"
            command = module_command("dfs.cli.mount", path, "--config", self.config_file, *(["-o", options] if options else []))
            log_file = self.folder / "log" / f"mount{number}.log"
            self._mounts[number] = MountProgram(f"mount{number}", command, log_file, self.folder, path)
        return self._mounts[number]

    def programs(self) -> list[Program]:
        """Return all programs, mounts first."""
        return [*self._mounts.values(), *self._data, self.meta]

    # --- running --------------------------------------------------------------------------------------------------------

    def start(self, *, mounts: int = 0) -> None:
        """Start all servers at once and `mounts` mounts, and wait until everything answers."""
        for program in (self.meta, *self._data):
            program.start()
        self.wait_ready()
        for number in range(mounts):
            self.mount(number).start()
        for number in range(mounts):
            self.mount(number).wait_ready()

    def stop(self) -> None:
        """Unmount and stop everything that runs, as an administrator does; fails the test if something ends badly."""
        for mount in self._mounts.values():
            if mount.is_running():
                assert mount.unmount() == 0, mount.log_text()
        for program in (self.meta, *self._data):
            if program.is_running():
                assert program.stop() == 0, program.log_text()

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until all servers that were started answer calls."""
        makers = (self.meta_rpc, *(functools.partial(self.rpc, index) for index in range(self.n)))
        for program, make in zip((self.meta, *self._data), makers, strict=True):
            if program.is_running():
                wait_until(lambda make=make: answers(make()), f"{program.name} to answer", timeout_s)  # type: ignore[misc]

    def restart(self, program: Program) -> None:
        """Start a program that has ended and wait until it answers."""
        program.start()
        self.wait_ready()
        if isinstance(program, MountProgram):
            program.wait_ready()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End everything, whatever state it is in."""
        for program in self.programs():
            program.end_for_sure()

    # --- looking --------------------------------------------------------------------------------------------------------

    def meta_rpc(self) -> xmlrpc.client.ServerProxy:
        """Return a stock XML-RPC client of the meta-server."""
        return stock_client(self.meta_port, self.meta_host, self.secret, "meta", self.tls)

    def rpc(self, index: int) -> xmlrpc.client.ServerProxy:
        """Return a stock XML-RPC client of a data server."""
        return stock_client(self.data_ports[index], self.data_hosts[index], self.secret, f"data/{index}", self.tls)

    def logs(self) -> str:
        """Return all logs, each under its program's name."""
        return "\n".join(f"--- {program.name}\n{program.log_text()}" for program in self.programs())

    def allow(self, *patterns: str) -> None:
        """Declare lines (regular expressions) that this test expects in the logs at WARNING or above."""
        self._allowed += patterns

    def assert_quiet(self, *allowed: str) -> None:
        """Fail if a log has a line at WARNING or above that was not declared here or by allow()."""
        patterns = [*self._allowed, *allowed]
        loud = [line for program in self.programs() for line in program.loud_lines()]
        unexpected = [line for line in loud if not any(re.search(pattern, line) for pattern in patterns)]
        assert not unexpected, "undeclared lines in the logs:\n" + "\n".join(unexpected)

    # --- the disks ------------------------------------------------------------------------------------------------------

    def state_folder(self, index: int) -> Path:
        """Return the folder in which a data server keeps its state."""
        return self.folder / f"data{index}"


def stock_client(
    port: int, host: str = LOOPBACK, secret: bytes | None = None, receiver: str = "", tls: TlsConfig | None = None
) -> xmlrpc.client.ServerProxy:
    """Return Python's own XML-RPC client for a server on loopback; with a cluster key, which is not for TLS, it signs its calls to
    `receiver`.
    """
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(tls.ca)
        context.load_cert_chain(tls.certificate, tls.key)
        return xmlrpc.client.ServerProxy(f"https://{host}:{port}", use_builtin_types=True, context=context)
    transport = None if secret is None else SignedTransport(secret, receiver)
    return xmlrpc.client.ServerProxy(f"http://{host}:{port}", transport=transport, use_builtin_types=True)


def is_answering(port: int, host: str = LOOPBACK) -> bool:
    """Tell whether a server on loopback answers calls."""
    return answers(stock_client(port, host))


def answers(proxy: xmlrpc.client.ServerProxy) -> bool:
    """Tell whether a server answers calls."""
    try:
        with proxy as client:
            client.system.listMethods()
    except (OSError, xmlrpc.client.Error):
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Return TCP ports on which nobody listens."""
    ports: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            break
    assert len(ports) == count, "no free ports"
    return ports
