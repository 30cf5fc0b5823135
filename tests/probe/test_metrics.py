"""Goal: who watches a cluster sees what happens in it. Method: real servers and a real mount, asked over HTTP and over the mount's
Unix socket, the answers read by prometheus_client's parser; damage, a lost disk and a server that is away must show.
"""

from __future__ import annotations

import http.client
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dfs.cli.mount_metrics import socket_path
from dfs.core.metrics import ALL_METRICS
from tests.harness.cluster import LOOPBACK, Cluster
from tests.harness.program import Program, module_command
from tests.harness.waiting import wait_until
from tests.probe.test_damage_tools import CONTENT, corrupt
from tests.probe.test_dfsctl import dfsctl

WRITE = "import sys; open(sys.argv[1], 'wb', 0).write(b'x' * 5000)"
SERVERS = 3
EXPECTED = (
    "does not verify",
    "repaired",
    "writing waits",
    "does not answer",
    "are copied from",
    "waiting for",
    "is back, but its former session",
)


class Page:
    """What a program showed."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum of all values with these labels."""
        return sum(sample.value for sample in self.samples if sample.name == name and labels.items() <= sample.labels.items())


def get(port: int, path: str = "/metrics", method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=20)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def server(port: int) -> Page:
    """Return what a server shows."""
    status, text = get(port)
    assert status == 200, text
    return Page(text)


def mount_socket(cluster: Cluster, number: int = 0) -> Path:
    return socket_path(cluster.folder / "m", os.fsencode(cluster.mount(number).path))


def mount(cluster: Cluster, number: int = 0) -> Page:
    """Return what a mount shows, asked as curl asks."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(mount_socket(cluster, number)))
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: dfs\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(1 << 16), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    return Page(answer.partition(b"\r\n\r\n")[2].decode())


def data(cluster: Cluster, index: int) -> Page:
    return server(cluster.data_ports[index])


def on_all(cluster: Cluster, name: str, **labels: str) -> float:
    """Return the sum over all data servers."""
    return sum(data(cluster, index).sum(name, **labels) for index in range(cluster.n))


def configure(cluster: Cluster, metrics: str) -> None:
    with cluster.config_file.open("a") as file:
        file.write(f"[metrics]\n{metrics}\n")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster whose two mounts show their metrics, for the tests that leave it working."""
    with Cluster(tmp_path_factory.mktemp("w"), n=SERVERS) as cluster:
        configure(cluster, f"mount = yes\nsocket_folder = {cluster.folder}/m")
        cluster.start(mounts=2)
        yield cluster
        print(cluster.logs())
    cluster.assert_quiet(*EXPECTED)


def test_programs_show_the_metrics_of_the_catalogue_and_no_others(watched: Cluster) -> None:
    pages = {"meta": server(watched.meta_port), "data": data(watched, 0), "mount": mount(watched)}
    for kind, page in pages.items():
        expected = {metric.name.removesuffix("_total") for metric in ALL_METRICS if kind in metric.programs}
        assert {name for name in page.families if name.startswith("dfs_")} == expected
        assert page.sum("dfs_build_info") == 1
        assert page.sum("dfs_metrics_sources_failed") == 0
        assert page.sum("dfs_events_total", event="SERVICE_READY") == 1
        assert page.sum("process_resident_memory_bytes") > 1 << 20


