"""How requests and answers are signed: the header X-DFS-Auth, and which bytes a signature is made over.

| message  | X-DFS-Auth                                                   |
|----------|--------------------------------------------------------------|
| request  | 1 SENDER KEY-ID EPOCH PROCESS COUNTER TIME SIGNATURE         |
| answer   | 1 SIGNATURE                                                  |

| word      | what                                                                              |
|-----------|-----------------------------------------------------------------------------------|
| SENDER    | meta, data/INDEX, admin or client/NAME                                            |
| KEY-ID    | 8 hex digits: which key, without showing it                                       |
| EPOCH     | 16 hex digits that a run of the receiver is known by; 0000000000000000: not known |
| PROCESS   | 16 hex digits that the sending process chose by chance                            |
| COUNTER   | decimal; each message of the process has a higher one                             |
| TIME      | the sender's wall time, ms since 1970, decimal                                    |
| SIGNATURE | HMAC-SHA256 under the sender's key, 64 hex digits                                 |

Signed is, for a request, these lines and then the body; lines end with one line feed, which no line can have within:

    dfs request
    METHOD PATH                    of HTTP
    RECEIVER                       meta or data/INDEX: whoever is meant
    1 SENDER ... TIME              X-DFS-Auth without the signature
    name:value                     one per X-DFS- header but this one, names in lower case, sorted
    (an empty line)

and for an answer these, and then the body: the request's signature ties it to that request, and to nothing else.

    dfs answer
    STATUS                         of HTTP
    SIGNATURE                      of the request
    (an empty line)

A server that refuses a request for what is in X-DFS-Auth answers 401; the first word of the body is a Refused. Pure. Called by
signer.py and verifier.py; docs/wire.md shows it to others.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from dfs.core.keys import is_sender

HEADER: Final = b"x-dfs-auth"
REQUEST_LINE: Final = b"POST /RPC2"
NO_EPOCH: Final = "0" * 16
TIME_OFF_MS_MAX: Final = 60_000
"""How far the sender's clock may be off the receiver's, the way between them included."""
EPOCH_BYTES: Final = 8
PROCESS_BYTES: Final = 8
_PREFIX: Final = b"x-dfs-"
_ID: Final = "[0-9a-f]{16}"
_EPOCH: Final = re.compile(_ID)
_NUMBER: Final = "0|[1-9][0-9]{0,17}"
_REQUEST: Final = re.compile(
    rf"(1 ([a-z]{{1,8}}(?:/[A-Za-z0-9._-]{{1,64}})?) ([0-9a-f]{{8}}) ({_ID}) ({_ID}) ({_NUMBER}) ({_NUMBER})) ([0-9a-f]{{64}})"
)
_ANSWER: Final = re.compile(r"1 ([0-9a-f]{64})")


class Refused(enum.StrEnum):
    """Why a server does not take a request."""

    NO_SIGNATURE = "unsigned"
    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown-key"
    WRONG_SIGNATURE = "wrong-signature"
    # Those below are told only to whoever signed rightly, and are signed themselves.
    EPOCH = "epoch"
    """Another epoch, which the second word is."""
    CLOCK = "clock"
    """Another time; the second word is how many ms the sender's clock is ahead."""
    REPLAY = "replay"


class Stamp(NamedTuple):
    """X-DFS-Auth of a request."""

    text: str
    """All of it but the signature."""
    sender: str
    """Its name on the wire, which is one that there can be."""
    key_id: str
    epoch: str
    process: str
    counter: int
    time_ms: int
    signature: str


def write_stamp(sender: str, key_id: str, epoch: str, process: str, counter: int, time_ms: int) -> str:
    """Return X-DFS-Auth of a request, but for the signature."""
    return f"1 {sender} {key_id} {epoch} {process} {counter} {time_ms}"


def read_stamp(raw: bytes) -> Stamp | None:
    """Return what X-DFS-Auth of a request says, or None if it makes no sense."""
    match = _REQUEST.fullmatch(raw.decode("latin-1"))
    if match is None:
        return None
    text, sender, key, epoch, process, counter, time_ms, signature = match.groups()
    if not is_sender(sender):
        return None
    return Stamp(text, sender, key, epoch, process, int(counter), int(time_ms), signature)


def is_epoch(text: str) -> bool:
    """Tell whether a server's run may be known by this."""
    return _EPOCH.fullmatch(text) is not None


def read_answer_signature(raw: bytes | None) -> str | None:
    """Return the signature in X-DFS-Auth of an answer, or None if there is none."""
    match = None if raw is None else _ANSWER.fullmatch(raw.decode("latin-1"))
    return None if match is None else match[1]


def header_line(text: str) -> bytes:
    """Return X-DFS-Auth as a line of a head."""
    return f"X-DFS-Auth: {text}\r\n".encode("ascii")


def request_preamble(request_line: bytes, receiver: str, stamp: str, headers: Mapping[bytes, bytes]) -> bytes:
    """Return what is signed before the body of a request. `headers`: all, names in lower case."""
    lines = sorted(b"%s:%s\n" % (name, value) for name, value in headers.items() if name.startswith(_PREFIX) and name != HEADER)
    return b"dfs request\n%s\n%s\n%s\n%s\n" % (request_line, receiver.encode(), stamp.encode(), b"".join(lines))


def answer_preamble(status: int, request_signature: str) -> bytes:
    """Return what is signed before the body of an answer."""
    return b"dfs answer\n%d\n%s\n\n" % (status, request_signature.encode())


def parse_lines(lines: bytes) -> dict[bytes, bytes]:
    """Return header lines that this program wrote itself, as a server will read them: NAME: VALUE, each with its line end."""
    headers = {}
    for line in lines.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b": ")
        headers[name.lower()] = value
    return headers
