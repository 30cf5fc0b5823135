"""Known bugs, put back one at a time: each must be caught by the simulator or by the unit tests (`make mutants`).

A mutation is a change of a few words in a copy of the tree. What is expected to catch it is named beside it, so that the whole
takes minutes: the arguments of pytest, or how many seeds of the simulator. test_mutants.py checks in every test run that each
mutation still has its place in the code.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SEEDS_MAX = 400
"""Seeds that may go by before the simulator must have caught a mutation."""
TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Mutation:
    """One bug. `catcher`: arguments of pytest; empty: the simulator must catch it."""

    name: str
    file: str
    old: str
    new: str
    catcher: tuple[str, ...] = ()
    also: tuple[tuple[str, str], ...] = ()
    """Further (old, new) pairs in the same file."""


MUTATIONS = (
    Mutation(
        "repair from an unverified copy",
        "dfs/client/blocks/copies.py",
        "    if not verifies(ino, block_no, copy, piece):\n",
        "    if False:\n",
        ("tests/unit/client/test_copies.py",),
    ),
    Mutation(
        "hole served by a rebuilding server",
        "dfs/data/blocks/store.py",
        "return self.identification.current.state_of(role) is RoleState.COMPLETE and not self.floors.lost",
        "return True",
        ("tests/unit/data/test_rebuild.py", "tests/unit/data/test_rebuild_history.py"),
    ),
    Mutation(
        "rebuild overwriting a newer block",
        "dfs/data/blocks/absorbing.py",
        "return own is None or (own.generation, -len(own.data)) < (record.generation, -len(record.data))",
        "return True",
        ("tests/unit/data/test_rebuild.py", "tests/unit/data/test_rebuild_history.py"),
    ),
    Mutation(
        "a pledge that other sessions do not wait for",
        "dfs/meta/state/pledges.py",
        "                raise Pledged(until_s)\n",
        "                pass\n",
        ("tests/unit/meta/test_pledges.py",),
    ),
    Mutation(
        "reply lost, then repeated create",
        "dfs/meta/state/answers.py",
        "        if row is not None:\n",
        "        if row is None and False:\n",
    ),
    Mutation(
        "number issued again after a restart",
        "dfs/meta/state/numbers.py",
        '        tx.run("UPDATE counter SET mark = ?", mark)\n',
        "",
    ),
    Mutation(
        "old merge put under a new ticket",
        "dfs/client/writer.py",
        "            first, body = self._merge(guarded, held, path, data, start)\n",
        "            key = (id(self), ino, start, data)\n"
        "            first, body = _MERGED[key] = _MERGED.get(key) or self._merge(guarded, held, path, data, start)\n",
        also=(("RECALL_GRACE_S: Final = 0.3\n", "RECALL_GRACE_S: Final = 0.3\n_MERGED: dict = {}\n"),),
    ),
    Mutation(
        "another merge under the same generation",
        "dfs/data/blocks/writing.py",
        "(stored > incoming.generation or look.record.checksum != incoming.checksums[at])",
        "stored > incoming.generation",
        ("tests/unit/data/test_put_and_get.py",),
    ),
    Mutation(
        "failed write not cut",
        "dfs/client/metadata/grants.py",
        "            if session in self._lost:\n                return\n            self._junk.add(ino)\n",
        "            return\n            self._junk.add(ino)\n",
    ),
    Mutation(
        "repair without the cut ticket",
        "dfs/data/blocks/repairing.py",
        "            store.require_floor(ino, request.newest_cut, ctx)\n",
        "",
        ("tests/unit/data/test_repair_clean_drop.py",),
    ),
    Mutation(
        "cut forgotten after one round",
        "dfs/meta/upkeep/cleaner.py",
        "        answers = self._servers.call_all(ctx, {i: Identify() for i in self._cluster.indexes()})\n",
        "        answers = dict(first)\n",
        ("tests/unit/meta/test_cleaner.py",),
    ),
    Mutation(
        "what was lost with the session is shown all the same",
        "dfs/client/write_back/service.py",
        "            if buffer is None or buffer.losses != self._grants.losses():\n                return None\n            held =",
        "            if buffer is None:\n                return None\n            held =",
        ("tests/functional/test_client_write_back.py",),
    ),
    Mutation(
        "grant given back before what waits is stored",
        "dfs/client/metadata/grant_calls.py",
        "        self.before_leaving(ctx, ino)\n",
        "",
    ),
    Mutation(
        "append behind what is stored, not behind what waits",
        "dfs/client/write_back/service.py",
        "max(buffer.size_bytes, held.content.size_bytes) if offset is None",
        "held.content.size_bytes if offset is None",
    ),
    Mutation(
        "fsync that does not store what waits",
        "dfs/client/files.py",
        "        held = self._settled(ctx, ino)\n        if held is None:\n",
        "        held = self._grants.held(ino)\n        if held is None:\n",
    ),
    Mutation(
        "read that does not see what is being stored",
        "dfs/client/write_back/buffers.py",
        "(*leaving, *buffer.waiting.pieces(start, end))",
        "tuple(buffer.waiting.pieces(start, end))",
    ),
    Mutation(
        "holder that writes on after its yield",
        "dfs/client/metadata/grants.py",
        "Unfinished(ino, session, make(held), held, self._clock.monotonic_s())\n            self._drop(ino)\n",
        "Unfinished(ino, session, make(held), held, self._clock.monotonic_s())\n",
    ),
    Mutation(
        "late duplicate of a truncate",
        "dfs/meta/state/answers.py",
        "        if op < acknowledged:\n            raise DuplicateRefused(op)\n        row =",
        "        row =",
        ("tests/unit/meta/test_answers.py",),
    ),
    Mutation(
        "size settled without a floor",
        "dfs/data/blocks/fencing.py",
        "            raise_floor(store, ctx, ino, request.ticket)\n",
        "",
        ("tests/unit/data/test_repair_clean_drop.py",),
    ),
    Mutation(
        "drop confirmed before it is durable",
        "dfs/data/blocks/dropping.py",
        "        self._store.journal.sync()\n",
        "",
        ("tests/unit/data/test_repair_clean_drop.py",),
    ),
    Mutation(
        "checksum without identity",
        "dfs/core/records.py",
        "return crc32(view, crc32(IDENTITY.pack(ino, block_no, generation, view.nbytes)))",
        "return crc32(view)",
        ("tests/unit/core/test_records.py",),
    ),
    Mutation(
        "suspect server answering sync",
        "dfs/data/service.py",
        "        if RoleState.SUSPECT in (block.primary, block.secondary):\n",
        "        if False:\n",
        ("tests/unit/data/test_service.py", "tests/unit/data/test_damage.py", "tests/unit/data/test_rebuild.py"),
    ),
    Mutation(
        "in-place overwrite before the journal's sync",
        "dfs/data/blocks/checkpoint.py",
        "        store.journal.sync()\n        inos",
        "        inos",
        ("tests/unit/data/test_checkpoint_due.py",),
    ),
    Mutation(
        "attributes from before a grant was given back",
        "dfs/client/metadata/grant_calls.py",
        "        self._cache.forget_attributes(unfinished.ino)  # before the grant's own view of the file is gone\n",
        "",
    ),
    Mutation(
        "block that could not be read passed over by a clean",
        "dfs/data/blocks/cleaning.py",
        "                elif group.present >> at & 1:",
        "                elif look.raw:",
        ("tests/unit/data/test_repair_clean_drop.py",),
    ),
    Mutation(
        "last word of a holder taken although a cut is newer",
        "dfs/meta/state/grants.py",
        "        if NO_TICKET < holding.ticket >= inode.newest_cut:\n",
        "        if NO_TICKET < holding.ticket:\n",
        ("tests/unit/meta/test_grants.py",),
    ),
    Mutation(
        "scrub that finds differences and leaves them",
        "dfs/data/scrub/comparing.py",
        "        repaired = self._mend(ctx, batch, second.floor, wanted)\n",
        "        repaired = len(wanted)\n",
    ),
    Mutation(
        "scrub after scrub once the clock was set back",
        "dfs/data/scrub/scrubbing.py",
        "        if not 0 < self._cursor.since_ns <= now_ns:\n",
        "        if not self._cursor.since_ns:\n",
        also=(
            (
                "max(time_ns for time_ns in (self._cursor.since_ns, self._cursor.ended_ns) if time_ns <= now_ns)",
                "max(self._cursor.since_ns, self._cursor.ended_ns)",
            ),
        ),
    ),
    Mutation(
        "open that comes once more after it was closed",
        "dfs/meta/state/opens.py",
        "        if closed is not None and file.opened_by <= closed.opened_by:\n            return\n",
        "",
        ("tests/unit/meta/test_sessions.py",),
    ),
    Mutation(
        "strays that nobody gives up",
        "dfs/meta/upkeep/strays.py",
        "        if overdue:\n            self._on_overdue()\n",
        "",
    ),
    Mutation(
        "locks not asserted to a meta-server that was restarted",
        "dfs/client/metadata/session.py",
        "        for key in self._locks.locked():\n",
        "        for key in ():\n",
    ),
    Mutation(
        "locks of a session that ended left behind",
        "dfs/meta/requests/session_calls.py",
        "        self._locks.end(session)\n",
        "",
    ),
    Mutation(
        "floors that rotted and nobody asks the neighbours for",
        "dfs/data/blocks/store.py",
        "        if self.floors.lost:\n            self._distrust(ctx)\n",
        "",
        ("tests/unit/data/test_damage.py",),
    ),
    Mutation(
        "session that ended while nothing could be written forgotten",
        "dfs/meta/requests/session_calls.py",
        "            self._dead[row.session] = None\n",
        "            self._bury(row.session)\n",
        ("tests/unit/meta/test_sessions.py",),
    ),
    Mutation(
        "orphans that a full disk kept left until the next start",
        "dfs/meta/state/room.py",
        "            self._on_recovery()\n",
        "",
        ("tests/unit/meta/test_sessions.py",),
    ),
    Mutation(
        "unlock that nobody tells again after it was refused as late",
        "dfs/client/locks.py",
        "        except DuplicateRefused:\n            return False\n        except (SessionExpired, FileError):\n",
        "        except (DuplicateRefused, SessionExpired, FileError):\n",
        ("tests/functional/test_client_locks.py",),
    ),
    Mutation(
        "slow write that is not stored once more",
        "dfs/client/blocks/replication.py",
        "            self._reach_all(ctx, puts, go_on, reached)\n            syncs",
        "            syncs",
        ("tests/functional/test_power_cuts.py",),
    ),
    Mutation(
        "flocks that wait and wake each other without end",
        "dfs/meta/state/locks.py",
        "        if ranges == self._ranges(ino, holder):\n",
        "        if False:\n",
        ("tests/unit/meta/test_locks.py",),
    ),
    Mutation(
        "rot in a journal taken for a torn write",
        "dfs/data/service.py",
        "is_kept=last is not LastStop.MACHINE",
        "is_kept=False",
        ("tests/unit/data/test_damage.py",),
    ),
    Mutation(
        "torn write taken for rot where the start after a power cut was killed",
        "dfs/data/service.py",
        "            self._rebuilding.start()\n            self._scrubbing.start()\n",
        "            self._running.begin()\n            self._rebuilding.start()\n            self._scrubbing.start()\n",
        ("tests/unit/data/test_damage.py",),
    ),
    Mutation(
        "rot in a journal while a server compares itself, which it goes on with",
        "dfs/data/service.py",
        "            self._distrust,\n",
        "            self._identification.distrust,\n",
        ("tests/unit/data/test_suspect.py",),
    ),
    Mutation(
        "records that what rotted in the journal may have voided",
        "dfs/data/disk/replay.py",
        "                        entries = [entry for entry in entries if entry.kind is not Kind.RECORDS]\n",
        "",
        ("tests/unit/data/test_suspect.py",),
    ),
    Mutation(
        "block that a cut has shortened only at the neighbour kept as it is",
        "dfs/data/blocks/absorbing.py",
        "(own.generation, -len(own.data)) < (record.generation, -len(record.data))",
        "own.generation < record.generation",
        ("tests/unit/data/test_suspect.py",),
    ),
    Mutation(
        "rot in a journal that was synced taken for torn by a power cut",
        "dfs/data/blocks/opening.py",
        "synced=store.moments.journal",
        "synced=0",
        ("tests/unit/data/test_suspect.py",),
    ),
    Mutation(
        "late copy of a refused lock that locks",
        "dfs/meta/state/locks.py",
        " or request.op <= last.refused:\n",
        ":\n",
        ("tests/unit/meta/test_locks.py",),
    ),
    Mutation(
        "flock asserted that was given up",
        "dfs/client/locks.py",
        "gives_up=wait and owner.kind is LockKind.WHOLE",
        "gives_up=False",
        ("tests/functional/test_client_locks.py",),
    ),
    Mutation(
        "folder that is moved and not counted where it goes",
        "dfs/meta/requests/renames.py",
        "            entered = touch_folder(tx, new.folder, now_ns, gained)\n",
        "            entered = touch_folder(tx, new.folder, now_ns, 0)\n",
    ),
)


def mutate(tree: Path, mutation: Mutation) -> None:
    """Put a bug into a copy of the tree. Raises: ValueError if its place is not there, or not the only one."""
    file = tree / mutation.file
    text = file.read_text()
    for old, new in ((mutation.old, mutation.new), *mutation.also):
        if text.count(old) != 1:
            raise ValueError(f"{mutation.name}: expected its place once in {mutation.file}, got it {text.count(old)} times")
        text = text.replace(old, new)
    file.write_text(text)


def copy_tree(target: Path) -> None:
    """Copy what tests need."""
    for name in ("dfs", "tests", "scripts"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "ARCHITECTURE.md"):
        shutil.copy(ROOT / name, target / name)


def is_caught(mutation: Mutation) -> bool:
    """Tell whether a mutation is noticed. A run that does not end in time counts: no seed of a good tree takes so long."""
    with tempfile.TemporaryDirectory(prefix="dfs-mutant-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        mutate(tree, mutation)
        if mutation.catcher:
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutation.catcher]
        else:
            command = [sys.executable, "-m", "tests.sim", "--runs", str(SEEDS_MAX), "--stop"]
        try:
            done = subprocess.run(command, cwd=tree, capture_output=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return True
        if done.returncode not in (0, 1):
            raise RuntimeError(f"{mutation.name}: {done.stdout.decode()[-2000:]}{done.stderr.decode()[-2000:]}")
        return done.returncode == 1


def main() -> int:
    """Try all mutations, or those whose names contain an argument; return 1 if one gets through."""
    wanted = [mutation for mutation in MUTATIONS if not sys.argv[1:] or any(word in mutation.name for word in sys.argv[1:])]
    missed = 0
    for mutation in wanted:
        began_s = time.monotonic()
        caught = is_caught(mutation)
        missed += not caught
        by = mutation.catcher[0] if mutation.catcher else "the simulator"
        verdict = f"caught by {by}" if caught else f"NOT CAUGHT by {by}"
        print(f"{mutation.name}: {verdict} in {time.monotonic() - began_s:.0f} s", flush=True)
    print(f"{len(wanted) - missed} of {len(wanted)} mutations caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
