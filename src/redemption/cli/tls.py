"""TLS of the command line: reads its files, and says what a handshake that failed means."""
# ruff: noqa: PLC0415 - gRPC and ssl are imported when a call is made, so that help is quick.

import re
from pathlib import Path
from typing import TYPE_CHECKING

from redemption.cli.exits import BadFile
from redemption.cli.input.file_bytes import read_bytes

if TYPE_CHECKING:
    from redemption.client import Tls
    from redemption.settings import Settings

_BYTES_MAX = 2**20
_OF_BORINGSSL = re.compile(r"OPENSSL_internal:(?P<error>[A-Z0-9_]+): (?P<why>.*)$")
_NO_REASON = "Invalid certificate verification context"
"""What BoringSSL says of an error that has nothing to do with a certificate."""
_VERIFIER = "Custom verification check failed with error: UNAUTHENTICATED: "
_MAY_WANT_CERTIFICATE = (
    "it may ask for a certificate of its callers: set REDEMPTION_TLS_CLIENT_CERTIFICATE and REDEMPTION_TLS_CLIENT_KEY; "
    "or it has too many connections"
)
_HINTS = (
    (re.compile("WRONG_VERSION_NUMBER"), "the server seems to speak plain text: leave --tls-ca out"),
    (re.compile("Hostname Verification"), "the server's certificate has other names than --server: give one of them"),
    (re.compile("certificate has expired"), "the server needs a new certificate"),
    (
        re.compile("CERTIFICATE_VERIFY_FAILED"),
        "the server's certificate was not signed by the authority in --tls-ca; give that which signed it",
    ),
    (re.compile("Socket closed|reset by peer"), _MAY_WANT_CERTIFICATE),
)


def tls_of(settings: "Settings") -> "Tls | None":
    """Return what a channel needs to speak TLS, or None for plain text.

    Raises:
        BadFile: A file cannot be read, or has not what it should have. gRPC would only say that no handshake is made.
    """
    from redemption.client import Tls

    authority, certificate, key = settings.tls_ca, settings.tls_client_certificate, settings.tls_client_key
    if authority is None:
        return None
    contents = [
        None if path is None else read_bytes(path, bytes_max=_BYTES_MAX) for path in (authority, certificate, key)
    ]
    _require_authority(authority)
    if certificate is not None and key is not None:
        _require_pair(certificate, key)
    return Tls(*contents)


def handshake_failure(cause: str) -> tuple[str, str | None]:
    """Return the cause of a connection that failed in short, and what to do about it, or None if TLS is no reason."""
    hint = next((hint for pattern, hint in _HINTS if pattern.search(cause)), None)
    found = _OF_BORINGSSL.search(cause)
    if found is None:
        return cause.removeprefix(_VERIFIER).rstrip("."), hint
    why = found["why"].removesuffix(": OK")
    return f"TLS: {found['error']}" + ("" if why == _NO_REASON else f": {why}"), hint


def _require_authority(path: Path) -> None:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise _no_authority(path) from error
    if not context.cert_store_stats()["x509"]:
        raise _no_authority(path)


def _no_authority(path: Path) -> BadFile:
    return BadFile(
        f"{path}: has no certificate; --tls-ca needs the PEM file of the authority that signed the server's certificate"
    )


def _require_pair(certificate: Path, key: Path) -> None:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # the server decides whether a key is long enough
    try:
        context.load_cert_chain(certificate, key, password="")  # with None, OpenSSL would ask in the terminal
    except (ssl.SSLError, ValueError) as error:
        raise BadFile(
            f"{certificate}, {key}: must be a certificate and its key, both PEM, and the key without a password"
        ) from error
