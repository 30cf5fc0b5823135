"""Goal: the kernel gets the right errno for every error, and a positive one whatever was raised.

Method: walk the tree of dfs/core/errors.py, and feed the table what nobody planned for.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator

import pytest

from dfs.core import errors
from dfs.core.contexts import PlainContext
from dfs.core.events.event import REQUEST_FIELD
from dfs.core.events.programs import UNEXPECTED
from dfs.core.start_errors import StartError
from dfs.fusefs.errno_table import BUGS, ERRNO, FAULTS, to_os_error
from tests.harness.recorded_events import RecordedEvents

NOT_FROM_OPERATIONS = (errors.DiskError, StartError)
"""Branches that belong to servers and to starting programs; the wire does not carry them."""


def leaves(branch: type[errors.DfsError]) -> Iterator[type[errors.DfsError]]:
    below = branch.__subclasses__()
    if not below:
        yield branch
    for child in below:
        if child.__module__ == errors.__name__:
            yield from leaves(child)


REACHING = [leaf for leaf in leaves(errors.DfsError) if not issubclass(leaf, NOT_FROM_OPERATIONS)]


@pytest.mark.parametrize("leaf", REACHING, ids=lambda leaf: leaf.__name__)
def test_every_error_that_can_reach_an_operation_has_exactly_one_place(leaf: type[errors.DfsError]) -> None:
    places = [leaf in ERRNO, leaf in FAULTS, leaf in BUGS, leaf is errors.Interrupted]
    assert sum(places) == 1


@pytest.mark.parametrize("leaf", list(leaves(errors.FileError)), ids=lambda leaf: leaf.__name__)
def test_file_error_has_the_errno_that_its_class_promises(leaf: type[errors.FileError]) -> None:
    events = RecordedEvents()
    answer = to_os_error(leaf(b"/x"), "open", PlainContext(), events)
    promised = (leaf.__doc__ or "").partition(":")[0].rstrip(".")
    assert answer.errno == getattr(errno, promised)
    assert events.events == []


@pytest.mark.parametrize(
    ("reason", "number"),
    [
        (errors.EndReason.SIGNAL, errno.EINTR),
        (errors.EndReason.SHUTDOWN, errno.EIO),
        (errors.EndReason.LEASE_LOST, errno.EIO),
        (errors.EndReason.DEADLINE, errno.EIO),
    ],
)
def test_interruption_is_eintr_only_for_a_signal(reason: errors.EndReason, number: int) -> None:
    assert to_os_error(errors.Interrupted(reason.value), "write", PlainContext(), RecordedEvents()).errno == number


def test_lost_block_is_eio_without_a_second_report(caplog: pytest.LogCaptureFixture) -> None:
    events = RecordedEvents()
    assert to_os_error(errors.NoGoodCopy(5, 0, "corrupt", "corrupt"), "read", PlainContext(), events).errno == errno.EIO
    assert events.events == []
    assert caplog.records == []


def test_fault_of_the_cluster_is_eio_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    events = RecordedEvents()
    error = errors.BadAnswer("meta at 127.0.0.1:9000", "nonsense")
    assert to_os_error(error, "mkdir", PlainContext(), events).errno == errno.EIO
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "nonsense" in caplog.text
    assert events.events == []


@pytest.mark.parametrize(
    "bug",
    [
        ValueError("x"),
        TimeoutError("without errno"),
        OSError(-5, "negative"),
        FileNotFoundError(2, "ours, not the program's"),
        SystemExit(3),
        KeyboardInterrupt(),
        errors.BadRequest("x"),
        errors.GrantBusy(7),
        errors.DiskFull("write", "x", "full"),
    ],
    ids=repr,
)
def test_anything_else_is_eio_with_an_event_and_a_traceback(bug: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    events = RecordedEvents()
    with pytest.raises(type(bug)) as caught:
        raise bug
    answer = to_os_error(caught.value, "mkdir", PlainContext(request_id="a-1"), events)
    assert answer.errno == errno.EIO
    assert [event.kind for event in events.events] == [UNEXPECTED]
    assert "mkdir" in events.events[0].message()
    assert "Traceback" in caplog.text
    assert [getattr(record, REQUEST_FIELD) for record in caplog.records] == ["a-1"]
