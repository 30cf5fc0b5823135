"""Goal: what docs/rpc-with-key.md shows is all that a stock XML-RPC client needs. Method: the example is run as it is printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import tests.harness.signing as signing
from dfs.core.keys import META, client_keys
from dfs.core.messages.meta_methods import META_METHODS
from dfs.core.peers import Peer, PeerKind
from dfs.host.clock import SystemClock
from dfs.rpc.server import RpcServer
from dfs.rpc.signatures import Refused
from tests.harness.sample_api import SampleApi

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "rpc-with-key.md").read_text()


def test_example_talks_to_a_server_with_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    api = SampleApi()
    server = RpcServer(
        address="127.0.0.1:0",
        service_name="meta",
        methods=META_METHODS,
        api=api,
        version="1",
        clock=SystemClock(),
        verifier=signing.verifier(META),
    )
    server.start()
    try:
        names: dict[str, Any] = {"KEY": client_keys(signing.KEYS, "client")[0].secret.hex(), "ADDRESS": server.address}
        exec(compile(code, "docs/rpc-with-key.md", "exec"), names)
        assert "take_backup" in capsys.readouterr().out
        assert names["meta"].statfs()
        assert api.seen[0][0].caller.peer == Peer("127.0.0.1", PeerKind.CLIENT, name="client")
        names["transport"].key = bytes(32)
        with pytest.raises(PermissionError, match="wrong-signature"):
            names["meta"].statfs()
    finally:
        server.stop()


def test_every_refusal_is_explained() -> None:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    explained = {word for row in rows for word in re.findall(r"`([a-z-]+)`", row)}
    assert explained >= {str(word) for word in Refused}
