"""Goal: what stands in fstab means what mount.dfs(8) says, and nothing is silently misread. Method: lists of options, parsed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfs.cli.mount_helper.options import MountWishes, parse_duration_s, parse_options, split_options
from dfs.core.interfaces import Caller
from dfs.core.start_errors import UsageError


def wishes(text: str) -> MountWishes:
    return parse_options(split_options(text))


def test_no_options_wish_for_nothing_and_wait_for_ever() -> None:
    assert wishes("") == MountWishes()
    assert wishes("").timeout_s is None


def test_every_option_of_ours_has_its_effect() -> None:
    assert wishes(
        "config=/etc/dfs/a b.conf,attr_timeout=0,entry_timeout=2.5,allow_other,soft,timeo=500ms,root_squash,anonuid=7,anongid=8,"
        "retry=1min,metrics,log=/var/log/dfs.log,writeback"
    ) == MountWishes(
        config=Path("/etc/dfs/a b.conf"),
        attr_timeout_s=0.0,
        entry_timeout_s=2.5,
        allow_other=True,
        is_soft=True,
        timeo_s=0.5,
        is_root_squashed=True,
        nobody=Caller(7, 8),
        retry_s=60.0,
        log_file=Path("/var/log/dfs.log"),
        shows_metrics=True,
        writes_back=True,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("writeback=yes", True),
        ("writeback=no", False),
        ("writeback,nowriteback", False),
        ("writeback=no,writeback", True),
        ("ro", None),
    ],
)
def test_the_last_word_on_writeback_counts(text: str, expected: bool | None) -> None:
    assert wishes(text).writes_back is expected


def test_the_last_word_on_metrics_counts() -> None:
    assert wishes("metrics,nometrics").shows_metrics is False
    assert wishes("nometrics,metrics").shows_metrics is True


def test_soft_alone_has_a_time_and_hard_takes_it_away() -> None:
    assert wishes("soft").timeout_s == 30.0
    assert wishes("soft,timeo=3").timeout_s == 3.0
    assert wishes("soft,timeo=3,hard").timeout_s is None


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("rw", ("rw",)),
        ("ro,nosuid,nodev,noexec,sync,dirsync,noatime", ("ro", "nosuid", "nodev", "noexec", "sync", "dirsync", "noatime")),
        ("noexec,ro", ("ro", "noexec")),
        ("ro,rw,suid,nosuid,exec", ("rw", "nosuid", "exec")),
    ],
)
def test_last_of_two_contradicting_flags_counts_and_order_is_fixed(text: str, flags: tuple[str, ...]) -> None:
    assert wishes(text).flags == flags


def test_what_mount_and_systemd_act_upon_is_left_to_them() -> None:
    text = "defaults,_netdev,nofail,noauto,user,user=alice,users,x-systemd.automount,x-systemd.idle-timeout=1min,comment=x,relatime"
    assert wishes(text) == MountWishes()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "got 'nonsense'"),
        ("writeback=maybe", "expected writeback=yes or no, got 'writeback=maybe'"),
        ("nowriteback=yes", "expected nowriteback, got 'nowriteback=yes'"),
        ("remount", "got 'remount'"),
        ("nosymfollow", "got 'nosymfollow'"),  # nobody would honour it: better refused than believed
        ("attr_timeout", "expected attr_timeout=a time such as 30s, 500ms or 1min, got 'attr_timeout'"),
        ("attr_timeout=", "got 'attr_timeout='"),
        ("attr_timeout=-1", "got 'attr_timeout=-1'"),
        ("attr_timeout=1d", "got 'attr_timeout=1d'"),
        ("attr_timeout=25h", "got 'attr_timeout=25h'"),
        ("soft,timeo=0", "more than nothing, got 'timeo=0'"),
        ("timeo=3", "expected soft beside timeo"),
        ("soft=1", "expected soft, got 'soft=1'"),
        ("anonuid=root", "got 'anonuid=root'"),
        ("anonuid=4294967295", "expected anonuid=a number from 0 to 4294967294"),
        ("config=dfs.conf", "expected config=the absolute path of a file"),
    ],
)
def test_wrong_option_is_refused_by_name(text: str, told: str) -> None:
    with pytest.raises(UsageError) as refusal:
        wishes(text)
    assert told in str(refusal.value)


def test_sloppy_leaves_out_the_unknown_but_not_the_wrong() -> None:
    assert parse_options(["nonsense", "what=ever", "ro"], sloppy=True) == MountWishes(flags=("ro",))
    with pytest.raises(UsageError):
        parse_options(["timeo=never"], sloppy=True)


@pytest.mark.parametrize(
    ("text", "duration_s"), [("0", 0.0), ("2", 2.0), ("30s", 30.0), ("1.5min", 90.0), ("2h", 7200.0), ("5ms", 0.005)]
)
def test_times_have_units(text: str, duration_s: float) -> None:
    assert parse_duration_s(text) == duration_s
