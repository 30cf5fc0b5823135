"""A cluster as it is meant to be: a meta-server, three data servers and a client, each a booted host on one private network.

Both releases of Debian take part. Every server keeps its state on a disk of its own; the client mounts by fstab. Hosts are
described before their first boot, with what an administrator types on the client.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.harness.booted_host import BootedHost, boot_all
from tests.harness.host_disk import HostDisk
from tests.harness.host_network import HostNetwork
from tests.harness.leftovers import marked_environment
from tests.harness.program import module_command
from tests.harness.root_filesystem import DEBIAN_12, DEBIAN_13
from tests.harness.waiting import wait_until

META: Final = "meta"
CLIENT: Final = "client"
DATA: Final = ("data0", "data1", "data2")
SUITES: Final = {META: DEBIAN_12, "data0": DEBIAN_12, "data1": DEBIAN_13, "data2": DEBIAN_12, CLIENT: DEBIAN_13}
POINT: Final = "/mnt/dfs"
AUTOMOUNT: Final = "/mnt/on demand"
AUTOMOUNT_UNIT: Final = "mnt-on\\x20demand.mount"
MOUNT_UNIT: Final = "mnt-dfs.mount"
CLIENT_UNIT: Final = "dfs-mount@mnt-dfs.service"
CLUSTER_KEY: Final = "/etc/dfs/cluster.key"
CLIENT_KEY: Final = "/etc/dfs/client.key"
NETWORK_CONF: Final = f"[cluster]\nkey_file = {CLUSTER_KEY}\n[data]\nrequire_mount = yes\n"
OPTIONS: Final = f"_netdev,nofail,key_file={CLIENT_KEY}"
FSTAB: Final = f"""\
meta:9000 /mnt/dfs dfs {OPTIONS} 0 0
meta:9000 /mnt/on\\040demand dfs {OPTIONS},x-systemd.automount,x-systemd.idle-timeout=2,retry=200ms 0 0
"""
CLUSTER_CONF: Final = "/etc/dfs/dfs.conf.d/10-cluster.conf"
UNITS: Final = "/usr/lib/systemd/system"
LOAD: Final = Path(__file__).with_name("verifying_load.py")
LEDGER: Final = "/var/lib/load"
HEALTHY_S: Final = 40.0


def unit_of(name: str) -> str:
    """Return the unit of the server on a host."""
    return "dfs-meta.service" if name == META else f"dfs-data@{name.removeprefix('data')}.service"


class FiveHosts:
    """The hosts by name, and the load on the client. Made by five_hosts()."""

    def __init__(self, network: HostNetwork, hosts: Mapping[str, BootedHost]) -> None:
        self.network = network
        self.hosts = hosts
        self.client = hosts[CLIENT]

    @property
    def servers(self) -> Sequence[BootedHost]:
        """The hosts of the meta-server and the data servers."""
        return [host for name, host in self.hosts.items() if name != CLIENT]

    def describe(self) -> None:
        """Write down on the client which servers there are, as an administrator does, and take that to the other hosts."""
        addresses = ",".join(f"{name}:{9100 + index}" for index, name in enumerate(DATA))
        self.client.run("dfsctl", "init", "--meta", "meta:9000", "--servers", addresses)
        described = (self.client.root / CLUSTER_CONF.lstrip("/")).read_bytes()
        for host in self.servers:
            host.put(CLUSTER_CONF, described)

    def all_on(self) -> None:
        """Switch on what is off, and wait until the cluster is well and mounted."""
        off = [host for host in self.hosts.values() if not host.is_on]
        boot_all(off)
        self.wait_until_healthy()
        wait_until(self.is_mounted, "the client to have mounted")

    def is_mounted(self, point: str = POINT) -> bool:
        """Tell whether programs on the client find the file system there."""
        return self.client.try_to("mountpoint", "--quiet", point).returncode == 0

    def is_healthy(self) -> bool:
        """Tell whether all servers are well."""
        return self.client.try_to("dfsctl", "status").returncode == 0

    def wait_until_healthy(self) -> None:
        """Wait until all servers are well."""
        wait_until(self.is_healthy, "the cluster to be healthy", HEALTHY_S)

    def have_load(self) -> None:
        """Have the client write, read and check without end; returns when it does."""
        if self.client.try_to("systemctl", "is-active", "--quiet", "load").returncode:
            self.client.bring([LOAD], "/root")
            words = ["systemd-run", "--quiet", "--collect", "--unit=load", "python3", f"/root/{LOAD.name}", POINT, LEDGER, "run"]
            self.client.run(*words)
        self.wait_for_more("writes")

    def progress(self, what: str) -> int:
        """Return how many reads, or writes, the load has done; 0 before the first one."""
        try:
            return int(json.loads((self.client.root / f"{LEDGER}.state".lstrip("/")).read_text())[what])
        except FileNotFoundError:
            return 0

    def has_not_written_since(self, count: int) -> bool:
        """Tell whether the load has done no more than so many writes."""
        return self.progress("writes") <= count

    def wait_for_more(self, what: str, count: int = 5) -> None:
        """Wait until the load has done some more reads, or writes."""
        before = self.progress(what)
        # A file that a client was writing when it died is settled when its lease has run out, after half a minute.
        wait_until(lambda: self.progress(what) >= before + count, f"{count} more {what} after {before}", 45)

    def client_pid(self) -> str:
        """Return the process that serves the mount, "0" if there is none."""
        return self.client.run("systemctl", "show", "--property=MainPID", "--value", CLIENT_UNIT).strip()

    def serves_anew(self, pid: str) -> bool:
        """Tell whether the mount can be used, and another process than `pid` serves it."""
        serving = self.client_pid()
        # A dead mount is taken away before the next one comes.
        return serving not in ("0", pid) and self.is_mounted() and self.client.try_to("timeout", "1", "ls", POINT).returncode == 0

    def errors(self) -> str:
        """Return what the load has found wrong."""
        try:
            return (self.client.root / f"{LEDGER}.errors".lstrip("/")).read_text()
        except FileNotFoundError:
            return ""

    def check_all(self) -> None:
        """Read everything that was acknowledged to the load, whole and not older."""
        assert not self.errors(), self.errors()
        done = self.client.try_to("python3", f"/root/{LOAD.name}", POINT, LEDGER, "check")
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) > 0


@contextmanager
def five_hosts(installations: Mapping[str, tuple[Path, ...]], folder: Path) -> Iterator[FiveHosts]:
    """Make the hosts. The client is on, alone, and has described the cluster; the servers are off."""
    with ExitStack() as stack:
        network = stack.enter_context(HostNetwork(*SUITES))
        hosts = {}
        for name, suite in SUITES.items():
            disks = [] if name == CLIENT else [HostDisk(folder / f"{name}.disk", f"/var/lib/dfs/{name}")]
            host = BootedHost(name, installations[suite], folder / name, wiring=network.wiring(name), disks=disks)
            hosts[name] = stack.enter_context(host)
            _furnish(host, network)
        _give_keys(hosts, folder)
        made = FiveHosts(network, hosts)
        made.client.switch_on()
        made.client.wait_for_boot("multi-user.target")  # a mount that waits is not waited for
        made.describe()
        yield made


def _furnish(host: BootedHost, network: HostNetwork) -> None:
    """Write what makes a host a part of this network and gives it its task."""
    links = network.links()
    for path, content in network.files(host.name).items():
        host.put(path, content)
    host.put("/etc/dfs/dfs.conf.d/05-network.conf", NETWORK_CONF)
    if host.name != META:  # the package starts it
        links |= {f"/etc/systemd/system/{unit}": "/dev/null" for unit in ("dfs-meta.service", "dfs-meta.socket")}
    if host.name in DATA:
        links[f"/etc/systemd/system/dfs.target.wants/{unit_of(host.name)}"] = f"{UNITS}/dfs-data@.service"
    if host.name == CLIENT:
        host.put("/etc/fstab", FSTAB)
    for path, target in links.items():
        host.link(path, target)


def _give_keys(hosts: Mapping[str, BootedHost], folder: Path) -> None:
    """Give the servers the cluster key, and the client, on which the administrator works, that and one for its mounts."""
    cluster_key, client_key = folder / "cluster.key", folder / "client.key"
    for words in (["generate", cluster_key], ["client", CLIENT, "--key-file", cluster_key, "--out", client_key]):
        subprocess.run(module_command("dfs.cli.dfsctl", "key", *words), env=marked_environment(), check=True, capture_output=True)
    for host in hosts.values():
        _put_secret(host, CLUSTER_KEY, cluster_key.read_bytes())
    _put_secret(hosts[CLIENT], CLIENT_KEY, client_key.read_bytes())


def _put_secret(host: BootedHost, path: str, secret: bytes) -> None:
    """Write a file that root and the servers' group may read."""
    host.put(path, secret)
    known = next(file for layer in host.layers if (file := layer / "etc" / "group").exists())
    groups = dict(line.split(":")[0:3:2] for line in known.read_text().splitlines())
    target = host.root / path.lstrip("/")
    os.chown(target, 0, int(groups["dfs"]))
    target.chmod(0o640)
