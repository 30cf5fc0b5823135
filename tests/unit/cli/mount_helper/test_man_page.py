"""Goal: mount.dfs(8) names every option and exit code that there is, and its examples are accepted. Method: read its source."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dfs.cli.mount_helper import options
from dfs.cli.mount_helper.command_line import parse_helper_call
from dfs.cli.mount_helper.fstab import dfs_lines
from dfs.cli.mount_helper.options import KERNEL_PAIRS, parse_options
from dfs.cli.mount_helper.program import MountCode
from dfs.core.config import MountConfig

PAGE = (Path(__file__).resolve().parents[4] / "packaging" / "man" / "mount.dfs.8.scd").read_text()
BLOCKS = [line for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def test_every_option_of_ours_and_of_the_kernel_has_its_place() -> None:
    named = set(re.findall(r"\*([a-z_]+)=?\*", PAGE))
    assert set(options._OPTIONS) <= named
    assert {flag for pair in KERNEL_PAIRS for flag in pair if flag} <= named


def test_exit_codes_are_those_of_the_program() -> None:
    section = PAGE.partition("# EXIT STATUS")[2].partition("# FILES")[0]
    assert {int(code) for code in re.findall(r"^\*(\d+)\*$", section, re.MULTILINE)} == {int(code) for code in MountCode}


def test_defaults_are_those_of_the_code() -> None:
    assert f"{options.TIMEO_S:.0f}s by default" in PAGE
    assert f"reach the meta-server before it fails; {options.RETRY_S:.0f}s by default" in PAGE
    assert f"{MountConfig().shutdown_grace:.0f} s by default" in PAGE


@pytest.mark.parametrize("line", [line for line in BLOCKS if line.startswith("mount ") and "remount" not in line])
def test_example_of_mount_is_accepted(line: str) -> None:
    words = [word for word in shlex.split(line)[1:] if word not in ("-t", "dfs")]
    parse_options(parse_helper_call(words).words)


def test_examples_of_fstab_are_lines_of_dfs_on_the_network() -> None:
    lines = dfs_lines("\n".join(line for line in BLOCKS if " dfs " in line and not line.startswith("mount")).encode())
    assert len(lines) == 2
    for line in lines:
        assert line.is_on_network()
        parse_options(option.decode() for option in line.options)
