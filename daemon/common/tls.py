"""Certificates: contexts of both sides, when a certificate ends, and why a connection failed, in words.

Whoever asks for TLS gets it verified or gets no connection; nothing here turns a check off.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from aez.codec.errors import InvalidArgument

__all__ = ["client_context", "ends", "failure", "load", "pinned_context", "server_context"]

_UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x17, 0x18, 0xA0  # tags of DER
_CERTIFICATE_MAX = 1 << 20
_UNKNOWN_ISSUER = (18, 19, 20, 21)  # OpenSSL's X509_V_ERR_...


def server_context(certificate: str, key: str | None) -> ssl.SSLContext:
    """For a port that shows a certificate; the key may stand in the same file.

    Raises InvalidArgument where a file cannot be read, is none of the kind, or the key is of another certificate.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load(context, certificate, key)
    return context


def client_context(ca: str | None, certificate: str | None = None, key: str | None = None) -> ssl.SSLContext:
    """For connections to others, which are verified; `ca` is trusted in place of the system's certificates.

    Raises InvalidArgument as `server_context` does.
    """
    if ca is not None:
        _read(ca)
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgument(f"{ca} holds no certificates in PEM form") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        load(context, certificate, key)
    return context


def pinned_context(certificate: str) -> ssl.SSLContext:
    """For connections to whoever holds the key of exactly this certificate, whatever name it is reached by.

    Raises InvalidArgument as `server_context` does.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=ssl.PEM_cert_to_DER_cert(_first(certificate)))
    return context


def ends(certificate: str) -> datetime:
    """When the first certificate of a file ends, UTC. Raises InvalidArgument where there is none."""
    try:
        return _not_after(ssl.PEM_cert_to_DER_cert(_first(certificate)))
    except (ValueError, LookupError, StopIteration) as error:  # damaged: elements that are no times, or too few
        raise InvalidArgument(f"{certificate} holds no certificate in PEM form, or a damaged one") from error


def failure(error: BaseException | None) -> str:
    """Why a connection could not be made: a clause without a full stop."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "; name the file of its issuer's certificate" if error.verify_code in _UNKNOWN_ISSUER else ""
        return f"its certificate is not trusted ({error.verify_message.rstrip('.')}){hint}"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return f"no encrypted connection comes about ({reason}); does the other side speak TLS at this port?"
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return str(error) or type(error).__name__


def load(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    """Show this certificate from the next connection on. Raises InvalidArgument as `server_context` does."""
    for path in filter(None, (certificate, key)):
        _read(path)

    def refuse() -> str:
        raise InvalidArgument(f"the key in {key or certificate} is encrypted; give one without a passphrase")

    try:
        context.load_cert_chain(certificate, key, refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            text = f"the key in {key or certificate} is not that of the certificate {certificate}"
        elif key is None:
            text = f"{certificate} does not hold a certificate and its key in PEM form"
        else:
            text = f"{certificate} and {key} are no certificate and key in PEM form"
        raise InvalidArgument(text) from error


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(_CERTIFICATE_MAX).decode("ascii", "replace")
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be read: {error.strerror or error}") from error


def _first(path: str) -> str:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    _, found, rest = _read(path).partition(begin)
    body, closed, _ = rest.partition(end)
    if not found or not closed:
        raise InvalidArgument(f"{path} holds no certificate in PEM form")
    return f"{begin}{body}{end}\n"


def _not_after(der: bytes) -> datetime:
    (_, certificate), *_ = _elements(der)
    (_, signed), *_ = _elements(certificate)
    parts = _elements(signed)
    tag, _ = next(parts)
    for _ in range(3 if tag == _VERSION else 2):  # serial number, algorithm, issuer
        next(parts)
    _, (tag, text) = _elements(next(parts)[1])
    form = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}[tag]
    return datetime.strptime(text.decode(), form).replace(tzinfo=UTC)


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element."""
    at = 0
    while at < len(der):
        tag, size, at = der[at], der[at + 1], at + 2
        if size & 0x80:
            width = size & 0x7F
            size, at = int.from_bytes(der[at : at + width], "big"), at + width
        yield tag, der[at : at + size]
        at += size