def test_work_shows_in_requests_bytes_times_and_states(watched: Cluster) -> None:
    before, size = mount(watched), 64 << 10
    puts = on_all(watched, "dfs_requests_total", method="put", result="ok")
    with (watched.mount().path / "work").open("wb", buffering=0) as file:
        file.write(os.urandom(size))
        os.fsync(file.fileno())
    with pytest.raises(FileNotFoundError):
        (watched.mount().path / "none").stat()
    page, meta, one = mount(watched), server(watched.meta_port), data(watched, 1)
    written = page.sum("dfs_operation_bytes_total", operation="write") - before.sum("dfs_operation_bytes_total", operation="write")
    assert written == size
    assert page.sum("dfs_operations_total", operation="lookup", result="ENOENT") >= 1
    assert page.sum("dfs_operation_seconds_count", operation="fsync") >= 1
    assert page.sum("dfs_calls_total", server="data", method="put", result="ok") >= 1
    assert page.sum("dfs_call_sent_bytes_total", server="data", method="put") > 2 * size
    assert (page.sum("dfs_client_lease_valid"), page.sum("dfs_client_meta_down_seconds")) == (1, 0)
    assert on_all(watched, "dfs_requests_total", method="put", result="ok") > puts
    assert on_all(watched, "dfs_request_received_bytes_total", method="put") > 2 * size
    assert one.sum("dfs_request_seconds_count", method="put") == one.sum("dfs_requests_total", method="put")
    assert one.sum("dfs_disk_seconds_count", area="journal", operation="write") >= 1
    assert one.sum("dfs_disk_seconds_count", operation="sync") >= 1
    assert one.sum("dfs_disk_bytes_total", operation="write") > size / 3
    assert 0 < one.sum("dfs_data_disk_free_bytes") <= one.sum("dfs_data_disk_size_bytes")
    assert one.sum("dfs_data_role_state", state="complete") == one.sum("dfs_data_rebuild_ratio") == 2
    assert one.sum("dfs_connections") >= 2
    assert meta.sum("dfs_meta_sessions") == 2
    assert meta.sum("dfs_meta_session_silence_seconds") < 20
    wait_until(lambda: server(watched.meta_port).sum("dfs_meta_state", state="ok") == 1, "the meta-server to be ok", 60)
    assert meta.sum("dfs_meta_inodes") >= 2
    assert meta.sum("dfs_requests_total", method="create", result="ok") >= 1
    for operation in ("read", "change", "commit"):
        assert meta.sum("dfs_meta_database_seconds_count", operation=operation) >= 1
    assert 0 < meta.sum("dfs_meta_disk_free_bytes") <= meta.sum("dfs_meta_disk_size_bytes")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/", None, 405),
        ("GET", "/metrics/x", None, 405),
        ("HEAD", "/metrics", None, 405),
        ("POST", "/metrics", b"", 404),
        ("GET", "/metrics", b"body", 400),
    ],
)
def test_wrong_question_is_refused_counted_and_harms_nobody(
    watched: Cluster, method: str, path: str, body: bytes | None, status: int
) -> None:
    port, result = watched.data_ports[0], f"http_{status}"
    before = server(port).sum("dfs_requests_total", method="unknown", result=result)
    assert get(port, path, method, body)[0] == status
    assert server(port).sum("dfs_requests_total", method="unknown", result=result) == before + 1


def test_failed_calls_show_by_method_and_result(watched: Cluster) -> None:
    with watched.meta_rpc() as client, pytest.raises(Exception, match="expected"):
        client.readlink("not a number")
    assert server(watched.meta_port).sum("dfs_requests_total", method="readlink", result="BadRequest") == 1


def test_corruption_found_and_repaired_by_a_read_and_by_a_scrub_shows(watched: Cluster) -> None:
    path = watched.mount().path / "rots"
    path.write_bytes(CONTENT)
    assert (on_all(watched, "dfs_corruption_found_total"), on_all(watched, "dfs_data_copies_replaced_total")) == (0, 0)
    assert corrupt(watched, 1, path).returncode == 0

    def is_read_and_repaired() -> bool:
        assert (watched.mount(1).path / "rots").read_bytes() == CONTENT
        return mount(watched, 1).sum("dfs_copies_repaired_total", by="read") == 1

    wait_until(is_read_and_repaired, "a read to repair it")  # one that finds a busy server silent lets it be
    one = data(watched, 1)
    assert one.sum("dfs_corruption_found_total", what="record") == 1
    assert one.sum("dfs_data_copies_replaced_total", was="corrupt") == 1
    assert corrupt(watched, 1, path).returncode == 0
    done = dfsctl("scrub", "--wait", "--config", watched.config_file)
    assert (done.returncode, done.stderr) == (0, "")
    assert on_all(watched, "dfs_copies_repaired_total", by="scrub") == 1
    one = data(watched, 1)
    assert one.sum("dfs_data_copies_replaced_total", was="corrupt") == 2
    assert time.time() - 600 < one.sum("dfs_data_scrub_last_pass_timestamp_seconds") <= time.time()
    assert one.sum("dfs_data_scrub_blocks", outcome="looked_at") > 0
    assert one.sum("dfs_data_scrub_running") == one.sum("dfs_data_blocks", state="damaged") == 0


