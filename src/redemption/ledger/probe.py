"""Looks at what has the ledger's address, when a start fails and the error alone does not say why.

Plain text to a TLS port, TLS to a plain port, and a server of another kind look alike from the client: the connection
is closed, or nothing comes. So one plain PING and one TLS handshake are tried. Nothing secret is sent.
"""

import asyncio
import socket
import ssl

from redemption.ledger.causes import FULL, NO_REDIS, PROTECTED
from redemption.ledger.place import Place

LOOK_SECONDS_MAX = 1.5
_BYTES_MAX = 256
_HTTP = (b"HTTP/", b"<")
_REPLIES = (b"+", b"-", b":", b"$", b"*")
_PING = b"PING\r\n"


async def look(place: Place) -> str | None:
    """Return what is at an address, as the end of a sentence "the ledger at …"; None when that says nothing new."""
    return None if place.path else await asyncio.to_thread(_look, place)


def _look(place: Place) -> str | None:
    plain = _reply(place)
    if plain.startswith(_HTTP):
        return "is an HTTP server, not Redis"
    if plain.startswith(_REPLIES):
        return _said(plain, place)
    if place.with_tls:
        return _what_tls_says(place)
    if _speaks_tls(place):
        return "speaks TLS at this port: write rediss:// instead of redis://"
    return NO_REDIS if plain else None


def _said(plain: bytes, place: Place) -> str | None:
    """Return what is wrong, from the first bytes of a server that speaks Redis in plain text."""
    if plain.startswith(b"-DENIED"):
        return PROTECTED
    if b"max number of clients" in plain:
        return FULL
    if place.with_tls:
        return "does not speak TLS at this port: write redis:// instead of rediss://, or its TLS port"
    return None


def _what_tls_says(place: Place) -> str | None:
    """Return what is wrong, from the words of TLS that come after a handshake: a certificate is refused only then."""
    try:
        with _tls(place) as connection:
            connection.recv(_BYTES_MAX)
    except ssl.SSLError as error:
        if "CERTIFICATE_REQUIRED" in str(error.reason) or "HANDSHAKE_FAILURE" in str(error.reason):
            return "asks for a client's certificate: name it with ?ssl_certfile=FILE&ssl_keyfile=FILE"
    except OSError:
        pass
    return None


def _speaks_tls(place: Place) -> bool:
    """Whether a handshake succeeds, or fails in words of TLS."""
    try:
        _tls(place).close()
    except ssl.SSLError as error:
        return "ALERT" in str(error.reason)
    except OSError:
        return False
    return True


def _reply(place: Place) -> bytes:
    """Return the first bytes that come after a PING in plain text; empty when none come."""
    try:
        with socket.create_connection((place.host, place.port), LOOK_SECONDS_MAX) as connection:
            connection.sendall(_PING)
            return connection.recv(_BYTES_MAX)
    except OSError:
        return b""


def _tls(place: Place) -> ssl.SSLSocket:
    """Return a connection after a handshake, in which any certificate is accepted: nothing is sent.

    Raises:
        OSError: There is no connection, or the handshake failed.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = socket.create_connection((place.host, place.port), LOOK_SECONDS_MAX)
    try:
        return context.wrap_socket(connection)
    except OSError:
        connection.close()
        raise
