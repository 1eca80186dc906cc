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


class Certificates:
    """What is in these files, for sockets that speak TLS.

    Attributes:
        context: What handshakes go by.
    """

    def __init__(self, tls: Tls) -> None:
        """Read the files.

        Raises:
            OSError: One cannot be read, or is not what it should be.
        """
        self._tls = tls
        self.context = _context_of(tls)

    def reload(self) -> None:
        """Read the files again, for handshakes from now on.

        Raises:
            OSError: One cannot be read, or is not what it should be; what was read before stays.
        """
        _context_of(self._tls)  # half of a new pair must not replace the old one
        _load(self.context, self._tls)


def _context_of(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = MINIMUM
    context.set_alpn_protocols(["h2"])
    _load(context, tls)
    return context


def _load(context: ssl.SSLContext, tls: Tls) -> None:
    context.load_cert_chain(tls.certificate, tls.key)
    if tls.client_ca is not None:
        context.load_verify_locations(tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
