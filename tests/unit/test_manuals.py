"""Goal: the man pages and the completion speak of what is there, all of it and nothing else. Method: their text compared with the
parsers and the configuration's data classes.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dfs
from dfs.cli import data, dfsctl, meta, mount
from dfs.cli.inhibit import program as inhibit
from dfs.core.config import SECTIONS, ExportConfig, default_server, keys_of
from dfs.core.config_values import show_value
from dfs.core.errors import ExitCode
from dfs.core.ids import ServerIndex

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
PROGRAMS = {
    "dfsctl": dfsctl.main,
    "dfs-meta": meta.main,
    "dfs-data": data.main,
    "dfs-inhibit": inhibit.main,
    "dfs-mount": mount.main,
}


def page(name: str) -> str:
    """Return the source of a man page."""
    return (PACKAGING / "man" / f"{name}.scd").read_text()


def help_of(capsys: pytest.CaptureFixture[str], program: str, *command: str) -> str:
    """Return what a program, or a subcommand, says of itself."""
    with pytest.raises(SystemExit):
        PROGRAMS[program]([*command, "--help"])
    return capsys.readouterr().out


def commands_in(text: str) -> set[str]:
    """Return the subcommands in the help of a program."""
    return set(re.findall(r"^    ([a-z][a-z-]+)\b", text.partition("COMMAND\n")[2].partition("\noptions:")[0], re.MULTILINE))


def test_dfs_conf_5_has_every_key_with_default_and_unit_and_no_other() -> None:
    single = {name: section() for name, section in SECTIONS.items()}
    sections = single | {"data:0": default_server(ServerIndex(0)), "export:NAME": ExportConfig("NAME")}
    expected = []
    for name, section in sections.items():
        for key, about in keys_of(type(section)).items():
            live = " (live)" if about.is_live else ""
            default = show_value(getattr(section, key)).replace("*", r"\*")
            expected.append((name, f"*{key}* = {default} ({about.unit}){live}", about.description.replace("*", r"\*")))
    found, section_name = [], ""
    for match in re.finditer(r"^# \[([a-zA-Z:0]+)\]|^(\*\w+\* = .*)\n\t(.*)", page("dfs.conf.5"), re.MULTILINE):
        if match[1]:
            section_name = match[1]
        else:
            found.append((section_name, match[2], match[3]))
    assert len(found) == len(expected)
    for name, line, description in expected:
        told = next(text for section, shown, text in found if (section, shown) == (name, line))
        assert told.startswith(description), line


@pytest.mark.parametrize("program", ["dfs-meta", "dfs-data", "dfs-inhibit", "dfs-mount"])
def test_page_of_a_program_has_every_option_and_no_other(capsys: pytest.CaptureFixture[str], program: str) -> None:
    options = set(re.findall(r"--[a-z-]+", help_of(capsys, program).partition("options:")[2]))
    text = page(f"{program}.8").partition("# OPTIONS")[2]
    assert set(re.findall(r"^\*(--[a-z-]+)\*", text, re.MULTILINE)) | {"--version"} == options


def test_dfsctl_8_and_the_completion_have_every_command_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    commands = commands_in(help_of(capsys, "dfsctl"))
    described = set(
        re.findall(r"^\*([a-z-]+)[ a-z-]*\*", page("dfsctl.8").partition("# COMMANDS")[2].partition("\n# ")[0], re.MULTILINE)
    )
    assert described == commands
    completed = re.search(r'wanted="(status [^"]*)"', (PACKAGING / "completion" / "dfs").read_text())
    assert completed is not None
    assert {word for word in completed[1].split() if not word.startswith("--")} == commands


def test_dfs_7_has_every_exit_status() -> None:
    text = page("dfs.7").partition("# EXIT STATUS")[2].partition("\n# ")[0]
    assert re.findall(r"^(\d)$", text, re.MULTILINE) == [str(int(code)) for code in ExitCode]


def test_changelog_of_the_package_ends_with_the_program_s_version() -> None:
    assert (PACKAGING / "debian" / "changelog").read_text().startswith(f"dfs ({dfs.__version__}) ")