def test_write_that_waits_for_a_server_shows_until_it_goes_on(watched: Cluster) -> None:
    waits = mount(watched).sum("dfs_client_write_waits_total")
    watched.data(1).stop()
    writer = subprocess.Popen([sys.executable, "-c", WRITE, watched.mount().path / "waits"])
    try:
        wait_until(lambda: mount(watched).sum("dfs_client_write_wait_seconds") > 0.5, "the wait to show", 30)
        page = mount(watched)
        assert page.sum("dfs_client_writes_waiting") == page.sum("dfs_client_data_servers_down") == 1
        assert page.sum("dfs_client_write_waits_total") == waits + 1
        assert page.sum("dfs_operations_under_way") >= 1
        assert page.sum("dfs_calls_total", method="put", result="Unreachable") >= 1
        watched.restart(watched.data(1))
        assert writer.wait(30) == 0
    finally:
        writer.kill()
        writer.wait(30)
    page = mount(watched)
    assert (page.sum("dfs_client_writes_waiting"), page.sum("dfs_client_write_wait_seconds")) == (0, 0)
    assert page.sum("dfs_client_data_servers_down") == 0


def test_rebuild_of_a_lost_disk_shows_until_it_is_done(watched: Cluster) -> None:
    (watched.mount().path / "lost").write_bytes(CONTENT)
    watched.data(2).stop()
    shutil.rmtree(watched.state_folder(2))
    watched.restart(watched.data(2))
    wait_until(lambda: data(watched, 2).sum("dfs_events_total", event="REBUILD_FINISHED") == 2, "both roles to be copied", 60)
    page = data(watched, 2)
    assert page.sum("dfs_data_role_state", state="complete") == 2
    assert page.sum("dfs_data_rebuild_ratio") == 2
    assert page.sum("dfs_data_rebuild_copied_bytes_total", role="primary") > 0
    assert page.sum("dfs_data_rebuild_copied_bytes_total", role="secondary") > 0


def test_socket_of_a_mount_comes_with_it_survives_a_kill_and_goes_with_it(watched: Cluster) -> None:
    program = watched.mount(1)
    program.kill()
    subprocess.run(["fusermount3", "-u", "-z", program.path], check=False, capture_output=True)
    assert mount_socket(watched, 1).is_socket()
    watched.restart(program)
    assert mount(watched, 1).sum("dfs_client_lease_valid") == 1
    assert program.unmount() == 0
    assert not mount_socket(watched, 1).exists()


def test_switch_of_each_kind_of_server_counts_for_it_alone(make_cluster: type[Cluster]) -> None:
    cluster = make_cluster(n=2)  # type: ignore[call-arg]
    configure(cluster, "meta = no\nnetworks = 10.0.0.0/8, fd00::/8")
    cluster.start(mounts=1)
    assert get(cluster.meta_port) == (404, "metrics are switched off\n")
    assert get(cluster.data_ports[0])[0] == 200
    (cluster.mount().path / "file").write_bytes(CONTENT)
    assert not (cluster.folder / "m").exists()


ASK = """
import http.client, sys
for source in sys.argv[3:]:
    connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20, source_address=(source, 0))
    connection.request("GET", "/metrics")
    print(connection.getresponse().status, end=" ")
    connection.close()
"""


def test_server_on_a_network_shows_metrics_to_loopback_and_listed_networks_alone(tmp_path: Path) -> None:
    config = tmp_path / "dfs.conf"
    config.write_text(
        "[cluster]\ninsecure_network = yes\n[metrics]\nnetworks = 10.9.8.0/24\n"
        f"[data:0]\naddress = 10.9.9.1:9100\nstate = {tmp_path}/state\n[data:1]\n"
    )
    begin = "ip link set lo up; for a in 10.9.8.1 10.9.9.1; do ip addr add $a/24 dev lo; done; exec "
    command = shlex.join(module_command("dfs.cli.data", 0, "--config", config))
    program = Program("data0", ["unshare", "--net", "sh", "-c", begin + command], tmp_path / "log", tmp_path)
    try:
        program.start()
        program.wait_for_log("ready")
        inside = ["nsenter", "--net", "--target", str(program.pid)]
        asked = [sys.executable, "-c", ASK, "10.9.9.1", "9100", "127.0.0.1", "10.9.8.1", "10.9.9.1"]
        assert subprocess.run([*inside, *asked], check=True, capture_output=True, timeout=60).stdout == b"200 200 403 "
        assert program.stop() == 0
    finally:
        program.end_for_sure()
