"""How long certificates are valid, and when that is worth telling (pure).

Owns the reading of the few fields of an X.509 certificate (RFC 5280) that the standard library does not show of one's own: the days
between which it counts, and whose it is. Promises: whatever the bytes, a result or Unreadable, in time that their length bounds.
Says nothing about whether a certificate can be trusted: that is TLS's own work.
"""

from __future__ import annotations

import base64
import binascii
import enum
import re
from dataclasses import dataclass
from typing import Final

DAY_S: Final = 86_400
WARNING_DAYS: Final = 30
"""A certificate that ends within so many days should be renewed."""
URGENT_DAYS: Final = 7

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")
_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_TIME: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_DAYS_BEFORE_1970: Final = 719_468
"""From the first of March of the year 0."""
_COMMON_NAME: Final = bytes.fromhex("0603550403")
"""The object identifier 2.5.4.3, encoded."""


class Unreadable(ValueError):
    """The bytes are no certificate; the argument says what they lack."""


class Urgency(enum.Enum):
    """How soon a certificate must be renewed."""

    NONE = "valid"
    WARNING = "ends soon"
    URGENT = "ends within days"
    OVER = "has expired"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is to be known of a certificate beforehand."""

    name: str
    """The subject's common name; may be empty."""
    begins_s: int
    """Seconds since 1970."""
    ends_s: int
    until: str
    """Its end in words: day and minute, in UTC."""

    def days_left(self, now_s: float) -> int:
        """Return the whole days until its end; negative once that has passed."""
        return int((self.ends_s - now_s) // DAY_S)

    def urgency(self, now_s: float) -> Urgency:
        """Tell how soon it must be renewed."""
        if now_s > self.ends_s:
            return Urgency.OVER
        left_s = self.ends_s - now_s
        if left_s <= URGENT_DAYS * DAY_S:
            return Urgency.URGENT
        return Urgency.WARNING if left_s <= WARNING_DAYS * DAY_S else Urgency.NONE


def read_certificate(pem: str) -> Certificate:
    """Return the first certificate in a PEM text. Raises: Unreadable."""
    match = _PEM.search(pem)
    if match is None:
        raise Unreadable("no certificate in PEM")
    try:
        der = base64.b64decode("".join(match[1].split()), validate=True)
    except binascii.Error as error:
        raise Unreadable("no base64 in its PEM") from error
    return _read_der(der)


def _read_der(der: bytes) -> Certificate:
    """Read Certificate ::= SEQUENCE { tbs SEQUENCE { [0] version, serial, algorithm, issuer, validity, subject, ... }, ... }."""
    body = _Der(_Der(der).take(_SEQUENCE)).take(_SEQUENCE)
    fields = _Der(body)
    if fields.tag() == _VERSION:
        fields.take(_VERSION)
    fields.take()
    fields.take(_SEQUENCE)
    fields.take(_SEQUENCE)
    validity = _Der(fields.take(_SEQUENCE))
    (begins_s, _), (ends_s, until) = validity.take_time(), validity.take_time()
    return Certificate(_common_name(fields.take(_SEQUENCE)), begins_s, ends_s, until)


def _common_name(subject: bytes) -> str:
    """Return the common name in Name ::= SEQUENCE OF SET OF SEQUENCE { type, value }; empty if there is none."""
    sets = _Der(subject)
    while sets.has_more():
        pairs = _Der(sets.take(_SET))
        while pairs.has_more():
            pair = pairs.take(_SEQUENCE)
            if pair.startswith(_COMMON_NAME):
                return _Der(pair[len(_COMMON_NAME) :]).take().decode("utf-8", "backslashreplace")
    return ""


class _Der:
    """Elements of a DER encoding, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def has_more(self) -> bool:
        return self._at < len(self._data)

    def tag(self) -> int:
        """Return the next element's tag. Raises: Unreadable."""
        if not self.has_more():
            raise Unreadable("fewer fields than a certificate has")
        return self._data[self._at]

    def take(self, expected: int | None = None) -> bytes:
        """Return the next element's contents. Raises: Unreadable."""
        if expected is not None and self.tag() != expected:
            raise Unreadable(f"tag {self.tag():#x} where {expected:#x} was expected")
        start = self._at + 2
        if start > len(self._data):
            raise Unreadable("an element that is cut short")
        length = self._data[self._at + 1]
        if length >= 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4:
                raise Unreadable("an element of absurd length")
            length = int.from_bytes(self._data[start : start + count], "big")
            start += count
        end = start + length
        if end > len(self._data):
            raise Unreadable("an element that is cut short")
        self._at = end
        return self._data[start:end]

    def take_time(self) -> tuple[int, str]:
        """Return the next element, a time in UTC, in seconds since 1970 and in words. Raises: Unreadable."""
        kind = self.tag()
        if kind not in (_UTC_TIME, _GENERALIZED_TIME):
            raise Unreadable(f"tag {kind:#x} where a time was expected")
        text = self.take().decode("latin-1")
        if kind == _UTC_TIME:  # two digits of the year: 50 and above are of the last century
            text = ("19" if text[:2] >= "50" else "20") + text
        match = _TIME.fullmatch(text)
        if match is None:
            raise Unreadable(f"a time of another form: {text[:20]!r}")
        year, month, day, hour, minute, second = map(int, match.groups())
        if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
            raise Unreadable(f"no time: {text!r}")
        seconds = _days_since_1970(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second
        return seconds, f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC"


def _days_since_1970(year: int, month: int, day: int) -> int:
    """Return the number of a day of the Gregorian calendar. The year is taken to begin in March, so that February ends it."""
    years, months = (year, month - 3) if month > 2 else (year - 1, month + 9)
    leap_days = years // 4 - years // 100 + years // 400
    return years * 365 + leap_days + (153 * months + 2) // 5 + day - 1 - _DAYS_BEFORE_1970
