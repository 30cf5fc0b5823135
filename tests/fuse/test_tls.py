"""Goal: a cluster whose certificates `dfsctl tls init` made works over TLS from end to end, goes on through a crash and a renewal,
and keeps out who has no certificate. Method: the programs themselves, one configuration file, a real mount; certificates that end
within days, so that every program must say so, until `dfsctl tls renew`.
"""

from __future__ import annotations

import filecmp
import json
import shutil
import signal
import subprocess
import threading
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path

import pytest

from dfs.core.config import TlsConfig
from dfs.core.errors import ExitCode
from tests.harness.cluster import Cluster, stock_client
from tests.harness.leftovers import marked_environment
from tests.harness.program import ROOT, module_command
from tests.harness.waiting import wait_until

TREE = ROOT / "dfs" / "rpc"
SOON = r"ERROR \S+: the certificate of localhost in \S+ is valid until \S+ \S+ UTC \(\d days left\)"


def run(module: str, *arguments: object, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    variables = marked_environment() | {"PYTHONPATH": str(ROOT), "DFS_CONFIG": "/nonexistent"}
    command = module_command(module, *arguments)
    return subprocess.run(command, check=False, env=variables, capture_output=True, text=True, timeout=timeout_s)


def dfsctl(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run("dfs.cli.dfsctl", *arguments)


def files_in(folder: Path) -> TlsConfig:
    return TlsConfig(*(str(folder / name) for name in ("certificate.pem", "key.pem", "ca.pem")))


@pytest.fixture
def secured(make_cluster: Callable[..., Cluster], tmp_path: Path) -> Cluster:
    """A running cluster with a mount, over TLS with certificates that end in 5 days."""
    out = tmp_path / "dfs-tls"
    made = dfsctl("tls", "init", "--host", "localhost,127.0.0.1", "--client", "laptop", "--days", 5, "--out", out)
    assert made.returncode == 0, made.stderr
    cluster = make_cluster(n=3, block_size=1024, tls=files_in(out / "localhost"))
    cluster.allow(SOON)
    cluster.start(mounts=1)
    return cluster


def test_cluster_over_tls_serves_a_mount_through_crash_and_renewal(secured: Cluster, tmp_path: Path) -> None:
    mount, meta, out = secured.mount(), secured.meta, tmp_path / "dfs-tls"
    for program in (meta, secured.data(0), mount):
        program.wait_for_log(SOON)
    shutil.copytree(TREE, mount.path / "tree")
    assert_same(mount.path / "tree")

    secured.data(1).kill()
    assert_same(mount.path / "tree")  # from the other copies
    writer = threading.Thread(target=shutil.copytree, args=(TREE, mount.path / "second"))
    writer.start()  # waits for both copies
    secured.allow("WARNING .*: (writing waits for )?server 1[: ]", "the last stop was not clean")
    secured.restart(secured.data(1))
    writer.join(60)
    assert not writer.is_alive()
    assert_same(mount.path / "second")

    assert dfsctl("tls", "show", "--config", secured.config_file).returncode == ExitCode.FAILED
    renewed = dfsctl("tls", "renew", "--out", out)
    assert renewed.returncode == 0, renewed.stderr
    assert str(out / "localhost") in renewed.stdout
    assert dfsctl("tls", "show", "--config", secured.config_file).returncode == 0
    meta.process.send_signal(signal.SIGHUP)
    wait_until(
        lambda: meta.log_text().count("TLS is on with the certificate of localhost") == 2, "meta to read its new certificate"
    )
    shutil.copytree(TREE, mount.path / "third")
    secured.meta.kill()
    secured.allow("WARNING .*: waiting for meta-server")
    secured.restart(meta)
    assert_same(mount.path / "third")
    assert dfsctl("status", "--config", secured.config_file).returncode == 0


def test_who_has_no_certificate_is_kept_out_and_told_why(secured: Cluster, tmp_path: Path) -> None:
    secured.allow("WARNING .* refused a connection from 127.0.0.1: it does not use TLS")
    why = "it uses TLS only, and this side does not: [tls] is missing in the configuration here"
    told = dfsctl("status", "--meta", secured.meta_address)
    assert (told.returncode, told.stderr) == (
        ExitCode.PEER,
        f"dfsctl: meta-server at {secured.meta_address} can't be trusted or does not trust us: {why}\n",
    )
    (tmp_path / "mnt").mkdir()
    mounted = run("dfs.cli.mount", tmp_path / "mnt", "--meta", secured.meta_address, timeout_s=20)
    assert mounted.returncode == ExitCode.PEER
    assert why in mounted.stderr
    with pytest.raises(xmlrpc.client.ProtocolError, match="426 Upgrade Required"):
        stock_client(secured.data_ports[0]).system.listMethods()
    found = json.loads(dfsctl("diagnose", "--json", "--meta", secured.meta_address).stdout)["findings"]
    assert "tls-refused" in [finding["situation"] for finding in found]
    laptop = files_in(tmp_path / "dfs-tls" / "laptop")
    with stock_client(secured.meta_port, tls=laptop) as client:
        assert client.system.listMethods()


def assert_same(folder: Path) -> None:
    """Compare a copy of TREE with it, byte by byte."""
    names = [path.name for path in TREE.glob("*.py")]
    assert len(names) > 10
    assert filecmp.cmpfiles(TREE, folder, names, shallow=False) == (names, [], [])
