"""Goal: a file system is made once, on all its servers or none. Method: crash meta at each step, then look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dfs.core.errors import BadRequest, NotFormatted, WrongServer
from dfs.core.events.meta_server import CLUSTER_FORMATTED
from dfs.core.events.wire import SERVER_REFUSED
from dfs.core.ids import ServerIndex
from dfs.core.messages.cluster import RoleState, Shape
from dfs.core.messages.data_server import CommitFormat, Identify, PrepareFormat
from dfs.core.messages.inspection import ShowMeta
from dfs.core.messages.names import MakeNode
from dfs.core.messages.requests import Request
from dfs.core.messages.sessions import OpenSession, SessionOpened
from dfs.core.start_errors import StateError
from dfs.meta.settings import MetaSettings
from tests.harness.fake_data_servers import FakeDataServers
from tests.harness.waiting import wait_until
from tests.unit.meta.conftest import FakeContext, MetaUnderTest


@pytest.fixture
def blank(tmp_path: Path) -> Iterator[MetaUnderTest]:
    """A new meta-server that was told of no data servers, as with the original commands."""
    meta = MetaUnderTest(tmp_path / "meta.db", MetaSettings())
    meta.start()
    yield meta
    meta.stop()


def mount(meta: MetaUnderTest, servers: tuple[str, ...] | None = None) -> SessionOpened:
    named = meta.servers.names if servers is None else servers
    meta.nonces += 1
    return meta.service.call(FakeContext(), OpenSession(meta.nonces.to_bytes(16, "big"), "h", b"/m", named))


def states(meta: MetaUnderTest) -> set[tuple[str, RoleState]]:
    found = [meta.servers.server(i).identity for i in range(4)]
    return {(identity.shape.cluster, identity.primary) for identity in found}


def test_first_mount_formats_all_servers_as_one_cluster(blank: MetaUnderTest) -> None:
    opened = mount(blank)
    assert opened.shape == Shape(opened.shape.cluster, 4, 512)
    assert states(blank) == {(opened.shape.cluster, RoleState.COMPLETE)}
    assert [address.address for address in opened.data_servers] == list(blank.servers.names)
    assert len(blank.events.of(CLUSTER_FORMATTED)) == 1
    assert blank.servers.cluster == opened.shape.cluster
    blank.crash()
    assert mount(blank, ()).shape == opened.shape


def test_configured_servers_are_formatted_without_a_mount(meta: MetaUnderTest) -> None:
    wait_until(lambda: {state for _, state in states(meta)} == {RoleState.COMPLETE})


def test_missing_servers_are_named_and_nothing_is_formatted(blank: MetaUnderTest) -> None:
    blank.servers.take_down(1, 3)
    with pytest.raises(NotFormatted, match=r"data server 1 at .*:9101.*data server 3 at .*:9103"):
        mount(blank)
    assert states(blank) == {("", RoleState.BLANK)}
    assert blank.service.call(FakeContext(), ShowMeta()).state == "waiting to format"
    blank.servers.bring_up()
    mount(blank)


def test_nothing_named_says_so(blank: MetaUnderTest) -> None:
    with pytest.raises(NotFormatted, match="no data servers have been named"):
        mount(blank, ())
    with pytest.raises(NotFormatted):
        blank.service.call(FakeContext(), MakeNode(1, 1, b"f", 0o644, 0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "named", [("a:1",), ("a:1", "a:1"), ("a:1", "b"), ("a:1", "b:0"), ("a:1", ":2"), tuple(f"a:{i}" for i in range(1, 300))]
)
def test_impossible_servers_are_refused(blank: MetaUnderTest, named: tuple[str, ...]) -> None:
    with pytest.raises(BadRequest):
        mount(blank, named)


def test_servers_in_another_order_are_refused(blank: MetaUnderTest) -> None:
    names = blank.servers.names
    with pytest.raises(WrongServer, match=r"expected data server 0 at .*:9101, got data server 1"):
        mount(blank, (names[1], names[0], *names[2:]))
    assert states(blank) == {("", RoleState.BLANK)}


def test_server_of_another_cluster_is_refused_and_reported_once(tmp_path: Path) -> None:
    servers = FakeDataServers()
    identity = servers.server(2).identity
    taken = replace(identity, shape=Shape("other", 4, 512), primary=RoleState.COMPLETE, secondary=RoleState.COMPLETE)
    servers.server(2).identity = taken
    meta = MetaUnderTest(tmp_path / "meta.db", MetaSettings(data_servers=servers.names), servers=servers)
    meta.start()
    wait_until(lambda: len(servers.asked(Identify)) >= 4)
    meta.until(lambda: len(servers.asked(Identify)) >= 12)
    with pytest.raises(WrongServer, match="one of cluster other"):
        mount(meta)
    assert len(meta.events.of(SERVER_REFUSED)) == 1
    assert not servers.asked(PrepareFormat)
    meta.stop()


@pytest.mark.parametrize(("kind", "nth"), [(kind, nth) for kind in (Identify, PrepareFormat, CommitFormat) for nth in (0, 2)])
def test_crash_at_any_step_leads_to_one_cluster_afterwards(blank: MetaUnderTest, kind: type[Request[object]], nth: int) -> None:
    class Crash(Exception):
        pass

    def crash(server: ServerIndex, request: Request[object]) -> None:
        if isinstance(request, kind) and server == nth:
            raise Crash

    blank.servers.before_answer = crash
    with pytest.raises(Crash):
        mount(blank)
    blank.servers.before_answer = lambda server, request: None
    blank.crash()
    opened = mount(blank)
    wait_until(lambda: states(blank) == {(opened.shape.cluster, RoleState.COMPLETE)})
    prepared = {request.shape.cluster for _, request in blank.servers.asked(PrepareFormat) if isinstance(request, PrepareFormat)}
    assert prepared == {opened.shape.cluster}


def test_commit_is_sent_only_when_the_file_system_is_durable(blank: MetaUnderTest) -> None:
    phases: list[object] = []

    def look(server: ServerIndex, request: Request[object]) -> None:
        if isinstance(request, CommitFormat):
            phases.append(blank.running().store.read(lambda reader: reader.one("SELECT phase FROM cluster")))

    blank.servers.before_answer = look
    mount(blank)
    assert phases == [(1,)] * 4


def test_server_that_misses_the_commit_gets_it_later(blank: MetaUnderTest) -> None:
    def go_down(server: ServerIndex, request: Request[object]) -> None:
        if isinstance(request, CommitFormat) and server == 0:
            blank.servers.take_down(2)

    blank.servers.before_answer = go_down
    opened = mount(blank)
    assert blank.servers.server(2).identity.primary is RoleState.BLANK
    blank.servers.before_answer = lambda server, request: None
    blank.servers.bring_up()
    blank.until(lambda: states(blank) == {(opened.shape.cluster, RoleState.COMPLETE)})
    wait_until(lambda: blank.servers.cluster == opened.shape.cluster)


# --- an existing file system -----------------------------------------------------------------------------------------------------


def test_later_mount_with_another_number_of_servers_is_refused(blank: MetaUnderTest) -> None:
    mount(blank)
    with pytest.raises(WrongServer, match=r"the 4 data servers of cluster .*, got 3 data servers"):
        mount(blank, blank.servers.names[:3])


def test_server_at_a_new_address_is_recognised_by_its_identity(blank: MetaUnderTest) -> None:
    mount(blank)
    blank.servers.hosts = {
        ("127.0.0.1:7777" if name.endswith("9102") else name): host for name, host in blank.servers.hosts.items()
    }
    opened = mount(blank)
    assert opened.data_servers[2].address == "127.0.0.1:7777"
    blank.crash()
    assert mount(blank, ()).data_servers == opened.data_servers


def test_other_server_at_a_new_address_is_refused_and_the_old_address_stays(blank: MetaUnderTest) -> None:
    opened = mount(blank)
    names = blank.servers.names
    stranger = FakeDataServers().server(2)
    blank.servers.hosts["127.0.0.1:7777"] = stranger
    with pytest.raises(WrongServer, match="data server 2 of cluster"):
        mount(blank, (*names[:2], "127.0.0.1:7777", names[3]))
    assert blank.servers.addresses[ServerIndex(2)] == names[2]
    assert mount(blank, ()).data_servers == opened.data_servers


def test_new_address_that_does_not_answer_is_not_believed_yet(blank: MetaUnderTest) -> None:
    opened = mount(blank)
    names = blank.servers.names
    assert mount(blank, (*names[:2], "127.0.0.1:7777", names[3])).data_servers == opened.data_servers


def test_formatted_file_system_mounts_with_servers_missing(blank: MetaUnderTest) -> None:
    mount(blank)
    blank.servers.take_down(0, 1, 2, 3)
    mount(blank)


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"block_size": 4096}, "block_size = 512"), ({"data_servers": ("a:1", "b:2")}, "4 data servers")],
)
def test_configuration_that_contradicts_the_file_system_is_refused_at_start(
    meta: MetaUnderTest, changed: dict[str, object], message: str
) -> None:
    meta.settings = replace(meta.settings, **changed)  # type: ignore[arg-type]
    with pytest.raises(StateError, match=message):
        meta.crash()
    meta.service = meta.dead.pop()


def test_configured_addresses_are_followed_after_a_restart(meta: MetaUnderTest) -> None:
    meta.servers.hosts = {name.replace(":9", ":8"): host for name, host in meta.servers.hosts.items()}
    meta.settings = replace(meta.settings, data_servers=meta.servers.names)
    meta.crash()
    assert tuple(meta.servers.addresses.values()) == meta.servers.names
