"""Goal: with a cluster key the whole cluster works as without, each program with the key that is meant for it; without one, or
with the wrong one, everybody is told clearly. Without any key a server of one user is closed to the others of the machine.

Method: real processes; keys are made and changed with dfsctl as an operator does it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.cluster import Cluster, MountProgram
from tests.harness.leftovers import marked_environment
from tests.harness.program import ANYBODYS_PYTHON, ROOT, Program, module_command
from tests.harness.waiting import wait_until

REFUSED_LINE = r"a request from 127\.0\.0\.1 was refused, "


def dfsctl(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = module_command("dfs.cli.dfsctl", *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=marked_environment(), cwd=ROOT)


def mount_by_address(cluster: Cluster, number: int, key_file: Path | None) -> MountProgram:
    """Return a mount that knows the meta-server's address and, perhaps, a key, and has no configuration."""
    path = cluster.folder / f"client{number}"
    options = "retry=20" + (f",key_file={key_file}" if key_file is not None else "")
    command = module_command("dfs.cli.mount", path, "--meta", cluster.meta_address, "-o", options)
    return MountProgram(f"client{number}", command, cluster.folder / f"client{number}.log", cluster.folder, path)


def reload_all(servers: list[Program], times: int) -> None:
    """Have all servers read their keys again, for the so-manieth time."""
    for server in servers:
        os.kill(server.pid, signal.SIGHUP)
    for server in servers:
        server.wait_for_log(rf"(?s)(keys were read again.*){{{times}}}")


@pytest.fixture
def keyed(make_cluster: Callable[..., Cluster]) -> Cluster:
    """Return a running cluster with a key and one mount."""
    cluster = make_cluster(secret=os.urandom(32))
    cluster.start(mounts=1)
    return cluster


def test_each_program_does_its_work_with_its_key_and_no_other(keyed: Cluster) -> None:
    cluster = keyed
    config, data = ("--config", cluster.config_file), os.urandom(300_000)
    laptop = cluster.folder / "laptop.key"
    assert dfsctl("key", "client", "laptop", "--out", laptop, *config).returncode == 0
    with_laptop = ("--meta", cluster.meta_address, "--key-file", laptop)

    # A host that only mounts needs no more than the client's key, and a configuration is no must.
    client = mount_by_address(cluster, 1, laptop)
    try:
        client.start()
        client.wait_ready()
        (client.path / "file").write_bytes(data)
        assert (cluster.mount().path / "file").read_bytes() == data

        # It may look, but not administrate.
        assert dfsctl("status", *with_laptop).returncode == 0
        for command in (
            ["fsck"],
            ["lost", "--everywhere"],
            ["scrub"],
            ["meta", "accept-rollback"],
            ["meta", "backup", cluster.folder / "b"],
        ):
            done = dfsctl(*command, *with_laptop)
            assert done.returncode == 5, done.stdout + done.stderr
            assert "is not for a caller with the key of kind client" in done.stderr
        for method, arguments in (("drop", ["[3]"]), ("note_mark", ["9"]), ("accept_loss", [])):
            done = dfsctl("rpc", "--data", "0", method, *arguments, *with_laptop)
            assert f"{method} is not for a caller with the key of kind client" in done.stderr
    finally:
        client.end_for_sure()
    cluster.allow("client1")  # its session may be found to have expired

    # Servers and administrators do, and so does a stock client with a few lines more.
    assert dfsctl("fsck", *config).returncode == 0
    assert dfsctl("scrub", "--wait", *config).returncode == 0
    assert "no such file or folder: none" in dfsctl("rpc", "lookup", "1", "b:none", *config).stderr
    assert json.loads(dfsctl("rpc", "--data", "1", "identify", *config).stdout)["index"] == 1
    assert "put" in json.loads(dfsctl("rpc", "--data", "1", "system.listMethods", *config).stdout)
    told: Any = cluster.rpc(2).identify()
    assert told["index"] == 2
    cluster.data(1).kill()
    assert (cluster.mount().path / "file").read_bytes() == data
    shutil.rmtree(cluster.state_folder(1))
    cluster.restart(cluster.data(1))  # the neighbours rebuild it, signed as one data server to another
    wait_until(lambda: dfsctl("status", *config).returncode == 0, "the rebuild to end", 60)
    cluster.allow(r"data server 1\b", r"replaced|rebuil|blank|folder|neighbour|does not answer")


