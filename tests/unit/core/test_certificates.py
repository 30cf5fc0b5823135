"""Goal: it is told in time that a certificate ends, and never wrongly. Method: certificates made by the package cryptography, read
by our own few lines; days around the limits; bytes that are no certificate.
"""

from __future__ import annotations

import base64
import calendar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs.cli.tls.authority import Authority, Subject
from dfs.core.certificates import DAY_S, Certificate, Unreadable, Urgency, read_certificate

NOW_S = 1_800_000_000
AUTHORITY = Authority.make("lab", NOW_S)
PEM = AUTHORITY.issue(Subject("data1", ("data1", "10.0.0.2")), NOW_S, 90).certificate.decode()
LAST = Certificate("x", 0, NOW_S, "")


def as_pem(der: bytes) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"


def der_of(pem: str) -> bytes:
    return base64.b64decode("".join(pem.splitlines()[1:-1]))


def test_certificate_is_read_with_its_name_and_both_its_ends() -> None:
    assert read_certificate(PEM) == Certificate("data1", NOW_S - 3600, NOW_S + 90 * DAY_S, "2027-04-15 08:00 UTC")
    ca = read_certificate(AUTHORITY.pem().certificate.decode())
    assert ca.name.startswith("dfs CA lab ")
    assert ca.ends_s - NOW_S == 3653 * DAY_S


def test_certificate_behind_other_text_is_found() -> None:
    assert read_certificate(f"Subject: data1\n\n{PEM}{AUTHORITY.pem().certificate.decode()}").name == "data1"


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2_500_000_000), st.integers(1, 3653))
def test_days_are_those_of_the_calendar(now_s: int, days: int) -> None:
    issued = Authority.make("lab", now_s).issue(Subject("x", ("x",)), now_s, days)
    found = read_certificate(issued.certificate.decode())
    assert found.ends_s == now_s + days * DAY_S
    shown = [int(word) for word in found.until.removesuffix(" UTC").replace("-", " ").replace(":", " ").split()]
    assert calendar.timegm((*shown, 0, 0, 0, 0)) == found.ends_s // 60 * 60


@pytest.mark.parametrize(
    ("left_s", "urgency", "days"),
    [
        (31 * DAY_S, Urgency.NONE, 31),
        (30 * DAY_S + 1, Urgency.NONE, 30),
        (30 * DAY_S, Urgency.WARNING, 30),
        (7 * DAY_S + 1, Urgency.WARNING, 7),
        (7 * DAY_S, Urgency.URGENT, 7),
        (1, Urgency.URGENT, 0),
        (0, Urgency.URGENT, 0),
        (-1, Urgency.OVER, -1),
    ],
)
def test_urgency_rises_30_and_7_days_before_the_end(left_s: int, urgency: Urgency, days: int) -> None:
    assert LAST.urgency(NOW_S - left_s) is urgency
    assert LAST.days_left(NOW_S - left_s) == days


@pytest.mark.parametrize(
    "text", ["", "hello", PEM[:-40], "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", as_pem(b"\x30")]
)
def test_text_that_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        read_certificate(text)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_certificate_are_refused(der: bytes) -> None:
    with pytest.raises(Unreadable):
        read_certificate(as_pem(der))


@given(st.integers(0, len(der_of(PEM)) - 1), st.integers(0, 255))
def test_certificate_with_a_changed_byte_is_read_or_refused(place: int, value: int) -> None:
    der = bytearray(der_of(PEM))
    der[place] = value
    try:
        read_certificate(as_pem(bytes(der)))
    except Unreadable as refusal:
        assert str(refusal)  # noqa: PT017 - either outcome is good, a crash is not
