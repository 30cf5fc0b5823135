"""Goal: with the packages installed, TLS is three files and three lines away, the servers' units can read the files, and nobody
else can. Method: a booted host, certificates as `dfsctl tls init` makes them, installed by the command that it prints.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.booted_host import BootedHost
from tests.harness.certificates import Certificates
from tests.harness.waiting import wait_until
from tests.packaging.installed_cluster import META, InstalledCluster, data

pytestmark = pytest.mark.timeout(600)  # the first test of a machine waits for the root file system to be made
TLS = "[tls]\n" + "".join(f"{key} = /etc/dfs/tls/{name}.pem\n" for key, name in (("certificate",) * 2, ("key",) * 2, ("ca",) * 2))
SAYS = "TLS is on with the certificate of localhost"


def test_installed_servers_and_a_mount_talk_over_tls_with_files_that_others_can_not_read(
    make_host: Callable[[str], BootedHost], tmp_path: Path
) -> None:
    host, certificates = make_host("secured"), Certificates(tmp_path / "ca")
    cluster = InstalledCluster(host)
    certificates.host("localhost", "127.0.0.1")
    install(host, tmp_path)
    assert host.run("stat", "--format=%U:%G %a", "/etc/dfs/tls", "/etc/dfs/tls/key.pem").splitlines() == [
        "root:dfs 750",
        "root:dfs 640",
    ]
    assert host.try_to("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", "/etc/dfs/tls/key.pem").returncode != 0
    cluster.configure(TLS)
    cluster.set_up()
    cluster.write("secret", "All is well.\n")
    assert cluster.read("secret") == "All is well.\n"
    assert "localhost" in host.run("dfsctl", "config", "check")
    assert host.run("dfsctl", "tls", "show").startswith("/etc/dfs/tls/certificate.pem: certificate localhost, valid:")
    for unit in (META, data(0), data(3)):
        assert sum(SAYS in message for message in cluster.messages(unit)) == 1

    certificates.renew("localhost")
    install(host, tmp_path)
    host.run("systemctl", "reload", META)
    wait_until(lambda: sum(SAYS in message for message in cluster.messages(META)) == 2, "the new certificate to be told of")
    cluster.hit(data(0), "KILL")
    cluster.write("secret", "And goes on.\n")
    assert cluster.read("secret") == "And goes on.\n"
    cluster.unmount()


def install(host: BootedHost, folder: Path) -> None:
    """Do what `dfsctl tls init` says."""
    host.run("rm", "-rf", "/root/localhost")
    host.bring(sorted((folder / "ca" / "localhost").glob("*.pem")), "/root/localhost")
    host.run("sh", "-c", "install -g dfs -m 640 /root/localhost/*.pem /etc/dfs/tls/")
