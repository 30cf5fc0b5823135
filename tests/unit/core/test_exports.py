"""Goal: which export counts for whom is never in doubt, and whose permissions count follows from it. Method: the pure rules, with
tables of peers, and Hypothesis where callers lie.
"""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.core.config import ExportConfig
from dfs.core.config_changes import find_changes, with_live_keys
from dfs.core.config_file import parse_config
from dfs.core.exports import (
    ANYBODY,
    FULL,
    Access,
    Squash,
    Terms,
    find_export,
    is_subject,
    narrows,
    parse_anonymous,
    parse_client_networks,
    parse_clients,
    parse_root,
    parse_squash,
    parse_terms,
    squashed,
    terms_of,
)
from dfs.core.interfaces import Caller
from dfs.core.peers import THIS_PROCESS, Peer, PeerKind
from dfs.core.start_errors import ConfigError
from dfs.core.unfit import Unfit

TWO = "[data:0]\n[data:1]\n"
ALICE = Peer("10.1.2.3", PeerKind.CLIENT, name="alice")
UNPROVED = Peer("10.1.2.3")
IDS = st.integers(0, 3)


def networks(*texts: str) -> tuple[IPv4Network, ...]:
    return tuple(map(IPv4Network, texts))


EXPORTS = (
    ExportConfig("site", networks=networks("10.0.0.0/8", "192.168.0.0/16")),
    ExportConfig("lab", networks=networks("10.1.0.0/16")),
    ExportConfig("lab-again", networks=networks("10.1.0.0/16")),
    ExportConfig("host", networks=networks("10.1.2.9")),
    ExportConfig("alice", clients=("alice", "host7")),
    ExportConfig("alice-at-home", clients=("alice",), networks=networks("192.168.1.0/24")),
)


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        (Peer("10.9.9.9"), "site"),
        (Peer("192.168.7.7"), "site"),
        (Peer("10.1.9.9"), "lab"),
        (Peer("10.1.2.9"), "host"),
        (Peer("10.1.2.9", PeerKind.CLIENT, name="alice"), "alice"),
        (Peer("172.16.0.1", PeerKind.CLIENT, name="host7"), "alice"),
        (Peer("192.168.1.4", PeerKind.CLIENT, name="alice"), "alice-at-home"),
        (Peer("192.168.1.4", PeerKind.CLIENT, name="bob"), "site"),
        (Peer("172.16.0.1", PeerKind.CLIENT, name="bob"), None),
        (Peer("172.16.0.1"), None),
        (Peer("somewhere"), None),
    ],
)
def test_most_specific_export_counts(peer: Peer, name: str | None) -> None:
    found = find_export(EXPORTS, peer)
    assert (found and found.name) == name


def test_order_of_the_file_decides_between_equals_only() -> None:
    found = find_export(tuple(reversed(EXPORTS)), Peer("10.1.9.9"))
    assert found is not None
    assert found.name == "lab-again"
    found = find_export(tuple(reversed(EXPORTS)), Peer("10.1.2.9"))
    assert found is not None
    assert found.name == "host"


def test_name_that_is_asked_for_must_be_proved() -> None:
    only = (ExportConfig("alice", clients=("alice",)),)
    assert find_export(only, ALICE) is not None
    assert find_export(only, UNPROVED) is None
    assert find_export((ExportConfig("empty", clients=("",)),), UNPROVED) is None


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (UNPROVED, True),
        (ALICE, True),
        (Peer("10.1.2.3", PeerKind.ADMIN), False),
        (Peer("10.1.2.3", PeerKind.META), False),
        (Peer("10.1.2.3", PeerKind.DATA, 1), False),
        (THIS_PROCESS, False),
    ],
)
def test_exports_apply_to_whoever_has_not_proved_to_be_more_than_a_client(peer: Peer, *, expected: bool) -> None:
    assert is_subject(peer) is expected


@given(IDS, IDS, st.lists(IDS, max_size=3))
def test_root_squash_leaves_nothing_of_root_and_everything_of_others(uid: int, gid: int, groups: list[int]) -> None:
    caller = Caller(uid, gid, tuple(groups), ALICE)
    found = squashed(caller, Terms(squash=Squash.ROOT, anonymous_uid=70, anonymous_gid=71))
    assert 0 not in (found.uid, found.gid, *found.groups)
    assert found.uid == (uid or 70)
    assert found.gid == (gid or 71)
    assert found.groups == tuple(group for group in groups if group)
    assert found.peer is ALICE


