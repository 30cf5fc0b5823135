"""Goal: whatever sequence of writes, appends, truncates, reads and reopens programs make, through one mount or two, a file's bytes
are those of a bytearray that had the same done to it. Method: random sequences on an in-process cluster of real services.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dfs.client.settings import WriteBackSettings
from tests.harness.local_cluster import CallerContext, LocalCluster, Mount

O_RDWR, O_CREAT, O_APPEND = 0o2, 0o100, 0o2000
CTX = CallerContext()
LARGE = WriteBackSettings(age_s=60.0)
SMALL = WriteBackSettings(file_bytes=6000, total_bytes=8000, age_s=0.02)


class OpenTwice:
    """A file open in one mount, for writing anywhere and for appending."""

    def __init__(self, mount: Mount, path: bytes) -> None:
        self.mount, self.path = mount, path
        self.plain = mount.fs.open(CTX, path, O_RDWR)
        self.appending = mount.fs.open(CTX, path, O_RDWR | O_APPEND)

    def close(self) -> None:
        for handle in (self.plain, self.appending):
            self.mount.fs.flush(CTX, handle)
            self.mount.fs.release(CTX, handle)

    def reopen(self) -> None:
        self.close()
        self.plain = self.mount.fs.open(CTX, self.path, O_RDWR)
        self.appending = self.mount.fs.open(CTX, self.path, O_RDWR | O_APPEND)


def play(chance: random.Random, files: list[OpenTwice], block_size: int, steps: int) -> None:
    """Do random things to the file, and the same to a model; compare whatever is read."""
    model = bytearray()
    span = 9 * block_size

    def some_bytes() -> bytes:
        size = chance.choice(
            [1, 7, block_size - 1, block_size, block_size + 1, 3 * block_size, chance.randrange(1, 4 * block_size)]
        )
        return chance.randbytes(size)

    for step in range(steps):
        file = chance.choice(files)
        fs = file.mount.fs
        kind = chance.choice(["write", "write", "append", "append", "truncate", "read", "read", "reopen"])
        if kind == "write":
            data, offset = some_bytes(), chance.choice([0, len(model), chance.randrange(span), block_size * chance.randrange(9)])
            assert fs.write(CTX, file.plain, data, offset) == len(data)
            model.extend(bytes(max(0, offset - len(model))))
            model[offset : offset + len(data)] = data
        elif kind == "append":
            data = some_bytes()
            fs.write(CTX, file.appending, data, chance.randrange(span))
            model.extend(data)
        elif kind == "truncate":
            size = chance.choice([0, len(model), chance.randrange(span), block_size * chance.randrange(9)])
            handle = chance.choice([None, file.plain])
            fs.truncate(CTX, file.path, size, handle)
            del model[size:]
            model.extend(bytes(size - len(model)))
        elif kind == "reopen":
            file.reopen()
        else:
            if len(files) > 1:
                for other in files:
                    other.mount.fs.flush(CTX, other.plain)
                file.reopen()
            offset, size = chance.randrange(span + 10), chance.randrange(1, span)
            assert fs.getattr(CTX, file.path, file.plain).content.size_bytes == len(model), f"step {step}"
            assert fs.read(CTX, file.plain, size, offset) == bytes(model[offset : offset + size]), f"step {step}"


@pytest.mark.parametrize(
    ("servers", "block_size", "mounts", "write_back"),
    [
        (2, 512, 2, None),
        (2, 4096, 1, None),
        (3, 4096, 2, None),
        (4, 512, 1, None),
        (4, 4096, 2, None),
        (5, 512, 2, None),
        (4, 512, 1, LARGE),
        (3, 4096, 2, LARGE),
        (5, 512, 2, SMALL),
    ],
)
def test_file_after_random_operations_is_what_a_bytearray_is(
    tmp_path: Path, servers: int, block_size: int, mounts: int, write_back: WriteBackSettings | None
) -> None:
    with LocalCluster(tmp_path, servers, block_size) as cluster:
        made = [cluster.mount(write_back=write_back) for _ in range(mounts)]
        for seed in range(3):
            path = b"/file%d" % seed
            handle = made[0].fs.create(CTX, path, 0o644, O_RDWR | O_CREAT)
            made[0].fs.release(CTX, handle)
            files = [OpenTwice(mount, path) for mount in made]
            play(random.Random(f"{seed} {servers} {block_size} {mounts}"), files, block_size, 60)
            for file in files:
                file.close()
        assert [event.message() for mount in made for event in mount.events.events] == []
