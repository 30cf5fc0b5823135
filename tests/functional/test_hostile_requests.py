"""Goal: no parameter of any method makes a server fail in a way that it did not mean, or do half of something.

Method: the requests are made from the message classes, each part of each in turn of a wrong type, out of range, over-long or
missing. What must be refused may not reach the service; what reaches it is carried out or refused by an error that has a fault
code, and what was stored before is there afterwards.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dfs.core.contexts import PlainContext
from dfs.core.errors import BadRequest, DfsError, EndReason, RequestTooLarge, ServerFailed
from dfs.core.ids import ROOT_INO, Ino, OpId, Ticket
from dfs.core.limits import TREE_PATH_BYTES_MAX
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.inspection import CheckTables
from dfs.core.messages.meta_methods import META_METHODS
from dfs.core.messages.names import Create, Lookup, MakeFolder, MakeSymlink
from dfs.core.messages.requests import Change, Request
from dfs.core.plain import parameters_of, request_from_parameters
from dfs.meta.settings import MetaSettings
from dfs.rpc.codec import Fault, read_answer, write_request
from dfs.rpc.dispatch import Dispatcher
from dfs.rpc.faults import NEVER_TRAVEL, fault_of
from tests.harness.fake_data_servers import FakeDataServers
from tests.harness.hostile_values import filled_request, of_wrong_type, out_of_range, spoilt
from tests.harness.memory_disk import MemoryDisk
from tests.harness.sample_api import SampleApi
from tests.harness.waiting import wait_until
from tests.unit.data.one_server import OneServer, P, S, generation
from tests.unit.meta.conftest import FakeContext, MetaUnderTest

EVERY_METHOD = [*META_METHODS.items(), *BLOCK_METHODS.items()]
BLOCK = b"precious" * 64
GROUNDS = ((1, b""), (7, b"f"))
"""What stands in all numbers and words that are not spoilt: the root itself, and something that is there."""
FAULT_BYTES_MAX = 8 * TREE_PATH_BYTES_MAX
"""A path of the greatest length, shown and as JSON, where a NUL takes six characters."""
INVENTED = (BadRequest, RequestTooLarge)
"""Errors that promise that nothing was done."""


# --- wrong types -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "cls"), EVERY_METHOD, ids=[name for name, _ in EVERY_METHOD])
def test_parameter_of_a_wrong_type_is_refused_before_the_service_hears_of_it(name: str, cls: type[Request[Any]]) -> None:
    api = SampleApi()
    methods = META_METHODS if name in META_METHODS and META_METHODS[name] is cls else BLOCK_METHODS
    dispatcher = Dispatcher(name="x", methods=methods, api=api)
    good = parameters_of(filled_request(cls, 7, b"word"))
    accepted = 0
    bad = [*_wrong_parameters(good), *([] if not good else [good[:-1]]), [*good, 1]]
    for parameters in bad:
        answer = read_answer(b"".join(dispatcher.answer(_document(name, parameters), PlainContext("r"))))
        if not isinstance(answer, Fault):  # a number as a decimal string, an int for a double: the same value
            accepted += 1
            assert api.seen[-1][1] == request_from_parameters(cls, parameters)
            continue
        assert answer.code == 301, (parameters, answer)
        assert "Traceback" not in answer.text
        assert len(answer.text) < 1000
    assert len(api.seen) == accepted


def _wrong_parameters(good: list[Any]) -> Iterator[list[Any]]:
    for position, value in enumerate(good):
        for wrong in spoilt(value, of_wrong_type):
            yield [*good[:position], wrong, *good[position + 1 :]]


def _document(name: str, parameters: list[Any]) -> bytes:
    """Return the call; numbers that our writer refuses are written all the same."""
    stand_in = 1_234_567
    text = b"".join(write_request(name, _replaced(parameters, stand_in)))
    huge = next(_huge(parameters), 0)
    return text.replace(b"%d" % stand_in, b"%d" % huge) if huge else text


def _huge(value: Any) -> Iterator[int]:
    if type(value) is int and value.bit_length() > 64:
        yield value
    for item in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
        yield from _huge(item)


def _replaced(value: Any, stand_in: int) -> Any:
    if type(value) is int and value.bit_length() > 64:
        return stand_in
    if isinstance(value, list):
        return [_replaced(item, stand_in) for item in value]
    if isinstance(value, dict):
        return {name: _replaced(member, stand_in) for name, member in value.items()}
    return value


# --- right types, impossible values ----------------------------------------------------------------------------------------


def hostile_requests(cls: type[Request[Any]]) -> Iterator[Request[Any]]:
    """Yield requests of a class that pass the wire."""
    for number, word in GROUNDS:
        good = parameters_of(filled_request(cls, number, word))
        for position, value in enumerate(good):
            for other in spoilt(value, out_of_range):
                try:
                    yield request_from_parameters(cls, [*good[:position], other, *good[position + 1 :]])
                except BadRequest:
                    continue


def outcome(service: Any, ctx: Any, request: Request[Any]) -> DfsError | None:
    """Return the error by which a request was refused. Fails if it is a bug, or none that can travel as itself."""
    shown = f"{request!r}"[:300]
    try:
        service.call(ctx, request)
    except DfsError as error:
        refusal = error
    except Exception as error:
        raise AssertionError(f"{error!r} by {shown}") from error
    else:
        return None
    assert not isinstance(refusal, (ServerFailed, *NEVER_TRAVEL)), shown
    assert len(fault_of(refusal, "x").text) < FAULT_BYTES_MAX
    return refusal


@pytest.mark.parametrize("name", BLOCK_METHODS)
def test_impossible_values_neither_break_a_data_server_nor_have_half_an_effect(name: str) -> None:
    server = OneServer(MemoryDisk())
    server.note_mark(10_000)
    server.put(7, generation(3), (P, 0, [BLOCK, b"tail"]), (S, 1, [BLOCK]))
    server.sync(7)
    for request in hostile_requests(BLOCK_METHODS[name]):
        before = _state_of(server)
        error = outcome(server.service, PlainContext("r"), request)
        if isinstance(error, INVENTED):
            assert _state_of(server) == before, f"{request!r}"[:300]
    if name not in ("drop", "clean"):  # these remove blocks where they are told to
        assert [block.data for block in server.get(7, P, 0, 2)] == [BLOCK, b"tail"]
    server.restart()
    assert server.service.check() >= 0
    server.put(9, generation(8000), (P, 0, [BLOCK]))
    assert server.get(9, P, 0)[0].data == BLOCK


def _state_of(server: OneServer) -> Any:
    blocks = server.service._blocks
    assert blocks is not None
    return blocks.store.journal.end, server.service._identification.current


@pytest.fixture(scope="module")
def shared_meta(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetaUnderTest]:
    """A meta-server with a few files."""
    servers = FakeDataServers()
    path: Path = tmp_path_factory.mktemp("hostile") / "meta.db"
    meta = MetaUnderTest(path, MetaSettings(data_servers=servers.names), servers=servers)
    meta.start()
    wait_until(lambda: servers.cluster != "")
    yield meta
    meta.stop()


@pytest.mark.parametrize("name", META_METHODS)
def test_impossible_values_neither_break_the_meta_server_nor_have_half_an_effect(shared_meta: MetaUnderTest, name: str) -> None:
    meta = shared_meta
    mount = meta.mount()
    folder = b"of-%s" % name.encode()
    mount.call(MakeFolder(mount.op(), ROOT_INO, folder, 0o755))
    mount.call(Create(mount.op(), ROOT_INO, folder + b"/f", 0o644, False))
    mount.call(MakeSymlink(mount.op(), ROOT_INO, folder + b"/l", b"target"))
    op = 1000
    watcher = sqlite3.connect(f"file:{meta.path}?mode=ro", uri=True)
    rows, seen = _rows(watcher), watcher.execute("PRAGMA data_version").fetchone()
    for request in hostile_requests(META_METHODS[name]):
        if isinstance(request, Change) and request.op == 7:
            op += 1
            request = replace(request, op=OpId(op))
        session = mount.session if name != "end_session" else meta.mount().session
        ctx = FakeContext(session, mount.caller, end=lambda: EndReason.DEADLINE)  # waits for nothing
        version = watcher.execute("PRAGMA data_version").fetchone()
        rows = rows if version == seen else _rows(watcher)
        error = outcome(meta.service, ctx, request)
        seen = watcher.execute("PRAGMA data_version").fetchone()
        if seen != version:  # something was committed: if it refused, only that it did
            after = _rows(watcher)
            assert not isinstance(error, INVENTED) or after == rows, f"{request!r}"[:300]
            rows = after
    assert meta.service.call(FakeContext(), CheckTables()) == ()
    fresh = meta.mount()
    assert fresh.call(Lookup(Ino(ROOT_INO), b"")).ino == ROOT_INO
    made = fresh.call(Create(fresh.op(), ROOT_INO, b"after-" + name.encode(), 0o644, False))
    assert made.grant.ticket < Ticket(1 << 39)  # numbers were not used up
    assert not meta.bugs
    watcher.close()


def _rows(watcher: sqlite3.Connection) -> list[str]:
    """Return all that is stored, but for remembered answers and the mark."""
    return [line for line in watcher.iterdump() if '"answer"' not in line and '"counter"' not in line]
