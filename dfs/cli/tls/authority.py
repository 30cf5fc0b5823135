"""A small CA for one cluster: makes it, and certificates for the hosts and clients that belong to it.

Owns what stands in a certificate, not where it is kept (dfs/cli/tls/folder.py). The one module that needs the package cryptography;
imported only by what `dfsctl tls` carries out. A host's certificate serves and calls; a client's only calls.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS: Final = 3653
"""Ten years."""
EARLIER: Final = timedelta(hours=1)
"""A certificate begins so long before it is made: clocks differ."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate is for."""

    name: str
    """The common name: a host's first name, or a client's name."""
    hosts: tuple[str, ...]
    """Names and addresses under which others reach it; empty: a client, which nobody calls."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key, in PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """A CA."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def make(cls, name: str, now_s: float, days: int = AUTHORITY_DAYS) -> Authority:
        """Return a new CA for the cluster `name`, valid for `days` days."""
        key = ec.generate_private_key(ec.SECP256R1())
        serial = x509.random_serial_number()
        # A CA of the same cluster, made another time, must not have the same name: who trusts one would try it for the other.
        subject = _named(f"dfs CA {name} {serial & 0xFFFFFFFF:08x}"[:64])
        builder = _builder(subject, subject, key, serial, now_s, _moment(now_s) + timedelta(days=days))
        usage = _usage(key_cert_sign=True, crl_sign=True)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).add_extension(
            usage, critical=True
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, issued: Issued) -> Authority:
        """Return the CA in PEM. Raises: ValueError if it is none."""
        key = serialization.load_pem_private_key(issued.key, password=None)
        certificate = x509.load_pem_x509_certificate(issued.certificate)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or _public(key) != _encoded(certificate.public_key()):
            raise ValueError("the key is that of another certificate")
        return cls(certificate, key)

    def pem(self) -> Issued:
        """Return the CA in PEM."""
        return Issued(self._certificate.public_bytes(serialization.Encoding.PEM), _key_pem(self._key))

    def issue(self, subject: Subject, now_s: float, days: int) -> Issued:
        """Return a new key and a certificate for it, valid for `days` days, but not longer than the CA."""
        key = ec.generate_private_key(ec.SECP256R1())
        ends = min(_moment(now_s) + timedelta(days=days), _ends(self._certificate))
        builder = _builder(
            _named(subject.name), self._certificate.subject, key, x509.random_serial_number(), now_s, ends, self._certificate
        )
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if subject.hosts:
            uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
            builder = builder.add_extension(x509.SubjectAlternativeName(_alternatives(subject.hosts)), critical=False)
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        return Issued(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def subject_of(pem: bytes) -> Subject:
    """Return whom a certificate in PEM is for. Raises: ValueError if it is none."""
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not names:
        raise ValueError("a certificate without a name")
    hosts: tuple[str, ...] = ()
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        extension = None
    if extension is not None:
        hosts = tuple(str(entry.value) for entry in extension)
    return Subject(str(names[0].value), hosts)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    serial: int,
    now_s: float,
    ends: datetime,
    issuer_certificate: x509.Certificate | None = None,
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(_moment(now_s) - EARLIER)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer_certificate is None:
        return builder
    own = issuer_certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternatives(hosts: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for host in hosts:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            found.append(x509.DNSName(host))
    return found


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _moment(now_s: float) -> datetime:
    return datetime.fromtimestamp(int(now_s), UTC).replace(tzinfo=None)


def _ends(certificate: x509.Certificate) -> datetime:
    """Return a certificate's last moment, in UTC; newer releases have it with its zone only, older ones without."""
    ends: datetime | None = getattr(certificate, "not_valid_after_utc", None)
    return certificate.not_valid_after if ends is None else ends.replace(tzinfo=None)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption_algorithm=serialization.NoEncryption()
    )


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return _encoded(key.public_key())


def _encoded(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("not a key on an elliptic curve")
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
