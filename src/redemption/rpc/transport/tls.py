"""TLS: the certificates of the server, the check of its callers, and the handshakes."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

MINIMUM = ssl.TLSVersion.TLSv1_2
CLOSE_SECONDS_MAX = 1.0
"""How long a caller may take to acknowledge the end of the TLS session."""
ACCEPTS_AT_ONCE = 32
"""Connections accepted in one turn of the event loop; the others wait for the next one. A handshake takes 1 ms."""
NO_FILES_SECONDS = 0.1
"""How long to wait when the system has no file descriptor left for a connection."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files of a server that speaks TLS.

    Attributes:
        certificate: Its certificate chain, PEM.
        key: Its private key, PEM.
        client_ca: The authority that must have signed the callers' certificates, PEM; None: callers need none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


class CertificateUnusable(OSError):
    """A TLS file cannot be read or has wrong content; the message names it."""


class Certificates:
    """The content of the TLS files.

    Attributes:
        context: The context of new handshakes; ``reload`` replaces it.
    """

    def __init__(self, tls: Tls) -> None:
        """Read the files.

        Raises:
            CertificateUnusable: One cannot be read, or has wrong content.
        """
        self._tls = tls
        self.context = _context_of(tls)

    def reload(self) -> None:
        """Read the files again, for new handshakes.

        Raises:
            CertificateUnusable: One cannot be read, or has wrong content; the files read before stay in use.
        """
        self.context = _context_of(self._tls)  # a new one: loading into the old one would keep the old authorities


def _context_of(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = MINIMUM
    context.set_alpn_protocols(["h2"])
    for name, path in (("certificate", tls.certificate), ("key", tls.key), ("client_ca", tls.client_ca)):
        if path is not None:
            _require_readable(name, path)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except ssl.SSLError as error:
        raise CertificateUnusable(
            f"tls_certificate and tls_key: {tls.certificate} and {tls.key} must be PEM, and of each other ({error})"
        ) from error
    if tls.client_ca is not None:
        try:
            context.load_verify_locations(tls.client_ca)
        except ssl.SSLError as error:
            raise CertificateUnusable(f"tls_client_ca: {tls.client_ca} must be PEM ({error})") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _require_readable(name: str, path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise CertificateUnusable(f"tls_{name}: {path} cannot be read ({error.strerror})") from error


class TlsAcceptor:
    """Accepts connections on a listening socket, and does the TLS handshake before they are served.

    The event loop's own server reports a connection only after its handshake, and keeps handshakes going when it is
    closed. So connections that send nothing would be neither counted nor ended.
    """

    def __init__(
        self,
        certificates: Certificates,
        serve: Callable[[], asyncio.BufferedProtocol],
        *,
        seconds_max: float,
        has_room: Callable[[], bool],
    ) -> None:
        """Build it.

        Args:
            certificates: The certificates; each handshake uses the newest ones.
            serve: Makes the protocol of a connection.
            seconds_max: How long a handshake may take.
            has_room: Whether one more connection may be accepted.
        """
        self._certificates = certificates
        self._serve = serve
        self._seconds_max = seconds_max
        self._has_room = has_room
        self._loop = asyncio.get_running_loop()
        self._listening: socket.socket | None = None
        self._shaking: dict[asyncio.Task[None], socket.socket] = {}

    @property
    def shaking(self) -> int:
        """How many connections have not finished their handshake."""
        return len(self._shaking)

    def listen(self, bound: socket.socket, backlog: int) -> None:
        """Begin to accept connections.

        Raises:
            OSError: The address is in use.
        """
        bound.setblocking(False)
        bound.listen(backlog)
        self._listening = bound
        self._loop.add_reader(bound, self._accept)

    def close(self) -> None:
        """Accept no more connections; handshakes that have begun may finish."""
        if self._listening is not None:
            self._loop.remove_reader(self._listening)
            self._listening.close()
            self._listening = None

    def abort(self) -> None:
        """End all handshakes."""
        for accepted in self._shaking.values():
            with suppress(OSError):
                accepted.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            if self._listening is None:
                return
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                _log.warning("a connection could not be accepted", problem=str(error))
                self._loop.remove_reader(self._listening)
                self._loop.call_later(NO_FILES_SECONDS, self._resume)
                return
            if not self._has_room():
                accepted.close()
                continue
            accepted.setblocking(False)
            task = self._loop.create_task(self._shake(accepted))
            self._shaking[task] = accepted
            task.add_done_callback(self._shaking.pop)

    def _resume(self) -> None:
        if self._listening is not None:
            self._loop.add_reader(self._listening, self._accept)

    async def _shake(self, accepted: socket.socket) -> None:
        # A failed handshake is not logged: TLS itself reports it to the caller.
        with suppress(OSError):
            await self._loop.connect_accepted_socket(
                self._serve,
                accepted,
                ssl=self._certificates.context,
                ssl_handshake_timeout=self._seconds_max,
                ssl_shutdown_timeout=CLOSE_SECONDS_MAX,
            )