@given(IDS, IDS, st.lists(IDS, max_size=3))
def test_all_squash_makes_everybody_anonymous(uid: int, gid: int, groups: list[int]) -> None:
    found = squashed(Caller(uid, gid, tuple(groups)), Terms(squash=Squash.ALL, anonymous_uid=70, anonymous_gid=71))
    assert (found.uid, found.gid, found.groups) == (70, 71, ())


def test_nobody_is_squashed_without_being_told_so() -> None:
    caller = Caller(0, 0, (0,))
    assert squashed(caller, FULL) is caller


@given(
    st.sampled_from(Access),
    st.sampled_from(Squash),
    st.integers(1, 1 << 31),
    st.integers(1, 1 << 31),
    st.sampled_from(["/", "/a", "/a b/c", "/ü"]),
)
def test_terms_are_stored_and_read_as_they_are(access: Access, squash: Squash, uid: int, gid: int, folder: str) -> None:
    terms = terms_of(ExportConfig("x", access=access, squash=squash, anonymous_uid=uid, anonymous_gid=gid, folder=folder))
    assert parse_terms(terms.text()) == terms
    assert (terms is FULL) == (terms == FULL)
    assert (terms.text() == "") == (terms is FULL)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (FULL, FULL, False),
        (FULL, Terms(Access.READ_ONLY), True),
        (Terms(Access.READ_ONLY), FULL, False),
        (FULL, Terms(folder="/a"), True),
        (Terms(folder="/a"), FULL, True),  # its inode 1 is another one now
        (FULL, Terms(squash=Squash.ROOT, anonymous_uid=1, anonymous_gid=1), True),
        (Terms(squash=Squash.ROOT, anonymous_uid=1, anonymous_gid=1), FULL, False),
        (
            Terms(squash=Squash.ALL, anonymous_uid=1, anonymous_gid=1),
            Terms(squash=Squash.ALL, anonymous_uid=2, anonymous_gid=1),
            True,
        ),
    ],
)
def test_client_that_loses_something_is_noticed(before: Terms, after: Terms, *, expected: bool) -> None:
    assert narrows(before, after) is expected


# --- the configuration -----------------------------------------------------------------------------------------------------


def test_export_of_the_file_is_read_with_every_key() -> None:
    text = """[export:lab]
networks = 10.0.0.0/8, 127.0.0.1
clients = alice, host7
access = ro
squash = root
anonymous_uid = 99
anonymous_gid = 98
folder = /pub//lab/
"""
    assert parse_config(TWO + text, "dfs.conf").exports == (
        ExportConfig(
            "lab",
            networks("10.0.0.0/8", "127.0.0.1/32"),
            ("alice", "host7"),
            Access.READ_ONLY,
            Squash.ROOT,
            99,
            98,
            "/pub/lab",
        ),
    )


def test_exports_stand_in_the_order_of_the_file() -> None:
    config = parse_config(f"{TWO}[export:b]\n[export:a]\n", "dfs.conf")
    assert [export.name for export in config.exports] == ["b", "a"]


@pytest.mark.parametrize(
    "line",
    [
        "networks = 10.0.0.1/8",
        "networks =",
        "networks = ten",
        "clients =",
        "clients = *, alice",
        "clients = a b",
        "access = w",
        "squash = some",
        "anonymous_uid = 0",
        "anonymous_gid = -1",
        "folder = pub",
        "folder = /a/../..",
        "colour = red",
    ],
)
def test_export_with_a_mistake_is_refused_with_its_place(line: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(f"{TWO}[export:lab]\n{line}\n", "dfs.conf")
    assert f"dfs.conf: [export:lab] {line.partition(' ')[0]}" in str(refused.value)


@pytest.mark.parametrize("name", ["", "a b", "-"])
def test_export_needs_a_name(name: str) -> None:
    with pytest.raises(ConfigError, match="the name in"):
        parse_config(f"{TWO}[export:{name}]\n", "dfs.conf")


def test_changed_exports_count_without_a_restart() -> None:
    old = parse_config(f"{TWO}[export:a]\naccess = ro\n[export:b]\n", "dfs.conf")
    new = parse_config(f"{TWO}[export:a]\n[export:c]\n", "dfs.conf")
    changes = find_changes(old, new)
    assert {change.section for change in changes} == {"export:a", "export:b", "export:c"}
    assert all(change.is_live for change in changes)
    assert with_live_keys(old, new).exports == new.exports


def test_values_of_exports_are_read_strictly() -> None:
    assert parse_client_networks("1.2.3.4") == networks("1.2.3.4/32")
    assert parse_clients("*") == ANYBODY
    assert parse_root("/") == "/"
    for parse, text in ((parse_squash, "Root"), (parse_anonymous, "00x"), (parse_client_networks, "::1")):
        with pytest.raises(Unfit):
            parse(text)
