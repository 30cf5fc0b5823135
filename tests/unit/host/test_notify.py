"""Goal: systemd hears what sd_notify(3) defines. Method: a socket of our own in its place."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfs.host.notify import SystemdNotify
from dfs.host.service import Notify


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield receiver


def test_messages_are_those_of_sd_notify(systemd: socket.socket) -> None:
    notify: Notify = SystemdNotify()
    notify.status("rebuilding 7 %\nREADY=1")
    notify.extend_timeout(1.5)
    notify.ready()
    notify.watchdog()
    notify.stopping()
    assert [systemd.recv(4096) for _ in range(5)] == [
        b"STATUS=rebuilding 7 % READY=1",
        b"EXTEND_TIMEOUT_USEC=1500000",
        b"READY=1",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


def test_reload_is_told_with_the_time_of_systemd_s_clock(systemd: socket.socket) -> None:
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    SystemdNotify().reloading()
    first, second = systemd.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    assert before_us <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    SystemdNotify().ready()
    assert caplog.records == []


def test_socket_that_is_gone_is_logged_once_and_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify = SystemdNotify()
    with caplog.at_level(logging.WARNING):
        notify.ready()
        notify.watchdog()
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("duration_us", "pid", "expected"),
    [
        (None, None, None),
        ("30000000", None, 30.0),
        ("30000000", "self", 30.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("soon", None, None),
    ],
)
def test_watchdog_s_is_what_systemd_asked_of_this_process(
    monkeypatch: pytest.MonkeyPatch, duration_us: str | None, pid: str | None, expected: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", duration_us), ("WATCHDOG_PID", str(os.getpid()) if pid == "self" else pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert SystemdNotify().watchdog_s() == expected
