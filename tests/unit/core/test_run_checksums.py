"""Goal: checksums of whole runs are those of their blocks one by one, wherever the run lies.

Method: Hypothesis runs through run_checksums and identity_sums, against checksum() of each block.
"""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from dfs.core.ids import BlockNo, Generation, Ino
from dfs.core.records import NUMBERS_BITS, checksum, identity_sums, run_checksums

numbers_max = 1 << 41
inos = st.integers(1, (1 << 40) - 1).map(Ino)
generations = st.integers(1, (1 << 64) - 1).map(Generation)
near_borders = st.builds(lambda high, low: max(0, (high << NUMBERS_BITS) + low), st.integers(0, 1 << 29), st.integers(-40, 40))


@given(
    inos, generations, st.integers(0, numbers_max) | near_borders, st.integers(1, 255), st.lists(st.just(b"x" * 64), max_size=80)
)
@example(Ino(1), Generation(1), 0, 1, [b"x" * 64] * (2 << NUMBERS_BITS))
def test_checksums_of_a_run_are_those_of_its_blocks(
    ino: Ino, generation: Generation, first: int, step: int, blocks: list[bytes]
) -> None:
    for last in (b"y", b"z" * 64):
        run = [*blocks, last]
        numbers = range(first, first + len(run) * step, step)
        expected = [checksum(ino, BlockNo(number), generation, data) for number, data in zip(numbers, run, strict=True)]
        assert run_checksums(ino, generation, numbers, run) == expected


@given(inos, st.lists(generations, min_size=1, max_size=20), near_borders, st.integers(1, 255))
def test_identity_sums_of_mixed_generations_are_those_of_each(ino: Ino, found: list[Generation], first: int, step: int) -> None:
    numbers = range(first, first + len(found) * step, step)
    pairs = zip(numbers, found, strict=True)
    each = [identity_sums(ino, range(number, number + 1), [generation], 512)[0] for number, generation in pairs]
    assert identity_sums(ino, numbers, found, 512) == each
