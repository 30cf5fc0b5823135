"""The methods of a data server: name on the wire -> request."""

from __future__ import annotations

from typing import Final

from dfs.core.messages.blocks import Clean, CountBlocks, Drop, Fence, Get, ListInodes, Put, Repair, Sync
from dfs.core.messages.data_server import CommitFormat, Identify, NoteMark, PrepareFormat, ShowData
from dfs.core.messages.rebuild import AcceptLoss, AskMoment, ListFloors, Pull
from dfs.core.messages.requests import Request
from dfs.core.messages.scrub import Mend, Scrub, ShowScrub
from dfs.core.messages.snapshots import FetchSnapshot, ListSnapshots, StoreSnapshot

BLOCK_METHODS: Final[dict[str, type[Request[object]]]] = {
    "put": Put,
    "get": Get,
    "repair": Repair,
    "sync": Sync,
    "fence": Fence,
    "clean": Clean,
    "drop": Drop,
    "list_inodes": ListInodes,
    "pull": Pull,
    "list_floors": ListFloors,
    "ask_moment": AskMoment,
    "accept_loss": AcceptLoss,
    "count_blocks": CountBlocks,
    "scrub": Scrub,
    "show_scrub": ShowScrub,
    "mend": Mend,
    "identify": Identify,
    "prepare_format": PrepareFormat,
    "commit_format": CommitFormat,
    "note_mark": NoteMark,
    "store_snapshot": StoreSnapshot,
    "list_snapshots": ListSnapshots,
    "fetch_snapshot": FetchSnapshot,
    "status": ShowData,
}
"""Method name on the wire -> request."""
