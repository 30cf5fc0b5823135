"""What is fuzzed: one function per parser of bytes that come from outside or from a disk.

Each takes any bytes and returns. It raises when the parser did anything but what its docstring promises: another exception than
the ones named there, two readers that disagree, a value that is not what was written. Called by test_fuzz.py with Hypothesis' bytes
and by worker.py with those of atheris. Where a sum stands over the bytes, it is put right before a second look, so that what
lies behind it is reached, too.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from dfs.client.blocks.copies import Stripe, copies_of, split_answer, take_all
from dfs.core.crc32 import crc32
from dfs.core.errors import BadAnswer, BadRequest, DfsError, EndReason, RequestTooLarge
from dfs.core.ids import BlockNo, Ino, ServerIndex
from dfs.core.limits import HEADER_BYTES_MAX
from dfs.core.messages.block_methods import BLOCK_METHODS
from dfs.core.messages.blocks import Blocks, Run
from dfs.core.messages.meta_methods import META_METHODS
from dfs.core.messages.rebuild import PulledStrip
from dfs.core.messages.requests import Request
from dfs.core.placement import Layout, Role
from dfs.core.plain import answer_type, from_plain, parameters_of, request_from_parameters
from dfs.core.records import HEADER, HEADER_BYTES, checksum, pack_record, parse_record
from dfs.core.start_errors import StateError
from dfs.data.blocks.absorbing import parse_strip
from dfs.data.disk import floors, journal_entries, map_page
from dfs.data.disk.geometry import MAP_PAGE_BYTES, Geometry
from dfs.data.disk.superblock import FORMAT, pack_superblock, parse_superblock
from dfs.host.clock import SystemClock
from dfs.rpc import codec, own_form
from dfs.rpc.codec import Fault, Malformed
from dfs.rpc.context import check_server, read_headers
from dfs.rpc.faults import error_of
from dfs.rpc.framing import BadMessage, Head, Message, MessageReader, parse_answer_head, parse_request_head

METHODS: Final[Mapping[str, type[Request[Any]]]] = {**META_METHODS, **BLOCK_METHODS}
ANSWERS: Final = [answer_type(cls) for cls in METHODS.values()]
GEOMETRY: Final = Geometry(servers=3, block_size=32)
SERVER: Final = ServerIndex(0)


# --- the wire ------------------------------------------------------------------------------------------------------------


def codec_documents(data: bytes) -> None:
    """Both readers agree; what was read can be written and read again; no value becomes a request that is none of ours."""
    root = "methodResponse" if b"<methodResponse" in data[:120] else "methodCall"
    by_expat: own_form.Document | str
    try:
        by_expat = codec._read_any_form(data, root)
    except (Malformed, RequestTooLarge):
        by_expat = "refused"
    said = own_form.read(data)
    if said is not None and (said != by_expat or _types(said.values) != _types(by_expat.values)):
        raise AssertionError(f"two readers disagree: {said!r} and {by_expat!r}")
    _use_request(data)
    _use_answer(data)


def _types(value: Any) -> Any:
    """Return the types in a value: True == 1 in Python, but not on the wire."""
    if type(value) is list:
        return [_types(item) for item in value]
    if type(value) is dict:
        return {name: _types(member) for name, member in value.items()}
    return type(value)


def _use_request(data: bytes) -> None:
    try:
        method, values = codec.read_request(data)
    except (Malformed, RequestTooLarge):
        return
    _write_again(values)
    cls = METHODS.get(method)
    if cls is None:
        return
    try:
        request = request_from_parameters(cls, values)
    except BadRequest:
        return
    if request_from_parameters(cls, _read_again(parameters_of(request))) != request:
        raise AssertionError(f"{request!r} comes back as another request")


def _use_answer(data: bytes) -> None:
    try:
        value = codec.read_answer(data)
    except (Malformed, RequestTooLarge):
        return
    if isinstance(value, Fault):
        error = error_of(value, "the peer")
        if not isinstance(error, DfsError):
            raise AssertionError(f"a fault became {error!r}")
        str(error)
        return
    _write_again([value])
    for tp in ANSWERS:
        try:
            from_plain(value, tp)
        except BadRequest:
            continue


def _write_again(values: list[Any]) -> None:
    try:
        again = _read_again(values)
    except (BadRequest, RequestTooLarge):
        return  # an int beyond 64 bits, or deeper than a document of ours can be
    if again != _as_read(values):
        raise AssertionError(f"{values!r} comes back as {again!r}")


def _read_again(values: list[Any]) -> list[Any]:
    return codec.read_request(b"".join(codec.write_request("method", values)))[1]


def _as_read(value: Any) -> Any:
    """Return a value as a reader gets it: ints above i64 arrive as decimal strings."""
    if type(value) is int and value >= 1 << 63:
        return str(value)
    if type(value) is list:
        return [_as_read(item) for item in value]
    if type(value) is dict:
        return {name: _as_read(member) for name, member in value.items()}
    return value


def http_messages(data: bytes) -> None:
    """Where messages end does not depend on the pieces in which they come, for a server and for a client."""
    piece_bytes = 1 + (data[0] if data else 0)
    for parse_head in (parse_request_head, parse_answer_head):
        whole = _received(parse_head, data[1:], len(data) + 1)
        if _received(parse_head, data[1:], piece_bytes) != whole:
            raise AssertionError(f"pieces of {piece_bytes} bytes make other messages of {data!r}")
        for message in whole:
            if isinstance(message, Message):
                _use_headers(message.head)


def _received(parse_head: Callable[[bytes], Head], stream: bytes, piece_bytes: int) -> list[Message | str]:
    reader = MessageReader(parse_head)
    messages: list[Message | str] = []
    at = 0
    try:
        while at < len(stream):
            space = reader.space()
            count = min(piece_bytes, len(space), len(stream) - at)
            if not count or len(space) > HEADER_BYTES_MAX + 2 * len(stream) + (1 << 20):
                raise AssertionError(f"{len(space)} bytes of space after {at} bytes")
            space[:count] = stream[at : at + count]
            del space
            at += count
            complete = reader.received(count)
            while complete:
                messages.append(reader.take())
                complete = reader.begun and reader.advance()
    except BadMessage as refusal:
        messages.append(f"{refusal.status} {refusal}")
    return messages


def _use_headers(head: Head) -> None:
    try:
        ctx = read_headers(head.headers, _CLOCK, _NEVER)
        if not 0 <= ctx.session < 10**18 or ctx.cancelled() not in (None, EndReason.DEADLINE):
            raise AssertionError(f"{head!r} made {ctx!r}")
    except BadRequest:
        pass
    try:
        check_server(head.headers, "cluster/1")
    except DfsError:
        return


def client_answers(data: bytes) -> None:
    """What a data server says of blocks is refused by its own name, or taken; never is a byte taken that does not verify."""
    if len(data) < 4:
        return
    blocks, layout = 1 + data[0] % 4, Layout(start=data[1] % 3, servers=3, block_size=32)
    cut = min(len(data) - 4, data[2] * 20 + data[3] % 20)
    answer = Blocks(data[4 : 4 + cut], data[4 + cut :])
    run = Run(Role.PRIMARY, BlockNo(data[1] % 3), blocks)
    try:
        for _, found in split_answer(SERVER, (run,), (), answer):
            copies_of(SERVER, found)
            pieces = take_all(SERVER, Ino(5), layout, Stripe(run.first, run.blocks), found)
            if pieces is not None and [len(piece) for piece in pieces] != [layout.block_size] * blocks:
                raise AssertionError("blocks of another size")
    except BadAnswer:
        return


# --- the disk ------------------------------------------------------------------------------------------------------------


def block_records(data: bytes) -> None:
    """A record that is read is the one that was written; a strip that a neighbour hands over is taken whole or refused."""
    size = HEADER_BYTES + GEOMETRY.block_size
    raw = data[:size].ljust(size, b"\0")
    record = parse_record(raw, Ino(5), BlockNo(7), GEOMETRY.block_size)
    length, _, generation = HEADER.unpack_from(raw)
    part = raw[HEADER_BYTES : HEADER_BYTES + length]
    summed = checksum(Ino(5), BlockNo(7), generation, part)
    record = record or parse_record(HEADER.pack(length, summed, generation) + raw[HEADER_BYTES:], Ino(5), BlockNo(7), 32)
    if record is not None:
        again = parse_record(pack_record(record, GEOMETRY.block_size), Ino(5), BlockNo(7), GEOMETRY.block_size)
        if again != record:
            raise AssertionError(f"{record!r} comes back as {again!r}")
    for cut in range(min(size, len(data))):
        if parse_record(data[:cut], Ino(5), BlockNo(7), GEOMETRY.block_size) is not None:
            raise AssertionError("a record that is too short was read")
    if len(data) > 8:
        _take_strip(data)


def _take_strip(data: bytes) -> None:
    count, bad, rest = data[0] % 4, data[1] % 3, data[8:]
    indexes, headers = rest[: 8 * count], rest[8 * count : (8 + HEADER_BYTES) * count]
    rest = rest[(8 + HEADER_BYTES) * count :]
    ino = Ino(int.from_bytes(data[2:7], "little"))
    try:
        parse_strip(PulledStrip(ino, data[7], indexes, headers, rest[8 * bad :], rest[: 8 * bad], True), GEOMETRY)
    except BadRequest:
        return


def superblocks(data: bytes) -> None:
    """A superblock is read as it was written, or the start ends with a StateError."""
    for raw in (data, _summed_superblock(data)):
        try:
            block = parse_superblock(raw)
        except StateError:
            continue
        if parse_superblock(pack_superblock(block)) != block:
            raise AssertionError(f"{block!r} comes back as another superblock")
        _ = block.shape, block.identity, block.is_formatted
        if not (type(block.mark) is type(block.index) is type(block.servers) is type(block.block_size) is int):
            raise AssertionError(f"{block!r} has numbers that are none")


def _summed_superblock(data: bytes) -> bytes:
    try:
        members = json.loads(data)
        members.pop("crc32", None)
        members["format"] = FORMAT
        text = json.dumps(members, sort_keys=True, separators=(",", ":"))
        return json.dumps({**members, "crc32": zlib.crc32(text.encode())}).encode()
    except (ValueError, AttributeError, TypeError, RecursionError):
        return b""


def journals(data: bytes) -> None:
    """An entry is read as it was written or not at all; what is no entry is passed over in steps that end."""
    for segment in (0, 1):
        raw = memoryview(data)
        journal_entries.is_of_another_format(raw, segment)
        _read_entry(raw, segment)
    summed = bytearray(data)
    if len(summed) >= journal_entries.ENTRY_HEADER_BYTES:
        summed[:4] = journal_entries.MAGIC
        summed[8:10] = (journal_entries.VERSION).to_bytes(2, "little")
        summed[28:36] = journal_entries.position(1, 0).to_bytes(8, "little")
        kind, count = summed[10], int.from_bytes(summed[12:16], "little") % 5
        summed[12:16] = count.to_bytes(4, "little")
        start = journal_entries._data_start(0, kind, count)
        summed[20:28] = max(0, len(summed) - start).to_bytes(8, "little")
        _sum_records(summed, start, count)
        summed[4:8] = crc32(bytes(summed[8:start])).to_bytes(4, "little")
        _read_entry(memoryview(bytes(summed)), 1)


def _sum_records(raw: bytearray, start: int, count: int) -> None:
    """Put right the sums of the records of an entry."""
    indexes_at = journal_entries.ENTRY_HEADER_BYTES
    headers_at, at = indexes_at + 8 * count, start
    if raw[10] == journal_entries.Kind.VOIDED or start > len(raw):
        return
    ino, residue = int.from_bytes(raw[44:52], "little"), int.from_bytes(raw[16:20], "little")
    for number in range(count):
        index = int.from_bytes(raw[indexes_at + 8 * number : indexes_at + 8 * number + 8], "little")
        place = headers_at + HEADER.size * number
        length, _, generation = HEADER.unpack_from(raw, place)
        part = bytes(raw[at : at + length])
        block_no = GEOMETRY.block_no(index, residue)
        if block_no < 1 << 64:
            HEADER.pack_into(raw, place, length, checksum(Ino(ino), block_no, generation, part), generation)
        at += length


def _read_entry(raw: memoryview, segment: int) -> None:
    parsed = journal_entries.parse_entry(raw, 0, segment, GEOMETRY)
    if parsed is None:
        return
    if not 0 < parsed.end <= len(raw):
        raise AssertionError(f"an entry of {parsed.end} bytes in {len(raw)}")
    parts, size_bytes = journal_entries.pack_entry(parsed.entry, journal_entries.position(segment, 0), parsed.synced)
    again = journal_entries.parse_entry(memoryview(b"".join(parts)), 0, segment, GEOMETRY)
    if again is None or again.entry != parsed.entry or again.end != size_bytes:
        raise AssertionError(f"{parsed.entry!r} comes back as {again!r}")
    for record in parsed.entry.records.values():
        pack_record(record, GEOMETRY.block_size)


def map_pages(data: bytes) -> None:
    """A map page and a table of floors are read as they were written, or not at all."""
    raw = data[:MAP_PAGE_BYTES].ljust(MAP_PAGE_BYTES, b"\0")
    start, end = map_page.HEADER.size, map_page.BITMAPS_OFFSET
    summed = raw[:start] + crc32(raw[end:], crc32(raw[:start])).to_bytes(4, "little") + raw[end:]
    for page_bytes in (data, raw, summed, b"DFSM\x01" + summed[5:]):
        page = map_page.parse_map_page(page_bytes)
        if page is not None and map_page.pack_map_page(page) != page_bytes:
            raise AssertionError(f"{page!r} comes back as another page")
    body = data[16:]
    head = data[:12].ljust(12, b"\0")
    for table_bytes in (data, head + crc32(body, crc32(head)).to_bytes(4, "little") + body):
        table = floors.parse_table(table_bytes)
        if table is not None and table.pack() != table_bytes:
            raise AssertionError("a table of floors comes back as another")


class _Never:
    """An Event of threading that nobody sets."""

    def is_set(self) -> bool:
        return False


_CLOCK: Final = SystemClock()
_NEVER: Final[Any] = _Never()

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    function.__name__: function
    for function in (codec_documents, http_messages, client_answers, block_records, superblocks, journals, map_pages)
}
