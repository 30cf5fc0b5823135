"""Goal: whatever runs are stored together, each block is sent once to each of its two servers, with the bytes that were written
and, beside them, those that stood there. Method: random runs over a model of a file, the puts read back block by block.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dfs.client.write_back.extents import Extents, Run
from dfs.client.write_back.pieces import Piece, first_batch, make_pieces, plan_pieces
from dfs.core.ids import BlockNo, Generation, Ino, Ticket
from dfs.core.limits import REQUEST_BLOCKS_MAX, REQUEST_DATA_BYTES_MAX
from dfs.core.messages.blocks import Put
from dfs.core.placement import Layout, Role

BLOCK = 16
INO, TICKET, GENERATION = Ino(7), Ticket(3), Generation((3 << 24) + 1)


def blocks_of(put: Put, servers: int, block_size: int) -> dict[tuple[Role, int], bytes]:
    """Return what a put stores, by role and block."""
    found: dict[tuple[Role, int], bytes] = {}
    sent, at = bytes(put.data), 0
    for segment in put.segments:
        for number in range(segment.blocks):
            length = block_size if number < segment.blocks - 1 else segment.last_length
            key = (segment.role, segment.first + number * servers)
            assert key not in found
            found[key] = sent[at : at + length]
            at += length
    assert at == len(put.data)
    assert len(put.checksums) == 4 * len(found)
    return found


@given(
    st.integers(2, 5),
    st.integers(0, 200),
    st.lists(st.tuples(st.integers(0, 260), st.integers(1, 40)), min_size=1, max_size=12),
)
def test_pieces_store_what_was_written_over_what_stood_there(servers: int, size: int, puts: list[tuple[int, int]]) -> None:
    layout = Layout(1, servers, BLOCK)
    old = bytes(200 + number % 50 for number in range(size))
    extents, after = Extents(), bytearray(old)
    for value, (start, length) in enumerate(puts, 1):
        extents.put(start, bytes([value]) * length)
        after.extend(bytes(max(0, start - len(after))))
        after[start : start + length] = bytes([value]) * length
    read: list[int] = []

    def old_block(block_no: BlockNo) -> bytes:
        read.append(block_no)
        return old[block_no * BLOCK : (block_no + 1) * BLOCK]

    pieces = make_pieces(extents.take(), size, BLOCK, old_block)
    assert len(read) == len(set(read))
    (puts_by_server,) = plan_pieces(INO, layout, TICKET, GENERATION, pieces)
    copies: dict[int, set[tuple[Role, bytes]]] = {}
    for server, put in puts_by_server.items():
        for (role, block_no), data in blocks_of(put, servers, BLOCK).items():
            assert layout.server_of(BlockNo(block_no), role) == server
            copies.setdefault(block_no, set()).add((role, data))
    touched = {byte // BLOCK for start, length in puts for byte in range(start, start + length)}
    assert copies.keys() == touched
    for block_no, found in copies.items():
        data = bytes(after[block_no * BLOCK : (block_no + 1) * BLOCK])
        assert {role for role, _ in found} == set(Role)
        assert {stored.ljust(len(data), b"\0") for _, stored in found} == {data}
        assert all(len(stored) <= len(data) for _, stored in found)


def test_whole_run_is_sent_without_being_copied() -> None:
    run = Run(BLOCK * 3, bytearray(b"x" * BLOCK * 4))
    (piece,) = make_pieces([run], 0, BLOCK, lambda block_no: b"")
    assert piece.body is run.data


def test_batch_ends_where_the_next_run_is_in_another_block() -> None:
    runs = [Run(0, bytearray(20)), Run(25, bytearray(2)), Run(28, bytearray(2)), Run(64, bytearray(1))]
    assert first_batch(runs, BLOCK, 1) == 3
    assert first_batch(runs, BLOCK, 1000) == 4
    assert first_batch(runs[3:], BLOCK, 1) == 1


def test_rounds_stay_within_the_limits_of_a_request() -> None:
    layout, size = Layout(0, 2, 512), 2 << 20
    pieces = [Piece(BlockNo(number * 5000), 0, bytes(size)) for number in range(3)]
    pieces += [Piece(BlockNo(50_000 + 2 * number), 0, b"x") for number in range(20_000)]
    rounds = plan_pieces(INO, layout, TICKET, GENERATION, pieces)
    assert len(rounds) > 1
    for puts in rounds:
        for put in puts.values():
            assert sum(segment.blocks for segment in put.segments) <= REQUEST_BLOCKS_MAX
            assert len(put.data) <= REQUEST_DATA_BYTES_MAX
    stored = sum(len(blocks_of(put, 2, 512)) for puts in rounds for put in puts.values())
    assert stored == 2 * (3 * size // 512 + 20_000)
