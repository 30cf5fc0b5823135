"""Goal: data servers are shown the capability that they want to see, the meta-server is asked once and only when one refuses, and a
refusal becomes what its cause is. Method: servers that verify, in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from dfs.client.blocks.capabilities import KEPT_MAX, Capabilities
from dfs.client.blocks.showing import ShowingServers
from dfs.core.capability import LIFETIME_S, SLACK_S, Capability, Right, Verifier, capability_key, sign
from dfs.core.contexts import PlainContext
from dfs.core.errors import AccessDenied, CapabilityRefused, DfsError, StaleTicket, Unreachable
from dfs.core.ids import NO_TICKET, BlockNo, Ino, ServerIndex, Ticket, generation_of
from dfs.core.interfaces import CallContext
from dfs.core.messages.blocks import CountBlocks, Get, Put, Sync
from dfs.core.messages.content import Grant, Opened
from dfs.core.messages.inodes import Content
from dfs.core.messages.requests import Done, Request
from dfs.core.placement import Layout
from dfs.data.capabilities import NEEDS
from dfs.host.tasks import ThreadTasks

CTX = PlainContext()
KEY = capability_key(b"k" * 32)
INO, TICKET = Ino(7), Ticket(9)
ONE, TWO = ServerIndex(0), ServerIndex(1)
READING = Get(INO, NO_TICKET, (), (), ())
WRITING = Put(INO, TICKET, generation_of(TICKET, 1), (), b"", b"")


@dataclass
class Verifying:
    """Two data servers that do nothing but verify, at a time that the test sets."""

    now_s: float = 1000.0
    keys: dict[ServerIndex, bytes] = field(default_factory=lambda: {ONE: KEY, TWO: KEY})
    shown: list[tuple[ServerIndex, str]] = field(default_factory=list)
    is_away: bool = False

    def call_all(
        self, ctx: CallContext, calls: Mapping[ServerIndex, Request[Any]], patience_s: float | None = None
    ) -> dict[ServerIndex, Any | DfsError]:
        return {server: self._answer(ctx, server, request) for server, request in calls.items()}

    def call(self, ctx: CallContext, server: ServerIndex, request: Request[Any]) -> Any:
        raise NotImplementedError

    def set_addresses(self, addresses: Mapping[ServerIndex, str], cluster: str) -> None:
        raise NotImplementedError

    def _answer(self, ctx: CallContext, server: ServerIndex, request: Any) -> Done | DfsError:
        text = ctx.caller.capability
        self.shown.append((server, text))
        if self.is_away and server == TWO:
            return Unreachable("data server 1", "away")
        need = NEEDS[type(request)]
        try:
            Verifier(lambda: [self.keys[server]]).require(text, "alice", request.ino, need.right, need.ticket(request), self.now_s)
        except CapabilityRefused as error:
            return error
        return Done()


@dataclass
class Meta:
    """What certifies."""

    servers: Verifying
    rights: Right = Right.READ | Right.WRITE
    ticket: Ticket = TICKET
    asked: int = 0
    error: DfsError | None = None

    def certify(self, ctx: CallContext, ino: Ino) -> str:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return sign(Capability(ino, self.rights, self.ticket, int(self.servers.now_s)), "alice", KEY)


@pytest.fixture
def servers() -> Verifying:
    return Verifying()


@pytest.fixture
def meta(servers: Verifying) -> Meta:
    return Meta(servers)


@pytest.fixture
def known() -> Capabilities:
    return Capabilities(ThreadTasks())


@pytest.fixture
def showing(servers: Verifying, meta: Meta, known: Capabilities) -> ShowingServers:
    return ShowingServers(servers, known, meta.certify)


def text(rights: Right, ticket: Ticket = NO_TICKET, issued_s: int = 1000) -> str:
    return sign(Capability(INO, rights, ticket, issued_s), "alice", KEY)


def both(request: Request[Any]) -> dict[ServerIndex, Request[Any]]:
    return {ONE: request, TWO: request}


def test_capability_of_an_answer_is_shown_and_nobody_is_asked(
    showing: ShowingServers, servers: Verifying, meta: Meta, known: Capabilities
) -> None:
    content = Content(Layout(0, 2, 512), 0, (), NO_TICKET)
    known.learn(Grant(INO, TICKET, content, text(Right.READ | Right.WRITE, TICKET)))
    for request in (WRITING, READING, Sync(INO), CountBlocks(INO, BlockNo(1))):
        assert showing.call_all(CTX, both(request)) == {ONE: Done(), TWO: Done()}
    assert meta.asked == 0
    assert {shown for _, shown in servers.shown} == {text(Right.READ | Right.WRITE, TICKET)}


def test_capability_to_read_does_not_take_the_place_of_one_to_write(
    showing: ShowingServers, meta: Meta, known: Capabilities
) -> None:
    known.add(text(Right.READ | Right.WRITE, TICKET))
    known.add(text(Right.READ, issued_s=1001))
    assert showing.call(CTX, ONE, WRITING) == Done()
    assert showing.call_all(CTX, both(WRITING)) == {ONE: Done(), TWO: Done()}
    assert showing.call_all(CTX, both(READING)) == {ONE: Done(), TWO: Done()}
    assert meta.asked == 0


@pytest.mark.parametrize("request_", [WRITING, READING, Sync(INO)])
def test_expired_one_is_renewed_once_for_all_servers(
    showing: ShowingServers, servers: Verifying, meta: Meta, known: Capabilities, request_: Request[Any]
) -> None:
    known.add(text(Right.READ | Right.WRITE, TICKET))
    servers.now_s += LIFETIME_S + SLACK_S + 1
    assert showing.call_all(CTX, both(request_)) == {ONE: Done(), TWO: Done()}
    assert meta.asked == 1
    assert showing.call_all(CTX, both(request_)) == {ONE: Done(), TWO: Done()}
    assert meta.asked == 1


def test_server_that_did_not_refuse_is_not_asked_again(showing: ShowingServers, servers: Verifying, known: Capabilities) -> None:
    servers.is_away = True
    answers = showing.call_all(CTX, both(READING))
    assert answers[ONE] == Done()
    assert isinstance(answers[TWO], Unreachable)
    assert [server for server, _ in servers.shown] == [ONE, TWO, ONE]


@pytest.mark.parametrize(("rights", "ticket"), [(Right.READ, NO_TICKET), (Right.READ | Right.WRITE, Ticket(TICKET + 1))])
def test_put_whose_grant_has_gone_is_stale(showing: ShowingServers, meta: Meta, rights: Right, ticket: Ticket) -> None:
    meta.rights, meta.ticket = rights, ticket
    answers = showing.call_all(CTX, both(WRITING))
    for answer in answers.values():
        assert isinstance(answer, StaleTicket)
        assert (answer.ino, answer.floor) == (INO, TICKET)


def test_server_that_refuses_what_was_just_made_says_so(showing: ShowingServers, servers: Verifying, meta: Meta) -> None:
    servers.keys[TWO] = capability_key(b"another" * 5)
    for request in (WRITING, READING):
        answers = showing.call_all(CTX, both(request))
        assert answers[ONE] == Done()
        assert isinstance(answers[TWO], CapabilityRefused)
    assert meta.asked == 2


def test_what_the_meta_server_answers_is_the_callers(showing: ShowingServers, meta: Meta) -> None:
    meta.error = AccessDenied(b"/secret")
    with pytest.raises(AccessDenied):
        showing.call_all(CTX, both(READING))


def test_nothing_is_asked_of_nobody(showing: ShowingServers, meta: Meta) -> None:
    assert showing.call_all(CTX, {}) == {}
    assert meta.asked == 0


def test_memory_is_bounded_and_the_oldest_goes_first(known: Capabilities) -> None:
    for number in range(1, KEPT_MAX + 3):
        known.add(sign(Capability(Ino(number), Right.READ, NO_TICKET, 1000), "alice", KEY))
    assert known.find(Ino(1), Right.READ) == ""
    assert known.find(Ino(2), Right.READ) == ""
    assert known.find(Ino(3), Right.READ)
    assert known.is_used


def test_nonsense_is_as_good_as_nothing(known: Capabilities) -> None:
    for nonsense in ("", "x", "1:2:3"):
        known.add(nonsense)
    known.learn(Done())
    known.learn(Opened)
    assert not known.is_used
