"""A whole cluster on this machine for trying dfs out: `make up` and `make down`.

Owns the folder it is given: FOLDER/dfs.conf, the servers' state below it, FOLDER/log/*.log and FOLDER/pid/*. `up` starts
what does not run yet and may be repeated; `down` stops whatever is left, also with servers dead or the mount in use, and
keeps the data. Waits are bounded. Never touches a process that the folder's pid files do not name.

Usage: python -m dfs.cli.local_cluster up|down [--base-port PORT] [--folder DIR] [--mount DIR] [--servers N]
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dfs.cli.arguments import PORT_MAX, make_parser, parse_port, run_program
from dfs.cli.background import BackgroundProgram, program_command
from dfs.cli.mount_table import absolute, find_holders, find_mount, is_mounted, unmount
from dfs.cli.polling import POLL_S, poll_until
from dfs.core.errors import ExitCode
from dfs.core.limits import SERVERS_MAX, SERVERS_MIN
from dfs.core.start_errors import AddressInUse, MountPointError, PeerStartError, UsageError
from dfs.host.clock import SystemClock

PROGRAM: Final = "local_cluster"
BASE_PORT: Final = 9000
FOLDER: Final = Path("run")
MOUNT: Final = Path("mnt")
DATA_PORTS_FROM: Final = 100
"""The first data server's port, counted from the base port."""
START_TIMEOUT_S: Final = 20.0
MOUNT_TIMEOUT_S: Final = 40.0
"""dfs-mount itself waits up to 30 s for servers."""
STOP_TIMEOUT_S: Final = 35.0
"""Every program bounds its own stop to less than this."""
LOG_LINES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """Where one local cluster lives."""

    folder: Path
    mount: Path
    base_port: int
    servers: int

    def config_file(self) -> Path:
        """Return the path of the configuration that all its programs read."""
        return self.folder / "dfs.conf"

    def config_text(self) -> str:
        """Return the configuration: defaults except addresses, state folders and, for another user than root, allow_other."""
        sections = ["[cluster]\nname = local\n", f"[meta]\naddress = {self.meta_address()}\nstate = {self.folder}/meta\n"]
        for index in range(self.servers):
            address = self.data_address(index)
            sections.append(f"[data:{index}]\naddress = {address}\nstate = {self.folder}/data{index}\n")
        sections.append(f"[mount]\nallow_other = {'yes' if os.geteuid() == 0 else 'no'}\n")
        return "\n".join(sections)

    def meta_address(self) -> str:
        """Return the meta-server's host:port."""
        return f"127.0.0.1:{self.base_port}"

    def data_address(self, index: int) -> str:
        """Return a data server's host:port."""
        return f"127.0.0.1:{self.base_port + DATA_PORTS_FROM + index}"

    def meta(self) -> BackgroundProgram:
        """Return the meta-server."""
        return self._program("meta", "meta-server", "dfs.cli.meta", [])

    def data(self, index: int) -> BackgroundProgram:
        """Return data server `index`."""
        return self._program(f"data{index}", f"data server {index}", "dfs.cli.data", [str(index)])

    def mounter(self) -> BackgroundProgram:
        """Return the mount program."""
        return self._program("mount", "mount", "dfs.cli.mount", [str(self.mount)])

    def all_servers(self) -> Iterator[tuple[BackgroundProgram, str]]:
        """Return each server and its address."""
        yield self.meta(), self.meta_address()
        for index in range(self.servers):
            yield self.data(index), self.data_address(index)

    def _program(self, file_name: str, name: str, module: str, arguments: Sequence[str]) -> BackgroundProgram:
        command = program_command(sys.executable, module, [*arguments, "--config", str(self.config_file())])
        return BackgroundProgram(name, command, self.folder / "pid" / f"{file_name}.pid", self.folder / "log" / f"{file_name}.log")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `up` or `down` and return the exit code."""
    return run_program(PROGRAM, lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    parser = make_parser(PROGRAM, "Start or stop a cluster with a mount on this machine.")
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("--base-port", type=parse_port, default=BASE_PORT, help="meta-server's port; data servers: 100 more and up")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"configuration, state, logs (default: ./{FOLDER})")
    parser.add_argument("--mount", type=Path, default=MOUNT, help=f"mount point (default: ./{MOUNT})")
    parser.add_argument("--servers", type=int, default=4, help="number of data servers (default: 4)")
    options = parser.parse_args(argv)
    if not SERVERS_MIN <= options.servers <= SERVERS_MAX:
        raise UsageError(expected=f"{SERVERS_MIN} to {SERVERS_MAX} data servers", got=str(options.servers))
    if options.base_port + DATA_PORTS_FROM + options.servers - 1 > PORT_MAX:
        raise UsageError(expected=f"a base port that leaves all ports below {PORT_MAX}", got=str(options.base_port))
    cluster = LocalCluster(absolute(options.folder), absolute(options.mount), options.base_port, options.servers)
    return start(cluster) if options.action == "up" else stop(cluster)


# --- up ----------------------------------------------------------------------------------------------------------------


def start(cluster: LocalCluster) -> int:
    """Start what does not run yet, mount, and say what runs where."""
    _refuse_foreign_mount(cluster)
    _write_config(cluster)
    missing = [(program, address) for program, address in cluster.all_servers() if program.find() is None]
    for program, address in missing:
        if _listens(address):
            raise AddressInUse(expected=f"{address} to be free for {program.name}", got="another process that listens there")
    started = [(program, address, program.start()) for program, address in missing]
    for program, address, process in started:
        _wait_until_listening(program, address, process)
    _mount(cluster)
    _tell_what_runs(cluster)
    return ExitCode.DONE


def _write_config(cluster: LocalCluster) -> None:
    """Write the configuration; refuse to change it under programs that run with another one."""
    file, text = cluster.config_file(), cluster.config_text()
    cluster.folder.mkdir(parents=True, exist_ok=True)
    if file.exists() and file.read_text() == text:
        return
    running = [program.name for program, _ in cluster.all_servers() if program.find() is not None]
    if running:
        raise UsageError(
            expected=f"the same ports and servers as in {file} while they run (`make down` first)",
            got=f"others, with {', '.join(running)} running",
        )
    file.write_text(text)


def _wait_until_listening(program: BackgroundProgram, address: str, process: subprocess.Popen[bytes]) -> None:
    def is_up() -> bool:
        if _listens(address):
            return True
        if process.poll() is not None:
            raise PeerStartError(expected=f"{program.name} to run", got=f"exit status {process.returncode}; {_last_words(program)}")
        return False

    if not poll_until(is_up, START_TIMEOUT_S):
        raise PeerStartError(
            expected=f"{program.name} to listen on {address} within {START_TIMEOUT_S:.0f} s", got=f"nothing; {_last_words(program)}"
        )


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1.0).close()
    except OSError:
        return False
    return True


def _mount(cluster: LocalCluster) -> None:
    mounter = cluster.mounter()
    if mounter.find() is not None and is_mounted(cluster.mount):
        return
    _clear_mount_point(cluster)
    cluster.mount.mkdir(parents=True, exist_ok=True)
    process = mounter.start()
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + MOUNT_TIMEOUT_S

    def is_up() -> bool:
        if is_mounted(cluster.mount) and _answers(cluster.mount, deadline_s - clock.monotonic_s()):
            return True
        if process.poll() is not None:
            raise MountPointError(
                expected=f"{cluster.mount} to be mounted", got=f"exit status {process.returncode}; {_last_words(mounter)}"
            )
        return False

    if not poll_until(is_up, MOUNT_TIMEOUT_S):
        raise MountPointError(
            expected=f"{cluster.mount} to answer within {MOUNT_TIMEOUT_S:.0f} s", got=f"nothing; {_last_words(mounter)}"
        )


def _refuse_foreign_mount(cluster: LocalCluster) -> None:
    there = find_mount(cluster.mount)
    if there is not None and not is_mounted(cluster.mount):
        raise MountPointError(expected=f"{cluster.mount} to be free", got=f"a mount of type {there.type.decode()}")


def _clear_mount_point(cluster: LocalCluster) -> None:
    """Take away what a dead mount program left behind."""
    cluster.mounter().stop(STOP_TIMEOUT_S)
    if is_mounted(cluster.mount):
        unmount(cluster.mount, lazy=True)


def _answers(path: Path, timeout_s: float) -> bool:
    """Tell whether the mount answers, asking from a process of its own: a mount that hangs must not take us along."""
    try:
        done = subprocess.run(
            ["stat", "--file-system", str(path)], check=False, capture_output=True, timeout=max(timeout_s, POLL_S)
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _last_words(program: BackgroundProgram) -> str:
    lines = program.last_log_lines(LOG_LINES_SHOWN)
    return f"{program.log_file} ends: {' | '.join(lines)}" if lines else f"{program.log_file} is empty"


def _tell_what_runs(cluster: LocalCluster) -> None:
    mount, config = cluster.mount, cluster.config_file()
    print(f"{'meta-server':14} {cluster.meta_address()}")
    for index in range(cluster.servers):
        print(f"{f'data server {index}':14} {cluster.data_address(index)}")
    print(f"{'mount':14} {mount}")
    print(f"{'configuration':14} {config}")
    print(f"{'logs':14} {cluster.folder}/log/*.log")
    print("Try:")
    print(f"  cp -r dfs {mount}/ && diff -r dfs {mount}/dfs && echo equal")
    print(f"  {Path(sys.executable).parent}/dfsctl status --config {config}")
    print(f"  kill -9 $(cut -d' ' -f1 {cluster.data(1).pid_file}) && cat {mount}/dfs/*.py && {_make_command(cluster)}")


def _make_command(cluster: LocalCluster) -> str:
    """Return how this cluster is started from the checkout."""
    words = ["make up"]
    if cluster.base_port != BASE_PORT:
        words.append(f"PORT_BASE={cluster.base_port}")
    if cluster.mount != absolute(MOUNT):
        words.append(f"MNT={cluster.mount}")
    return " ".join(words)


# --- down --------------------------------------------------------------------------------------------------------------


def stop(cluster: LocalCluster) -> int:
    """Unmount and stop everything that runs, whatever state it is in."""
    _unmount(cluster)
    _end(cluster.mounter())
    cluster.meta().signal(signal.SIGTERM)
    _end(cluster.meta())  # before the data servers: it leaves them a snapshot
    servers = _servers_by_pid_file(cluster)
    for program in servers:
        program.signal(signal.SIGTERM)
    for program in servers:
        _end(program)
    print(f"Stopped. The data stays in {cluster.folder}.")
    return ExitCode.DONE


def _servers_by_pid_file(cluster: LocalCluster) -> list[BackgroundProgram]:
    """Return all servers that were started here, whatever number is asked for now."""
    indexes = {int(file.stem.removeprefix("data")) for file in (cluster.folder / "pid").glob("data[0-9]*.pid")}
    return [*(cluster.data(index) for index in sorted(indexes)), cluster.meta()]


def _unmount(cluster: LocalCluster) -> None:
    if not is_mounted(cluster.mount) or unmount(cluster.mount):
        return
    for holder in find_holders(cluster.mount):
        print(f"{cluster.mount} is in use by process {holder.pid} ({holder.command}): {holder.path}")
    print(f"{cluster.mount} is unmounted lazily: programs that use it will get errors")
    if not unmount(cluster.mount, lazy=True):
        raise MountPointError(expected=f"{cluster.mount} to be unmounted", got="still mounted; are you root?")


def _end(program: BackgroundProgram) -> None:
    if program.find() is None:
        program.wait_for_end(0)
    elif not program.stop(STOP_TIMEOUT_S):
        print(f"{program.name} did not end within {STOP_TIMEOUT_S:.0f} s and was killed")


if __name__ == "__main__":
    sys.exit(main())
