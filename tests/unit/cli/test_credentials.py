"""Goal: each program takes its key from the right place, refuses one that is not for it, and takes a new one when told to reload.
Method: key files and credentials in a temporary folder.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dfs.cli.credentials import MOUNT, Credentials
from dfs.cli.network_terms import NetworkTerms
from dfs.core.events.programs import CONFIG_REFUSED
from dfs.core.events.wire import KEYS_RELOADED
from dfs.core.keys import META, Key, client_keys, key_id, show_keys
from dfs.core.start_errors import ConfigError
from dfs.host.key_files import create_key_file, replace_key_file
from tests.harness.recorded_events import RecordedEvents

ONE, OTHER = (Key(b"1" * 32),), (Key(b"2" * 32),)


@pytest.fixture
def network(tmp_path: Path) -> NetworkTerms:
    create_key_file(tmp_path / "cluster.key", ONE)
    return NetworkTerms(key_file=tmp_path / "cluster.key")


def signs_with(credentials: Credentials) -> str:
    signer = credentials.signer()
    assert signer is not None
    return signer.keys()[1][0].id


def test_without_a_key_file_nothing_is_signed_or_checked() -> None:
    credentials = Credentials(NetworkTerms(), META)
    credentials.reload(RecordedEvents())
    assert credentials.signer() is None
    assert credentials.verifier(RecordedEvents()) is None


def test_each_program_signs_with_a_key_of_its_own(network: NetworkTerms) -> None:
    assert signs_with(Credentials(network, META)) == key_id(ONE[0].secret_of(META))
    assert signs_with(Credentials(network, MOUNT)) == key_id(ONE[0].secret_of(MOUNT))


def test_server_refuses_the_key_of_a_client(network: NetworkTerms) -> None:
    assert network.key_file is not None
    replace_key_file(network.key_file, client_keys(ONE, "laptop"))
    with pytest.raises(ConfigError, match="a server must know who its callers are"):
        Credentials(network, META)
    assert signs_with(Credentials(network, MOUNT)) == key_id(client_keys(ONE, "laptop")[0].secret)


def test_server_starts_with_its_credential_and_reloads_from_the_file(
    network: NetworkTerms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "cluster.key").write_text(show_keys(OTHER))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    credentials, events = Credentials(network, META), RecordedEvents()
    assert signs_with(credentials) == key_id(OTHER[0].secret_of(META))
    assert signs_with(Credentials(network, MOUNT)) == key_id(ONE[0].secret_of(MOUNT)), "only servers have credentials"
    credentials.reload(events)
    assert signs_with(credentials) == key_id(ONE[0].secret_of(META))
    assert [event.kind for event in events.events] == [KEYS_RELOADED]
    assert network.key_file is not None
    network.key_file.unlink()
    credentials.reload(events)
    assert signs_with(credentials) == key_id(OTHER[0].secret_of(META)), "nothing but the credential is left"


def test_reload_of_a_wrong_file_changes_nothing_and_tells(network: NetworkTerms) -> None:
    credentials, events = Credentials(network, META), RecordedEvents()
    assert network.key_file is not None
    network.key_file.chmod(0o644)
    credentials.reload(events)
    assert [event.kind for event in events.events] == [CONFIG_REFUSED]
    assert signs_with(credentials) == key_id(ONE[0].secret_of(META))


def test_reload_of_the_same_file_says_nothing(network: NetworkTerms) -> None:
    events = RecordedEvents()
    Credentials(network, META).reload(events)
    assert not events.events
