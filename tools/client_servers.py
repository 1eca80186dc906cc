"""Runs the servers under test: the real service in private directories, in plain text and with TLS."""

import datetime as dt
import ipaddress
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from redemption.cli.demo.server import private_server
from redemption.client import Tls

_HOUR = dt.timedelta(hours=1)


class Server:
    """One server; ``restart`` replaces it by another one with the same port and ledger.

    Attributes:
        port: Its port on 127.0.0.1.
    """

    def __init__(self, stack: ExitStack, directory: Path, *flags: str) -> None:
        """Start it; the stack stops it.

        Raises:
            Stop: It did not start.
        """
        self._directory = directory
        self._flags = flags
        self._running = stack.enter_context(ExitStack())
        self._logs: list[list[str]] = []
        self.port = 0
        self._start()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def complaints(self) -> list[str]:
        """Return the lines of its log above level info; call it after the server has stopped."""
        return [line for log in self._logs for line in log if line.strip() and not _is_information(line)]

    def restart(self) -> None:
        """Stop it with SIGTERM, and start another one in its place."""
        self._running.close()
        self._start()

    def _start(self) -> None:
        server = self._running.enter_context(
            private_server(
                *("--transport", "nghttp2", "--listen", self.address),
                *("--data-dir", f"{self._directory}/ledger", "--keyset", f"{self._directory}/clients.keyset"),
                *self._flags,
            )
        )
        self._logs.append(server.log)
        self.port = int(server.address.rpartition(":")[2])


def _is_information(line: str) -> bool:
    try:
        return json.loads(line)["level"] in {"debug", "info"}
    except (ValueError, KeyError, TypeError):
        return False


@contextmanager
def server_on(directory: Path, *flags: str) -> Iterator[Server]:
    """Run a server with the ledger and the keyset in a directory; stop it when the block ends."""
    with ExitStack() as stack:
        yield Server(stack, directory, *flags)


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: an authority, and the certificates that it signed for a server and a client at 127.0.0.1."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path

    def of_client(self) -> Tls:
        """Return the TLS settings with which our own client sends the client certificate."""
        return Tls(self.ca.read_bytes(), self.client.read_bytes(), self.client_key.read_bytes())


def write_certificates(directory: Path) -> Certificates:
    """Write certificates that are valid for an hour."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _name("authority")
    _write(directory, "authority", authority_key, _built(authority, authority, authority_key, authority_key))
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        _write(directory, name, key, _built(_name(name), authority, key, authority_key))
    paths = [directory / f"{name}.pem" for name in ("authority", "server", "server-key", "client", "client-key")]
    return Certificates(*paths)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _built(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _HOUR)
        .not_valid_after(now + _HOUR)
        .add_extension(x509.BasicConstraints(ca=subject == issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([here]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _write(directory: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    (directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / f"{name}-key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
