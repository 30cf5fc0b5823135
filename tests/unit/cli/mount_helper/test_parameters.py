"""Goal: the service mounts what mount(8) was asked for, whatever the path is called. Method: parameters kept and read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfs.cli.mount_helper.parameters import MountParameters, read_parameters, write_parameters
from dfs.cli.mount_helper.unit_names import parameters_file
from dfs.core.start_errors import ConfigError

POINT = "/mnt/my-files é".encode() + b"\xff"


def test_parameters_are_read_as_written_and_replaced_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "mounts"
    for parameters in (MountParameters("meta1:9000", ("rw", "config=/é")), MountParameters("lab", ())):
        write_parameters(POINT, parameters, folder)
        assert read_parameters(POINT, folder) == parameters
    assert [path.name for path in folder.iterdir()] == ["%2Fmnt%2Fmy-files%20%C3%A9%FF"]
    assert folder.stat().st_mode & 0o777 == 0o700


def test_mount_that_was_never_asked_for_has_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mount it by"):
        read_parameters(POINT, tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"source": 1, "options": []}', '{"source": "x", "options": "ro"}', '{"source": "x"}'])
def test_file_of_other_content_is_refused(tmp_path: Path, text: str) -> None:
    parameters_file(POINT, tmp_path).write_text(text)
    with pytest.raises(ConfigError, match="what `mount` wrote into"):
        read_parameters(POINT, tmp_path)
