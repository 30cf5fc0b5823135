"""Goal: a data server believes a capability only from a meta-server with the same key, for the client that shows it, for what it
says, as long as it says. Method: sign, then change everything that a client could change.
"""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.core.capability import (
    LIFETIME_S,
    SLACK_S,
    WRITE_LIFETIME_S,
    Capability,
    Right,
    Signer,
    Verifier,
    allows,
    capability_key,
    read,
    sign,
)
from dfs.core.errors import CapabilityRefused
from dfs.core.ids import NO_TICKET, NUMBER_MAX, Ino, Ticket
from dfs.core.limits import LEASE_CLIENT_S

KEY, OTHER_KEY = capability_key(b"a" * 32), capability_key(b"b" * 32)
INO, TICKET, NOW_S = Ino(77), Ticket(1234), 1_800_000_000
WRITE = Capability(INO, Right.READ | Right.WRITE, TICKET, NOW_S)
READ = Capability(INO, Right.READ, NO_TICKET, NOW_S)
NONE = Capability(INO, Right.NONE, NO_TICKET, NOW_S)


def verify(
    text: str,
    *,
    client: str = "alice",
    ino: Ino = INO,
    right: Right = Right.READ,
    ticket: Ticket = NO_TICKET,
    now_s: float = NOW_S,
    keys: tuple[bytes, ...] = (KEY,),
) -> None:
    Verifier(lambda: keys).require(text, client, ino, right, ticket, now_s)


def test_capability_is_believed_for_what_it_says() -> None:
    verify(sign(READ, "alice", KEY))
    verify(sign(WRITE, "alice", KEY))
    verify(sign(WRITE, "alice", KEY), right=Right.WRITE, ticket=TICKET)
    verify(sign(NONE, "alice", KEY), right=Right.NONE)


@pytest.mark.parametrize(
    ("capability", "right", "ticket"),
    [
        (READ, Right.WRITE, TICKET),
        (READ, Right.WRITE, NO_TICKET),
        (NONE, Right.READ, NO_TICKET),
        (NONE, Right.WRITE, TICKET),
        (WRITE, Right.WRITE, Ticket(TICKET + 1)),
        (WRITE, Right.WRITE, Ticket(TICKET - 1)),
        (WRITE._replace(rights=Right.READ), Right.WRITE, TICKET),
    ],
)
def test_right_that_is_not_in_it_is_refused(capability: Capability, right: Right, ticket: Ticket) -> None:
    assert not allows(capability, right, ticket)
    with pytest.raises(CapabilityRefused, match="does not allow"):
        verify(sign(capability, "alice", KEY), right=right, ticket=ticket)


@pytest.mark.parametrize(("client", "ino"), [("bob", INO), ("", INO), ("alice", Ino(78)), ("alice ", INO)])
def test_capability_of_another_client_or_inode_is_refused(client: str, ino: Ino) -> None:
    with pytest.raises(CapabilityRefused, match="not for this client and inode"):
        verify(sign(READ, "alice", KEY), client=client, ino=ino)


def test_capability_signed_with_another_key_is_refused() -> None:
    with pytest.raises(CapabilityRefused, match="not for this client and inode"):
        verify(sign(READ, "alice", OTHER_KEY))


def test_nothing_shown_is_refused() -> None:
    with pytest.raises(CapabilityRefused, match="none was shown"):
        verify("")


@given(st.data())
def test_every_changed_character_is_noticed(data: st.DataObject) -> None:
    text = sign(WRITE, "alice", KEY)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(string.digits + "abcdef:x -"))
    forged = text[:at] + other + text[at + 1 :]
    if forged == text:
        verify(forged)
        return
    with pytest.raises(CapabilityRefused):
        verify(forged)


@given(st.text(max_size=120))
def test_nonsense_is_refused_and_never_anything_else(text: str) -> None:
    assert read(text) is None
    with pytest.raises(CapabilityRefused):
        verify(text)


@given(
    st.builds(
        Capability, st.integers(1, NUMBER_MAX), st.integers(0, 3).map(Right), st.integers(0, NUMBER_MAX), st.integers(0, 1 << 33)
    )
)
def test_text_says_what_was_signed(capability: Capability) -> None:
    text = sign(capability, "alice", KEY)
    assert read(text) == capability
    assert set(text) <= set("0123456789abcdef:")  # what rpc/context.py lets into a header
    assert len(text) <= 200


@pytest.mark.parametrize("number", [NUMBER_MAX + 1, 10**13 - 1])
def test_number_out_of_range_is_no_capability(number: int) -> None:
    assert read(sign(READ._replace(ino=Ino(number)), "alice", KEY)) is None
    assert read(sign(READ._replace(ticket=Ticket(number)), "alice", KEY)) is None


@pytest.mark.parametrize(("capability", "lifetime_s"), [(READ, LIFETIME_S), (WRITE, WRITE_LIFETIME_S)])
def test_capability_expires_with_the_clocks_slack(capability: Capability, lifetime_s: int) -> None:
    text = sign(capability, "alice", KEY)
    verify(text, now_s=NOW_S + lifetime_s + SLACK_S)
    verify(text, now_s=NOW_S - SLACK_S)
    with pytest.raises(CapabilityRefused, match="it has expired 61 s ago by this server's clock"):
        verify(text, now_s=NOW_S + lifetime_s + SLACK_S + 1)
    with pytest.raises(CapabilityRefused, match="it is from 61 s after now by this server's clock"):
        verify(text, now_s=NOW_S - SLACK_S - 1)


def test_one_to_write_outlives_the_lease_of_a_mount_and_not_by_much() -> None:
    assert LEASE_CLIENT_S < WRITE_LIFETIME_S < 10 * LEASE_CLIENT_S


def test_both_keys_count_while_they_are_changed_and_the_first_signs() -> None:
    old, new = sign(READ, "alice", OTHER_KEY), sign(READ, "alice", KEY)
    for text in (old, new):
        verify(text, keys=(KEY, OTHER_KEY))
        verify(text, keys=(OTHER_KEY, KEY))
    assert Signer(lambda: (OTHER_KEY, KEY)).sign(READ, "alice") == old
    with pytest.raises(CapabilityRefused):
        verify(old, keys=(KEY,))


def test_every_key_is_tried_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def compare(a: str, b: str) -> bool:
        compared.append(a)
        return a == b

    monkeypatch.setattr("dfs.core.capability.hmac.compare_digest", compare)
    verify(sign(READ, "alice", KEY), keys=(KEY, OTHER_KEY))
    assert len(compared) == 2


def test_key_of_capabilities_is_not_the_cluster_key() -> None:
    assert capability_key(b"a" * 32) != b"a" * 32
    assert capability_key(b"a" * 32) != capability_key(b"b" * 32)
