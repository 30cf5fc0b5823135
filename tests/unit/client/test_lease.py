"""Goal: the mount stops writing LEASE_CLIENT_S after the last good heartbeat was sent. Method: a clock that tests move."""

from __future__ import annotations

import pytest

from dfs.client.metadata.lease import Lease
from dfs.core.errors import ClientRefused, Interrupted
from dfs.core.limits import LEASE_CLIENT_S, LEASE_META_S
from tests.harness.local_cluster import CallerContext
from tests.unit.client.parts import TASKS, ManualClock


def test_lease_counts_from_when_the_heartbeat_was_sent() -> None:
    clock = ManualClock()
    lease = Lease(clock, TASKS)
    assert not lease.is_valid()
    sent_s = clock.now_s
    clock.now_s += 5  # parked at meta
    lease.renew(sent_s)
    clock.now_s = sent_s + LEASE_CLIENT_S - 0.1
    assert lease.is_valid()
    clock.now_s = sent_s + LEASE_CLIENT_S
    assert not lease.is_valid()


def test_lease_ends_long_before_meta_gives_the_grants_away() -> None:
    assert LEASE_META_S - LEASE_CLIENT_S >= 10


def test_late_answer_to_an_older_heartbeat_does_not_shorten_the_lease() -> None:
    clock = ManualClock()
    lease = Lease(clock, TASKS)
    lease.renew(clock.now_s)
    lease.renew(clock.now_s - 15)
    clock.now_s += LEASE_CLIENT_S - 1
    assert lease.is_valid()


def test_lost_lease_is_invalid_until_renewed_and_who_waits_can_be_ended() -> None:
    clock, ctx = ManualClock(), CallerContext()
    lease = Lease(clock, TASKS)
    lease.renew(clock.now_s)
    lease.lose()
    ctx.end()
    with pytest.raises(Interrupted):
        lease.wait(ctx)
    lease.renew(clock.now_s)
    lease.wait(ctx)


def test_refused_mount_may_not_write_and_who_waits_learns_why_until_it_is_taken_again() -> None:
    clock, ctx = ManualClock(), CallerContext()
    lease = Lease(clock, TASKS)
    lease.renew(clock.now_s)
    lease.refuse(ClientRefused("10.0.0.1", "no export is for it"))
    assert not lease.is_valid()
    with pytest.raises(ClientRefused, match="no export is for it"):
        lease.wait(ctx)
    lease.renew(clock.now_s)
    lease.wait(ctx)
