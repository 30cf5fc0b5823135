"""Goal: the helper understands mount(8) and systemd. Method: the command lines that they make, as manuals and trials show them."""

from __future__ import annotations

import pytest

from dfs.cli.mount_helper.command_line import HelperCall, parse_helper_call
from dfs.core.start_errors import UsageError


def test_source_folder_and_options_in_any_order() -> None:
    expected = HelperCall("meta1:9000", b"/mnt/d d", ("rw", "_netdev", "config=/a b"))
    assert parse_helper_call(["meta1:9000", "/mnt/d d", "-o", "rw,_netdev,config=/a b"]) == expected
    assert parse_helper_call(["-o", "rw,,_netdev", "meta1:9000", "/mnt/d d", "-o", "config=/a b"]) == expected


def test_letters_mean_what_mount_says() -> None:
    call = parse_helper_call(["s", "/d", "-sfnvr", "-N", "7", "-t", "dfs", "-o", "rw"])
    assert (call.is_sloppy, call.is_fake, call.is_verbose, call.is_remount) == (True, True, True, False)
    assert call.words == ("ro", "rw")


def test_remount_is_an_errand_and_no_option() -> None:
    call = parse_helper_call(["s", "/d", "-o", "remount,ro"])
    assert (call.is_remount, call.words) == (True, ("ro",))


def test_folder_of_odd_bytes_is_kept() -> None:
    assert parse_helper_call(["s", "/\udcff"]).folder == b"/\xff"


@pytest.mark.parametrize(
    "argv", [[], ["s"], ["s", ""], ["s", "/d", "x"], ["s", "/d", "-q"], ["s", "/d", "-o"], ["s", "/d", "--fake"]]
)
def test_anything_else_is_refused_with_the_usage(argv: list[str]) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_helper_call(argv)
    assert "mount.dfs SOURCE DIR" in str(refusal.value)
