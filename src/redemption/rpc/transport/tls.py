"""TLS: who the server is, and whom it lets in."""

import ssl
from dataclasses import dataclass
from pathlib import Path

MINIMUM = ssl.TLSVersion.TLSv1_2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files of a server that speaks TLS.

    Attributes:
        certificate: Its certificate chain, PEM.
        key: Its private key, PEM.
        client_ca: Whose certificates callers must show, PEM; None asks for none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


def context_of(tls: Tls) -> ssl.SSLContext:
    """Return what sockets need to speak TLS.

    Raises:
        OSError: A file cannot be read, or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = MINIMUM
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(tls.certificate, tls.key)
    if tls.client_ca is not None:
        context.load_verify_locations(tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