def test_without_the_key_everybody_is_told_why(keyed: Cluster) -> None:
    cluster = keyed
    cluster.allow(REFUSED_LINE)
    wrong = cluster.folder / "wrong.key"
    assert dfsctl("key", "generate", wrong).returncode == 0
    for key_file, told in ((None, "there is no key here, set [cluster] key_file"), (wrong, "wrong key: ")):
        where = ("--meta", cluster.meta_address, *(("--key-file", key_file) if key_file else ()))
        done = dfsctl("status", *where)
        assert (done.returncode, done.stdout) == (5, "")
        assert told in done.stderr
        seen = json.loads(dfsctl("diagnose", "--json", *where).stdout)
        assert "key-wrong" in [finding["situation"] for finding in seen["findings"]]
        client = mount_by_address(cluster, 2, key_file)
        try:
            client.start()
            assert client.wait_for_end(15) == 5, "it does not wait for the whole of its 20 s"
            assert told in client.log_text()
        finally:
            client.end_for_sure()
    assert "was refused, unsigned" in cluster.meta.log_text()
    assert cluster.meta.log_text().count("was refused, ") == 1, "once a minute"


def test_key_file_that_can_not_be_used_ends_the_start_and_says_why(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(secret=os.urandom(32))
    cluster.allow(r"can't start")
    good = cluster.key_file.read_text()
    for text, mode, told in (
        (good, 0o644, "to be closed to others (chmod 0640), got mode 0644"),
        ("abc\n", 0o640, "a key of 32 bytes as 64 hex digits"),
        (None, 0, "a readable key file"),
    ):
        cluster.key_file.unlink()
        if text is not None:
            cluster.key_file.write_text(text)
            cluster.key_file.chmod(mode)
        cluster.meta.start()
        assert cluster.meta.wait_for_end() == 3
        assert told in cluster.meta.log_text()


def test_key_is_changed_while_a_mount_writes(keyed: Cluster) -> None:
    cluster = keyed
    config, servers = ("--config", cluster.config_file), [cluster.meta, *(cluster.data(index) for index in range(cluster.n))]
    before = cluster.key_file.read_text()
    file, is_over, written = cluster.mount().path / "file", threading.Event(), [0]

    def write_on() -> None:
        with file.open("ab", buffering=0) as out:
            while not is_over.is_set():
                out.write(written[0].to_bytes(8, "big"))
                written[0] += 1

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        for step, told in enumerate(("a new key is accepted", "the new key signs", "the old key is dropped"), 1):
            target = written[0] + 50
            wait_until(lambda target=target: written[0] >= target, "some writes", 30)  # type: ignore[misc]
            done = dfsctl("key", "rotate", *config)
            assert (done.returncode, told in done.stdout) == (0, True), done.stderr
            if step == 1:  # too early: no server has been reloaded yet
                early = dfsctl("key", "rotate", *config)
                assert early.returncode == 5
                assert "all servers to accept the new key" in early.stderr
            reload_all(servers, step)
        target = written[0] + 50
        wait_until(lambda: written[0] >= target, "some writes", 30)
    finally:
        is_over.set()
        writer.join()
    assert cluster.key_file.read_text() != before
    assert file.read_bytes() == b"".join(number.to_bytes(8, "big") for number in range(written[0]))
    assert dfsctl("status", *config).returncode == 0
    old = cluster.folder / "old.key"
    old.write_text(before)
    old.chmod(0o600)
    assert "wrong key" in dfsctl("status", "--meta", cluster.meta_address, "--key-file", old).stderr
    cluster.allow(REFUSED_LINE + "unknown-key")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_without_any_key_loopback_is_for_root_and_the_servers_own_user(cluster: Cluster) -> None:
    call = (
        "import sys, xmlrpc.client\n"
        "try: print(xmlrpc.client.ServerProxy(sys.argv[1]).status()['state'])\n"
        "except xmlrpc.client.ProtocolError as error: print(error.errcode, error.errmsg)\n"
    )

    def ask(uid: int) -> str:
        command = [ANYBODYS_PYTHON, "-S", "-c", call, f"http://{cluster.meta_address}"]
        done = subprocess.run(command, user=uid, group=uid, extra_groups=[], capture_output=True, text=True, check=True, cwd="/")
        return done.stdout

    assert ask(65534) == "403 Forbidden\n"
    assert ask(0) == "ok\n"
