"""CheckTables and FindStrays: what `dfsctl fsck` asks of the meta-server.

Promises: reads one committed state; changes nothing but the list of inodes in quarantine, and that only when asked to. Called by
the service for administrators.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import Final

from dfs.core.errors import BadRequest, NotPermitted
from dfs.core.ids import Ino
from dfs.core.interfaces import CallContext
from dfs.core.limits import BATCH_INODES_MAX
from dfs.core.messages.inspection import CheckTables, FindStrays
from dfs.meta.state.checks import require_number
from dfs.meta.state.invariants import broken_invariants
from dfs.meta.state.store import Store
from dfs.meta.upkeep.rollback import Rollback
from dfs.meta.upkeep.strays import unknown_inodes

FINDINGS_MAX: Final = 1000
_NOT_IN_QUARANTINE: Final = "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT ino FROM stray)"


class Inspection:
    """Answers questions on what meta knows."""

    def __init__(self, store: Store, rollback: Rollback) -> None:
        self._store = store
        self._rollback = rollback

    def check_tables(self, ctx: CallContext, request: CheckTables) -> tuple[str, ...]:
        """Return what does not hold. Raises: NotPermitted; ReadOnly if the disk can't be read."""
        _require_root(ctx)
        return self._store.read(lambda reader: tuple(islice(broken_invariants(reader), FINDINGS_MAX)))

    def find_strays(self, ctx: CallContext, request: FindStrays) -> tuple[Ino, ...]:
        """Return the inodes that are neither known nor in quarantine. Raises: NotPermitted; BadRequest."""
        _require_root(ctx)
        if len(request.inos) > BATCH_INODES_MAX:
            raise BadRequest(f"expected at most {BATCH_INODES_MAX} inodes, got {len(request.inos)}")
        for ino in request.inos:
            require_number(ino, "inode")
        if request.quarantine and self._rollback.may_doubt:
            # In one transaction: what is made meanwhile is known by then.
            self._store.change(
                lambda tx: tx.run_many(
                    "INSERT OR IGNORE INTO stray VALUES (?, 0)", [(i,) for i in unknown_inodes(tx, request.inos)]
                )
            )
        return self._store.read(
            lambda reader: tuple(
                Ino(ino) for (ino,) in reader.all(_NOT_IN_QUARANTINE, json.dumps(unknown_inodes(reader, request.inos)))
            )
        )


def _require_root(ctx: CallContext) -> None:
    if ctx.caller.uid != 0:
        raise NotPermitted(b"/")
