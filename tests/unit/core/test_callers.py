"""Goal: no method is forgotten in the table of callers, and a client's key is good for nothing that changes the cluster.
Method: compare the table with the methods.
"""

from __future__ import annotations

import pytest

from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.callers import CALLERS
from dfs.core.messages.meta_methods import META_METHODS
from dfs.core.peers import PeerKind

FOR_CLIENTS = {
    "meta": "open_session heartbeat assert_opens end_session lookup readlink list_folder list_names create open mkdir mknod "
    "symlink link unlink rmdir rename set_attributes acquire truncate commit yield_grant close certify setxattr getxattr listxattr "
    "removexattr lock unlock find_lock assert_locks statfs status",
    "data": "put get mend sync count_blocks identify status",
}


def test_table_has_every_request_and_no_other() -> None:
    assert CALLERS.keys() == {*META_METHODS.values(), *BLOCK_METHODS.values()}
    assert all(kinds <= set(PeerKind) and kinds for kinds in CALLERS.values())


@pytest.mark.parametrize(("service", "methods"), [("meta", META_METHODS), ("data", BLOCK_METHODS)])
def test_client_may_do_what_a_mount_does_and_look(service: str, methods: dict[str, type]) -> None:
    assert {name for name, cls in methods.items() if PeerKind.CLIENT in CALLERS[cls]} == set(FOR_CLIENTS[service].split())


def test_data_server_may_ask_the_meta_server_nothing() -> None:
    assert not [name for name, cls in META_METHODS.items() if PeerKind.DATA in CALLERS[cls]]
