"""Looks after the certificate that this program uses: has a renewed one read, and tells in time that one ends.

Promises: files that changed are read within LOOK_INTERVAL_S also where no connection is made, and at once by look_again(); what is
read is told, with its last day; from 30 days before that on, each day again. Started and stopped by the servers and by the mount.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Final

from dfs.core.certificates import DAY_S, Certificate, Urgency
from dfs.core.events.event import Event
from dfs.core.events.wire import CERTIFICATE_EXPIRES, CERTIFICATE_EXPIRES_SOON, CERTIFICATE_READ
from dfs.core.interfaces import Clock, EventSink, Tasks
from dfs.rpc.tls import TlsIdentity

LOOK_INTERVAL_S: Final = 60.0
NS_PER_S: Final = 1_000_000_000


class CertificateWatch(AbstractContextManager["CertificateWatch"]):
    """Use it in a `with`."""

    def __init__(self, identity: TlsIdentity, clock: Clock, tasks: Tasks, events: EventSink) -> None:
        self._identity = identity
        self._clock = clock
        self._events = events
        self._tasks = tasks
        self._ended = threading.Event()
        self._mutex = threading.Lock()
        self._told: Certificate | None = None
        self._told_s = 0.0

    def __enter__(self) -> CertificateWatch:
        """Tell what is there, and look on."""
        self.look()
        self._tasks.spawn("certificate-watch", self._run)
        return self

    def __exit__(self, *failure: object) -> None:
        """Look no more."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(LOOK_INTERVAL_S):
            self._identity.refresh()
            self.look()

    def look_again(self) -> None:
        """Read what has changed at once, and tell."""
        self._identity.refresh(at_once=True)
        self.look()

    def look(self) -> None:
        """Tell of a certificate that is new, or about to end and was not told of for a day."""
        read, now_s = self._identity.now, self._clock.wall_ns() / NS_PER_S
        with self._mutex:
            is_new = read.certificate != self._told
            if not is_new and abs(now_s - self._told_s) < DAY_S:
                return
            self._told, self._told_s = read.certificate, now_s
        if is_new:
            details = {
                "name": read.certificate.name,
                "file": self._identity.files.certificate,
                "until": read.certificate.until,
            }
            self._events.emit(Event(CERTIFICATE_READ, details=details))
        self._tell_end(read.certificate, self._identity.files.certificate, now_s)
        self._tell_end(read.ca, self._identity.files.ca, now_s)

    def _tell_end(self, certificate: Certificate, file: str, now_s: float) -> None:
        urgency = certificate.urgency(now_s)
        if urgency is Urgency.NONE:
            return
        kind = CERTIFICATE_EXPIRES if urgency is Urgency.WARNING else CERTIFICATE_EXPIRES_SOON
        days = certificate.days_left(now_s)
        details = {"name": certificate.name, "file": file, "until": certificate.until, "days": days}
        self._events.emit(Event(kind, details=details))
