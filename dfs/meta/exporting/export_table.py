"""The exports that count now, and what they let each peer do. They may be replaced at any time.

Asked for every request that arrives, so what was found for a peer is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dfs.core.exports import FULL, Export, Terms, find_export, is_subject, terms_of
from dfs.core.peers import Peer

PEERS_KEPT_MAX: Final = 4096


class ExportTable:
    """All exports. Without any, everybody may do everything."""

    def __init__(self, exports: Sequence[Export] = ()) -> None:
        self._exports = tuple(exports)
        self._known: dict[Peer, Terms | None] = {}

    def replace(self, exports: Sequence[Export]) -> None:
        """Let others count from now on."""
        self._exports = tuple(exports)
        self._known = {}

    def find(self, peer: Peer) -> Terms | None:
        """Return what a peer may do; None: nothing at all."""
        known = self._known  # first: what is found by exports that have been replaced meanwhile goes where nobody looks
        exports = self._exports
        if not exports:
            return FULL
        try:
            return known[peer]
        except KeyError:
            terms = self._judge(exports, peer)
            if len(known) < PEERS_KEPT_MAX:
                known[peer] = terms
            return terms

    def _judge(self, exports: tuple[Export, ...], peer: Peer) -> Terms | None:
        if not is_subject(peer):
            return FULL
        export = find_export(exports, peer)
        return None if export is None else terms_of(export)
