"""Goal: conf/dfs.conf and the code never tell two stories. Method: read the sample as people do, line by line, and compare it
both ways with the data classes: every key is there, commented out, at its default, below its explanation and its unit; and
nothing else is there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from dfs.cli import dfsctl
from dfs.core.config import SECTIONS, Config, ExportConfig, default_server, keys_of
from dfs.core.config_file import parse_config
from dfs.core.config_values import show_value
from dfs.core.exports import FULL, terms_of
from dfs.core.ids import ServerIndex

SAMPLE = Path(__file__).resolve().parents[2] / "conf" / "dfs.conf"
SERVERS = 2
SAMPLE_EXPORT = ExportConfig("all")
"""It withholds nothing from anybody, so that it means the same as none."""


class Entry(NamedTuple):
    """A key as the sample shows it."""

    section: str
    key: str
    default: str
    unit: str
    explanation: str


def entries_of(text: str) -> list[Entry]:
    """Return what the sample shows; prose that is not followed by a key on its next lines is left out."""
    entries: list[Entry] = []
    prose: list[str] = []
    section = ""
    for line in text.splitlines():
        if line.startswith(("[", "#[")):
            section, prose = line.strip("#[]"), []
        elif line.startswith("# "):
            prose.append(line.removeprefix("# "))
        elif line.startswith("#"):
            key, default = map(str.strip, line.removeprefix("#").split("=", 1))
            unit = prose.pop().removeprefix("(").removesuffix(")")
            entries.append(Entry(section, key, default, unit, " ".join(prose)))
            prose = []
        else:
            assert line == "", f"neither comment, section nor empty: {line}"
            prose = []
    return entries


def defaults() -> dict[str, object]:
    """Return an object with the defaults of each section that the sample has."""
    single = {name: section_class() for name, section_class in SECTIONS.items()}
    return single | {f"data:{i}": default_server(ServerIndex(i)) for i in range(SERVERS)} | {"export:all": SAMPLE_EXPORT}


def test_sample_shows_every_key_of_the_code_and_nothing_else() -> None:
    expected = {
        Entry(name, key, show_value(getattr(section, key)), about.unit, about.description)
        for name, section in defaults().items()
        for key, about in keys_of(type(section)).items()
    }
    found = entries_of(SAMPLE.read_text())
    assert set(found) == expected
    assert len(found) == len(expected)


def test_sample_as_shipped_is_valid_and_means_the_defaults() -> None:
    assert parse_config(SAMPLE.read_text(), "dfs.conf") == Config(
        servers=tuple(default_server(ServerIndex(i)) for i in range(SERVERS)),
        **{name: section for name, section in defaults().items() if name in SECTIONS},  # type: ignore[arg-type]
    )


def test_sample_is_what_dfsctl_calls_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert dfsctl.main(["config", "check", "--config", str(SAMPLE)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{SAMPLE}: good"


def test_sample_with_every_key_uncommented_means_the_same() -> None:
    text = SAMPLE.read_text()
    active = "\n".join(line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in text.splitlines())
    assert active != text
    assert parse_config(active, "dfs.conf") == replace(parse_config(text, "dfs.conf"), exports=(SAMPLE_EXPORT,))
    assert terms_of(SAMPLE_EXPORT) is FULL


def test_every_key_has_a_unit_and_an_explanation_of_one_line() -> None:
    for section in defaults().values():
        for key, about in keys_of(type(section)).items():
            assert about.unit, key
            assert about.description.endswith("."), key
            assert len(about.description) <= 120, key
