"""Goal: a key file means one thing, every sender has a key of its own that leads nowhere else, and a change of keys never skips a
step. Method: properties, and fixed values that other programs rely on.
"""

from __future__ import annotations

import hmac
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs.core.keys import (
    ADMIN,
    KEY_BYTES,
    META,
    BadKey,
    Key,
    Keys,
    Sender,
    client_keys,
    derive,
    key_id,
    next_step,
    parse_keys,
    parse_sender,
    show_keys,
)
from dfs.core.peers import PeerKind

SECRETS = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
SENDERS = st.one_of(
    st.just(META),
    st.just(ADMIN),
    st.integers(0, 254).map(lambda index: Sender(PeerKind.DATA, index=index)),
    NAMES.map(lambda name: Sender(PeerKind.CLIENT, name=name)),
)
SECRET = bytes(range(KEY_BYTES))
HEX = SECRET.hex()


@given(SENDERS)
def test_sender_is_found_by_its_name(sender: Sender) -> None:
    assert parse_sender(sender.text()) == sender


@pytest.mark.parametrize(
    "text",
    [
        "",
        "meta/",
        "meta/0",
        "admin/x",
        "data",
        "data/",
        "data/00",
        "data/-1",
        "data/255",
        "data/1 ",
        "client",
        "client/",
        "client/-a",
        "x",
    ],
)
def test_name_of_no_sender_is_none(text: str) -> None:
    assert parse_sender(text) is None


@given(SECRETS, SENDERS, SENDERS)
def test_each_sender_has_a_key_of_its_own(secret: bytes, one: Sender, other: Sender) -> None:
    assert (derive(secret, one) == derive(secret, other)) == (one == other)
    assert len({secret, derive(secret, one), derive(derive(secret, one), one)}) == 3


def test_derived_keys_are_what_other_programs_expect() -> None:
    assert derive(SECRET, ADMIN) == hmac.digest(SECRET, b"dfs 1 key of admin", "sha256")
    assert derive(SECRET, Sender(PeerKind.CLIENT, name="lap.top")) == hmac.digest(SECRET, b"dfs 1 key of client/lap.top", "sha256")
    assert key_id(SECRET) == hmac.digest(SECRET, b"dfs 1 key id", "sha256")[:4].hex()


@given(SECRETS, NAMES, SENDERS)
def test_clients_key_signs_for_that_client_whatever_is_asked_for(secret: bytes, name: str, sender: Sender) -> None:
    [key] = client_keys((Key(secret),), name)
    assert key.secret_of(sender) == derive(secret, Sender(PeerKind.CLIENT, name=name))


@given(SECRETS, SECRETS, st.one_of(st.just(""), NAMES), st.booleans())
def test_key_file_says_what_was_written(first: bytes, second: bytes, client: str, is_retired: bool) -> None:
    keys = (Key(first, client), Key(second, client, is_retired))[: 1 if first == second else 2]
    assert parse_keys(show_keys(keys)) == keys


def test_key_file_may_be_made_by_other_means() -> None:
    assert parse_keys(f"\n# ours\n  {HEX.upper()}  \r\n\n") == (Key(SECRET),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        HEX[:-1],
        HEX[:-2],
        HEX + "00",
        HEX[:-1] + "g",
        f"{HEX}\n{HEX}",
        f"{HEX}\n{HEX[::-1]}\n{HEX[2:]}ff",
        f"{HEX} retired",
        f"{HEX} old",
        f"{HEX}\nclient a {HEX[::-1]}",
        f"client a {HEX}\nclient b {HEX[::-1]}",
        f"client -a {HEX}",
        f"client {HEX}",
        "client",
        "client a",
        "none",
    ],
)
def test_key_file_that_makes_no_sense_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(BadKey) as told:
        parse_keys(text)
    assert HEX not in str(told.value)


def test_key_is_not_shown_by_repr() -> None:
    assert repr(SECRET) not in repr(Key(SECRET))


def test_change_of_keys_takes_three_steps_and_ends_with_the_new_one() -> None:
    secrets = (bytes([number]) * KEY_BYTES for number in itertools.count(1))
    keys: Keys = (Key(SECRET),)
    seen = []
    for _ in range(3):
        keys = next_step(keys, lambda: next(secrets)).keys
        seen.append(keys)
        assert parse_keys(show_keys(keys)) == keys
    new = Key(b"\1" * KEY_BYTES)
    assert seen == [(Key(SECRET), new), (new, Key(SECRET, is_retired=True)), (new,)]
    for before, after in itertools.pairwise([(Key(SECRET),), *seen]):
        assert after[0].secret in {key.secret for key in before}, "what signs after a step was accepted before it"
        assert before[0].secret in {key.secret for key in after} or before[0] == after[0] or len(after) == 1
