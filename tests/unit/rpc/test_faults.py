"""Goal: a caller gets the very error that the server raised, with its fields; nothing unmapped can be added unseen.

Method: walk the tree of error classes; send a filled example of each through its fault and back; spoil faults by hand.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from pathlib import Path
from typing import Any

import pytest

from dfs.core import errors
from dfs.core.errors import (
    BadAnswer,
    DfsError,
    DiskFailed,
    EndReason,
    Interrupted,
    NameTooLong,
    NotFound,
    ServerFailed,
    StaleTicket,
    Stopping,
)
from dfs.core.limits import TREE_PATH_BYTES_MAX
from dfs.core.start_errors import StateError
from dfs.rpc import codec
from dfs.rpc.codec import Fault
from dfs.rpc.faults import CODES, NEVER_TRAVEL, error_of, fault_of

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES: dict[Any, Any] = {int: (1 << 64) - 1, str: "na\u00efve\n\"\\'", bytes: bytes(range(256)), bool: True}


def leaves(cls: type[DfsError]) -> list[type[DfsError]]:
    below = cls.__subclasses__()
    return [leaf for sub in below for leaf in leaves(sub)] if below else [cls]


def example(cls: type[DfsError]) -> DfsError:
    hints = typing.get_type_hints(cls)
    values = {field.name: EXAMPLES[hints[field.name]] for field in dataclasses.fields(cls)}
    return cls(**(values | ({"reason": EndReason.DEADLINE.value} if cls is Interrupted else {})))


def travelled(error: DfsError) -> DfsError:
    fault = codec.read_answer(b"".join(codec.write_fault(fault_of(error, "server"))))
    assert isinstance(fault, Fault)
    return error_of(fault, "peer")


def test_every_leaf_has_a_code_or_never_travels() -> None:
    unmapped = [cls for cls in leaves(DfsError) if cls not in CODES.values() and not issubclass(cls, NEVER_TRAVEL)]
    assert unmapped == []
    assert not [cls for cls in CODES.values() if issubclass(cls, NEVER_TRAVEL)]
    assert len(set(CODES.values())) == len(CODES)


def test_codes_that_peers_know_are_unchanged() -> None:
    known = {101: "NotFound", 112: "NoSpace", 150: "NoGoodCopy", 201: "Unreachable", 301: "BadRequest", 304: "StaleTicket"}
    known |= {305: "Conflict", 308: "SessionExpired", 311: "WrongServer", 313: "Stopping", 401: "Interrupted"}
    assert {code: CODES[code].__name__ for code in known} == known


@pytest.mark.parametrize("cls", CODES.values(), ids=lambda cls: cls.__name__)
def test_error_arrives_with_its_class_and_fields(cls: type[DfsError]) -> None:
    error = example(cls)
    back = travelled(error)
    assert type(back) is cls
    assert vars(back) == vars(error)


def test_fault_text_begins_with_the_message_for_people() -> None:
    text = fault_of(StaleTicket(7, 9), "server").text
    message, _, fields = text.partition("\n")
    assert message == "inode 7: the caller's ticket is older than the floor 9"
    assert json.loads(fields) == {"ino": 7, "floor": 9}


@pytest.mark.parametrize("error", [DiskFailed("pread", "strips/1", "Input/output error"), StateError("a", "b")])
def test_error_of_the_servers_own_machine_arrives_as_server_failed(error: DfsError) -> None:
    assert vars(travelled(error)) == vars(ServerFailed("server", str(error)))


def test_interruption_by_the_servers_stop_arrives_as_stopping() -> None:
    assert type(travelled(Interrupted("shutdown"))) is Stopping
    assert vars(travelled(Interrupted("deadline"))) == {"reason": "deadline"}


def test_file_name_with_control_characters_survives_in_the_fields() -> None:
    back = travelled(NotFound(b"a\x01\xff\n"))
    assert isinstance(back, NotFound)
    assert back.path == b"a\x01\xff\n"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(9999, "x\n{}"),
        Fault(-1, ""),
        Fault(304, "no fields"),
        Fault(304, "x\n[]"),
        Fault(304, 'x\n{"ino": 1}'),
        Fault(304, 'x\n{"ino": 1, "floor": "2"}'),
        Fault(304, 'x\n{"ino": true, "floor": 2}'),
        Fault(101, 'x\n{"path": "\\u1234"}'),
        Fault(304, "x\n" + "[" * 100_000),
    ],
)
def test_fault_that_is_not_one_of_ours_is_a_bad_answer(fault: Fault) -> None:
    error = error_of(fault, "meta at 127.0.0.1:9000")
    assert isinstance(error, BadAnswer)
    assert error.peer == "meta at 127.0.0.1:9000"
    assert len(error.reason) <= 300


def test_all_error_fields_are_of_kinds_that_travel() -> None:
    kinds = {hint for cls in CODES.values() for name, hint in typing.get_type_hints(cls).items() if name in vars(example(cls))}
    assert kinds <= set(EXAMPLES)
    assert errors.DfsError not in CODES.values()


def test_documented_table_of_codes_is_the_real_one() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (.+) \|$", (ROOT / "docs" / "wire.md").read_text(), re.MULTILINE)
    real = [
        (str(code), cls.__name__, ", ".join(field.name for field in dataclasses.fields(cls)) or "-") for code, cls in CODES.items()
    ]
    assert rows == real


def test_only_a_deadline_ends_a_call_at_a_server() -> None:
    assert isinstance(travelled(Interrupted(EndReason.SIGNAL.value)), BadAnswer)


def test_name_over_all_limits_is_shown_by_its_beginning() -> None:
    fault = fault_of(NameTooLong(b"\0" * (1 << 22)), "server")
    assert len(fault.text) < 8 * TREE_PATH_BYTES_MAX
    back = travelled(NameTooLong(b"n" * (1 << 20)))
    assert isinstance(back, NameTooLong)
    assert back.path == b"n" * TREE_PATH_BYTES_MAX
