"""TLS of the command line: files that are wrong are named, and a handshake that fails says what to do."""

import datetime as dt
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from certificates import write_certificate, write_certificates
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from waiting import SECONDS_MAX

from redemption.cli import tls

NO_CERTIFICATE = "has no certificate; --tls-ca needs the PEM file of the authority that signed the server's certificate"
NO_PAIR = "must be a certificate and its key, both PEM, and the key without a password"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Certificates and keys, and files that are something else."""
    directory = tmp_path_factory.mktemp("tls")
    write_certificates(directory, "server", "client")
    (directory / "empty.pem").touch()
    (directory / "torn.pem").write_bytes((directory / "authority.pem").read_bytes()[:200])
    _, key = write_certificate(directory, "other")
    locked = serialization.BestAvailableEncryption(b"secret")
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (directory / "locked-key.pem").write_bytes(key.private_bytes(*kinds, locked))
    return directory


@pytest.fixture(scope="module")
def secure(files):
    """The ports of servers that speak TLS: with this certificate, and one that asks for certificates."""
    server = grpc.server(ThreadPoolExecutor(1))
    pair = [((files / "server-key.pem").read_bytes(), (files / "server.pem").read_bytes())]
    known = grpc.ssl_server_credentials(pair, (files / "authority.pem").read_bytes(), require_client_auth=True)
    ports = {
        "127.0.0.1": server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(pair)),
        "127.0.0.2": server.add_secure_port("127.0.0.2:0", grpc.ssl_server_credentials(pair)),
        "asks": server.add_secure_port("127.0.0.1:0", known),
    }
    server.start()
    yield ports
    server.stop(None).wait()


@pytest.mark.parametrize("name", ["server-key.pem", "empty.pem", "torn.pem"])
def test_a_file_without_a_certificate_is_named_before_the_server_is_called(command, files, name):
    """A library would say that no handshake can be made, as if the server were at fault."""
    ended = command("campaigns", "list", "--tls-ca", files / name, "--server", "127.0.0.1:1", "--json")
    assert (ended.code, ended.err) == (2, f"{files / name}: {NO_CERTIFICATE}\n")
    assert json.loads(ended.out)["error"]["exit_code"] == 2


@pytest.mark.parametrize(
    ("certificate", "key"),
    [
        ("client.pem", "server-key.pem"),
        ("client-key.pem", "client.pem"),
        ("client.pem", "empty.pem"),
        ("other.pem", "locked-key.pem"),
    ],
)
def test_a_certificate_of_the_caller_that_does_not_fit_its_key_is_named(command, files, monkeypatch, certificate, key):
    """OpenSSL would ask for the password of a key in the terminal."""
    monkeypatch.setenv("REDEMPTION_TLS_CLIENT_CERTIFICATE", str(files / certificate))
    monkeypatch.setenv("REDEMPTION_TLS_CLIENT_KEY", str(files / key))
    ended = command("campaigns", "list", "--tls-ca", files / "authority.pem", "--server", "127.0.0.1:1")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"{files / certificate}, {files / key}: {NO_PAIR}\n"


def list_campaigns(*arguments):
    """Run the command in a process of its own: the log of gRPC's servers is on standard error of this one."""
    typed = [sys.executable, "-m", "redemption", "campaigns", "list", *arguments]
    return subprocess.run(typed, capture_output=True, text=True, check=False, timeout=SECONDS_MAX)


def test_a_server_of_plain_text_is_told_from_one_that_does_not_run(files, fake):
    ended = list_campaigns("--tls-ca", files / "authority.pem", "--server", fake.address)
    why = "TLS: WRONG_VERSION_NUMBER; the server seems to speak plain text: leave --tls-ca out"
    told = f"redemption: cannot reach the server at {fake.address}: {why}\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", told)


@pytest.mark.parametrize(
    ("port", "host", "authority", "told"),
    [
        ("127.0.0.1", "127.0.0.1", "stranger", "the server's certificate was not signed by the authority in --tls-ca"),
        ("127.0.0.2", "127.0.0.2", "authority", "the server's certificate has other names than --server"),
        ("asks", "127.0.0.1", "authority", "it may ask for a certificate of its callers"),
        ("127.0.0.1", "127.0.0.1", None, "if it uses TLS, give --tls-ca"),
    ],
)
def test_a_failed_handshake_says_what_to_do(files, secure, port, host, authority, told):
    given = ["--tls-ca", files / f"{authority}.pem"] if authority else []
    ended = list_campaigns(*given, "--server", f"{host}:{secure[port]}")
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (3, "", 1)
    assert told in ended.stderr
    assert "is it running" not in ended.stderr


def test_where_nothing_listens_tls_is_no_reason(command, files):
    ended = command("campaigns", "list", "--tls-ca", files / "authority.pem", "--server", "127.0.0.1:1")
    assert (ended.code, ended.err.endswith("Connection refused; is it running? (redemption serve)\n")) == (3, True)


def test_how_long_a_key_is_the_server_decides(tmp_path):
    """A short one is a pair as well."""
    key = rsa.generate_private_key(65537, 1024)
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "short")]), dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "short.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "short-key.pem").write_bytes(key.private_bytes(*kinds))
    tls._require_pair(tmp_path / "short.pem", tmp_path / "short-key.pem")
