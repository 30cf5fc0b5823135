"""Goal: a key file is made once, whole and closed to others, and one that is not is refused with the reason and never shown.
Method: real files.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dfs.core.keys import Key, show_keys
from dfs.core.start_errors import ConfigError, StateError
from dfs.host.key_files import create_key_file, new_secret, read_credential, read_keys, replace_key_file

SECRET = bytes(range(32))
KEYS = (Key(SECRET),)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.key"
    create_key_file(path, KEYS)
    return path


def test_key_file_is_read_as_made_and_closed_to_others(file: Path) -> None:
    assert read_keys(file) == KEYS
    assert file.stat().st_mode & 0o777 == 0o640
    assert os.listdir(file.parent) == [file.name]


def test_key_file_is_never_overwritten(file: Path) -> None:
    with pytest.raises(StateError, match="never overwritten"):
        create_key_file(file, (Key(new_secret()),))
    assert read_keys(file) == KEYS


def test_dangling_link_is_not_overwritten_either(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="never overwritten"):
        create_key_file(link, KEYS)
    assert not (tmp_path / "elsewhere").exists()


def test_key_file_is_replaced_whole(file: Path) -> None:
    new = (Key(new_secret()), Key(SECRET, is_retired=True))
    replace_key_file(file, new)
    assert read_keys(file) == new
    assert file.stat().st_mode & 0o777 == 0o640
    assert os.listdir(file.parent) == [file.name]


def test_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"to write the key file .*/none/k"):
        create_key_file(tmp_path / "none" / "k", KEYS)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o660, 0o641])
def test_key_file_that_is_open_to_others_is_refused(mode: int, file: Path) -> None:
    file.chmod(mode)
    with pytest.raises(ConfigError, match=rf"closed to others \(chmod 0640\), got mode {mode:04o}"):
        read_keys(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_key_file_of_another_user_is_refused(file: Path) -> None:
    os.chown(file, 12345, -1)
    with pytest.raises(ConfigError, match="to belong to root or to the user of this program, got user 12345"):
        read_keys(file)


@pytest.mark.parametrize("text", ["", SECRET.hex()[:-1], "\xe9", SECRET.hex() + " " * 5000])
def test_key_file_that_makes_no_sense_is_refused_without_showing_it(text: str, file: Path) -> None:
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=f"in the key file {file}: ") as told:
        read_keys(file)
    assert SECRET.hex()[:20] not in str(told.value)


def test_key_file_that_is_missing_or_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_keys(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ConfigError, match="something else than a file"):
            read_keys(path)


def test_credential_is_what_systemd_put_there(tmp_path: Path) -> None:
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_credential({}) is None
    assert read_credential(environment) is None
    (tmp_path / "cluster.key").write_text("none")
    assert read_credential(environment) is None, "the default of the units: there is no key file"
    (tmp_path / "cluster.key").write_text(show_keys(KEYS))
    assert read_credential(environment) == KEYS
    (tmp_path / "cluster.key").write_text("nonsense")
    with pytest.raises(ConfigError, match="credential"):
        read_credential(environment)
