"""What goes wrong with TLS, in words that say whose certificate does not fit and why.

Called by tls.py and tls_stream.py. OpenSSL's own words stay where none here say it better.
"""

from __future__ import annotations

import ssl
from typing import Final

_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_OTHER_CA: Final = (2, 7, 18, 19, 20, 21, 30)
"""X509_V_ERR_*: no issuer, a signature by another one, or nobody's but its own."""
_WRONG_USE: Final = 26
_WRONG_HOST: Final = (62, 64)
DATES: Final = (_EXPIRED, _NOT_YET_VALID)
"""Codes of certificates that are all right but for the day."""
_REASONS: Final = {
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it refuses this machine's certificate, which has expired by its clock",
    "TLSV1_ALERT_UNKNOWN_CA": "it refuses this machine's certificate, which another CA than its own has signed",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it refuses this machine's certificate, which is not meant for this use",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it refuses this machine's certificate",
    "TLSV1_ALERT_DECRYPT_ERROR": "it refuses this machine's certificate, which another CA than its own has signed",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate, and got none",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it shows no certificate",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it does not know TLS 1.3",
    "UNSUPPORTED_PROTOCOL": "it does not know TLS 1.3",
    "WRONG_VERSION_NUMBER": "it does not use TLS",
}


def explain(error: ssl.SSLError, host: str = "") -> str:
    """Return why a connection over TLS failed. `host`: as which the peer was called; empty: the peer called us."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(error, host)
    if error.reason in _REASONS:
        return _REASONS[error.reason]
    words = (error.reason or error.strerror or str(error)).replace("_", " ").lower()
    return f"TLS failed: {words}"


def _explain_certificate(error: ssl.SSLCertVerificationError, host: str) -> str:
    code = error.verify_code
    if code in _WRONG_HOST:
        return f"its certificate is not for {host}: another host answers there, or the certificate lacks that name or address"
    if code in _OTHER_CA:
        return "its certificate was signed by another CA than this cluster's"
    if code == _EXPIRED:
        return "its certificate has expired, or the clock of this machine is wrong"
    if code == _NOT_YET_VALID:
        return "its certificate is not valid yet, or the clock of this machine is wrong"
    if code == _WRONG_USE:
        return "its certificate is not meant for this use: that of a client does not make a server"
    return f"its certificate is refused: {error.verify_message}"
