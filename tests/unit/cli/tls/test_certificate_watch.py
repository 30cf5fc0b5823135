"""Goal: operators hear in time, and once a day, that a certificate ends, and that a renewed one counts. Method: a clock that the
test moves; real certificates; the watch is asked to look instead of waiting for its own time.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dfs.cli.tls.certificate_watch import CertificateWatch
from dfs.core.certificates import DAY_S
from dfs.host.tasks import ThreadTasks
from dfs.rpc.tls import TlsIdentity
from tests.harness.certificates import Certificates
from tests.harness.fake_clock import FakeClock
from tests.harness.recorded_events import RecordedEvents


class Watched:
    """A program's certificate, valid for 40 days from now, and what is told of it."""

    def __init__(self, folder: Path) -> None:
        self.certificates = Certificates(folder)
        self.events = RecordedEvents()
        self.clock = FakeClock(wall_ns=time.time_ns())
        self.identity = TlsIdentity(self.certificates.host("here", "127.0.0.1", days=40), self.events, is_server=True)
        self.watch = CertificateWatch(self.identity, self.clock, ThreadTasks(), self.events)

    def told(self) -> list[str]:
        """Return what was told since the last call."""
        names = [event.kind.name for event in self.events.events]
        self.events.events.clear()
        return names


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "ca")


def test_end_is_told_30_and_7_days_before_and_every_day_from_then_on(watched: Watched) -> None:
    told: dict[int, list[str]] = {}
    for day in range(42):
        for _ in range(4):
            watched.watch.look()
            watched.clock.advance(DAY_S / 4)
        told[day] = watched.told()
    assert told[0] == ["CERTIFICATE_READ"]
    assert all(not told[day] for day in range(1, 10))
    assert all(told[day] == ["CERTIFICATE_EXPIRES"] for day in range(11, 33))
    assert all(told[day] == ["CERTIFICATE_EXPIRES_SOON"] for day in range(34, 42))


def test_renewed_certificate_is_told_and_ends_the_warnings(watched: Watched) -> None:
    watched.watch.look()
    watched.clock.advance(35 * DAY_S)
    watched.watch.look()
    assert watched.told() == ["CERTIFICATE_READ", "CERTIFICATE_EXPIRES_SOON"]
    watched.certificates.renew("here")
    watched.watch.look_again()
    assert watched.told() == ["CERTIFICATE_READ"]
    watched.clock.advance(DAY_S)
    watched.watch.look_again()
    assert watched.told() == []


def test_watch_that_began_tells_at_once_and_ends_with_its_program(watched: Watched) -> None:
    with watched.watch:
        assert watched.told() == ["CERTIFICATE_READ"]
