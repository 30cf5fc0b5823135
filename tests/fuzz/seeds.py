"""Where fuzzing begins: a valid input of every kind for each target, made by the very writers of dfs, and what stands in corpus/.

The files in corpus/ are what campaigns found: inputs that reach code which the valid ones do not reach, and each input that
once was a finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dfs.core.ids import BlockNo, Generation, Ino, Ticket
from dfs.core.messages.blocks import Copy, CopyState, pack_copies
from dfs.core.messages.cluster import RoleState
from dfs.core.placement import Role
from dfs.core.plain import answer_type, parameters_of, to_plain
from dfs.core.records import HEADER, Record, checksum, pack_record
from dfs.data.disk.floors import Table
from dfs.data.disk.journal_entries import Entry, Kind, pack_entry, position
from dfs.data.disk.map_page import MapPage, pack_map_page
from dfs.data.disk.superblock import Superblock, pack_superblock
from dfs.rpc.codec import Fault, write_answer, write_fault, write_request
from dfs.rpc.framing import answer_head, request_head
from tests.fuzz.targets import GEOMETRY, METHODS
from tests.harness.sample_api import sample

CORPUS: Final = Path(__file__).parent / "corpus"
RECORD: Final = Record(Generation(3 << 24 | 1), checksum(Ino(5), BlockNo(7), Generation(3 << 24 | 1), b"abcdef"), b"abcdef")


def seeds(target: str) -> list[bytes]:
    """Return the inputs with which the fuzzing of a target begins."""
    kept = sorted((CORPUS / target).glob("*"))
    return [*_VALID[target](), *(path.read_bytes() for path in kept)]


def _documents() -> Iterator[bytes]:
    for name, cls in METHODS.items():
        yield b"".join(write_request(name, parameters_of(sample(cls))))
        yield b"".join(write_answer(to_plain(sample(answer_type(cls)))))
    yield b"".join(write_fault(Fault(305, 'conflict\n{"ino": 5, "block_no": 1, "highest": 7}')))
    yield b"".join(write_fault(Fault(101, 'no such file\n{"path": "a"}')))
    yield b"".join(write_request("put", [1, -1, 1 << 40, (1 << 64) - 1, True, 0.5, "a<&>b", b"bytes", [1, [2]], {"a": {"b": 1}}]))
    yield (
        b"<?xml version='1.0'?>\n<methodCall><methodName>lookup</methodName>"
        b"<params>\n <param><value>bare &amp; text</value></param>"
        b"<param><value><base64>\n YWJj\n</base64></value></param><!-- a note --><param><value><i4> 7 </i4></value></param>"
        b"<param><value><string><![CDATA[<value>]]></string></value></param></params></methodCall>"
    )
    yield b'<!DOCTYPE b [<!ENTITY a "aaaa">]><methodCall><methodName>&a;</methodName></methodCall>'


def _messages() -> Iterator[bytes]:
    headers = (
        b"X-DFS-Request: a-1\r\nX-DFS-Caller: 0:0:4,24\r\nX-DFS-Session: 7\r\nX-DFS-Deadline: 100\r\nX-DFS-Server: cluster/1\r\n"
    )
    for body in (b"", b"body" * 30):
        for piece in (b"\x00", b"\x07", b"\xff"):
            yield piece + request_head("h:1", headers, len(body)) + body + request_head("h:1", b"", 3) + b"abc"
            yield piece + answer_head(200, b"Connection: close\r\n", len(body)) + body
    yield b"\x05POST / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n"
    yield b"\x05POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    yield b"\x05POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"


def _answers() -> Iterator[bytes]:
    data = b"x" * 32
    generation = Generation(9 << 24 | 1)
    present = Copy(CopyState.PRESENT, 32, checksum(Ino(5), BlockNo(1), generation, data), generation)
    short = Copy(CopyState.PRESENT, 3, checksum(Ino(5), BlockNo(1), generation, b"abc"), generation)
    for copies, blocks in (([present], data), ([short], b"abc"), ([Copy(CopyState.ABSENT, 0, 0, Generation(0))], b"")):
        packed = pack_copies(copies)
        yield bytes((len(copies) - 1, 1, len(packed) // 20, len(packed) % 20)) + packed + blocks


def _records() -> Iterator[bytes]:
    yield pack_record(RECORD, GEOMETRY.block_size)
    indexes, headers = (2).to_bytes(8, "little"), HEADER.pack(6, RECORD.checksum, RECORD.generation)
    yield bytes((1, 0, 5, 0, 0, 0, 0, 1)) + indexes + headers + RECORD.data
    yield bytes((1, 1, 5, 0, 0, 0, 0, 1)) + indexes + headers + (9).to_bytes(8, "little") + RECORD.data


def _superblocks() -> Iterator[bytes]:
    yield pack_superblock(Superblock("", 0, 0, 0, "disk", RoleState.BLANK, RoleState.BLANK, 0))
    yield pack_superblock(Superblock("cluster", 2, 4, 512, "disk", RoleState.COMPLETE, RoleState.SUSPECT, 10_000, 3))


def _journals() -> Iterator[bytes]:
    block_no = GEOMETRY.block_no(2, 1)
    record = RECORD._replace(checksum=checksum(Ino(5), block_no, RECORD.generation, RECORD.data))
    for entry in (
        Entry(Kind.RECORDS, Ino(5), role=Role.PRIMARY, residue=1, records={2: record}),
        Entry(Kind.VOIDED, Ino(5), role=Role.SECONDARY, residue=1, voided=[1, 2, 3]),
        Entry(Kind.DROPPED, Ino(5)),
        Entry(Kind.FLOOR, Ino(5), Ticket(77)),
        Entry(Kind.CHANGED, Ino(5), role=Role.PRIMARY),
    ):
        yield b"".join(pack_entry(entry, position(1, 0), 0)[0])


def _pages() -> Iterator[bytes]:
    yield pack_map_page(MapPage(Role.PRIMARY, 4, 1, Ino(5), 0, 512, 0b1011, 0b1))
    table = Table()
    for number in (1, 5, 9):
        table.put(Ino(number), Ticket(number * 7))
    yield table.pack()


_VALID: Final = {
    "codec_documents": _documents,
    "http_messages": _messages,
    "client_answers": _answers,
    "block_records": _records,
    "superblocks": _superblocks,
    "journals": _journals,
    "map_pages": _pages,
}

WORDS: Final = {
    "codec_documents": [
        *(
            b"<%s>" % tag
            for tag in (b"value", b"int", b"i8", b"i4", b"string", b"base64", b"boolean", b"double", b"array", b"data")
        ),
        *(b"</%s>" % tag for tag in (b"value", b"int", b"i8", b"string", b"base64", b"array", b"data", b"struct", b"member")),
        *(b"<struct>", b"<member>", b"<name>", b"</name>", b"<param>", b"</param>", b"<params>", b"</params>", b"<fault>"),
        *(b"<methodCall>", b"<methodResponse>", b"<methodName>", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<?", b"?>", b"&lt;"),
        *(b"&#13;", b"<!DOCTYPE", b"<!ENTITY", b"9223372036854775808", b"-9223372036854775809", b"encoding='utf-16'", b"faultCode"),
    ],
    "http_messages": [
        *(
            b"POST ",
            b" HTTP/1.1\r\n",
            b" HTTP/1.0\r\n",
            b"/RPC2",
            b"Content-Length: ",
            b"Transfer-Encoding: chunked\r\n",
            b"\r\n\r\n",
        ),
        *(
            b"Connection: ",
            b"keep-alive",
            b"close",
            b"Expect: 100-continue\r\n",
            b"X-DFS-Caller: ",
            b"X-DFS-Server: ",
            b"HTTP/1.1 200 OK",
        ),
    ],
    "superblocks": [b'"primary": "complete"', b'"mark": 1e999', b'"index": null', b"[[[[", b'"servers": -1', b"true", b"NaN"],
}
"""What libFuzzer may put in as a whole."""
