"""TLS: who the server is, and whom it lets in."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

MINIMUM = ssl.TLSVersion.TLSv1_2
GOODBYE_SECONDS_MAX = 1.0
"""How long a caller may take to say that it has heard of the end."""
ACCEPTS_AT_ONCE = 32
"""In a turn of the event loop; what is left waits for the next. A handshake costs a millisecond."""
NO_FILES_SECONDS = 0.1
"""How long to wait when the system has no file for a connection."""
_log = structlog.get_logger(__name__)


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


class CertificateUnusable(OSError):
    """A file of TLS cannot be read, or is not what it should be; the message names it."""


class Certificates:
    """What is in these files, for sockets that speak TLS.

    Attributes:
        context: What handshakes go by that begin now; ``reload`` puts another in its place.
    """

    def __init__(self, tls: Tls) -> None:
        """Read the files.

        Raises:
            CertificateUnusable: One cannot be read, or is not what it should be.
        """
        self._tls = tls
        self.context = _context_of(tls)

    def reload(self) -> None:
        """Read the files again, for handshakes from now on.

        Raises:
            CertificateUnusable: One cannot be read, or is not what it should be; what was read before stays.
        """
        self.context = _context_of(self._tls)  # one that is in use only adds authorities to those that it trusts


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


class TlsDoor:
    """Accepts connections on a socket that listens, and shakes hands before they are served.

    An event loop's own server tells nobody of a connection before the handshake, and keeps it when it is closed: those
    who connect and say nothing were neither counted nor ended.
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
            certificates: Who the server is, and whom it lets in, at the moment of each handshake.
            serve: Makes what serves a connection.
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
        """How many connections have not shaken hands."""
        return len(self._shaking)

    def listen(self, bound: socket.socket, backlog: int) -> None:
        """Begin to accept.

        Raises:
            OSError: Somebody else listens there.
        """
        bound.setblocking(False)
        bound.listen(backlog)
        self._listening = bound
        self._loop.add_reader(bound, self._accept)

    def close(self) -> None:
        """Accept no more; those that shake hands may go on."""
        if self._listening is not None:
            self._loop.remove_reader(self._listening)
            self._listening.close()
            self._listening = None

    def abort(self) -> None:
        """End the handshakes."""
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
        # Who fails to shake hands is told by TLS itself, and is no news to anybody else.
        with suppress(OSError):
            await self._loop.connect_accepted_socket(
                self._serve,
                accepted,
                ssl=self._certificates.context,
                ssl_handshake_timeout=self._seconds_max,
                ssl_shutdown_timeout=GOODBYE_SECONDS_MAX,
            )
