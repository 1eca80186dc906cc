"""TLS on a real port: which clients are accepted, with which certificate, and the error of all others."""

import os
import subprocess
import sys

import grpc
import pytest
from certificates import write_certificates
from served import Served
from waiting import SECONDS_MAX


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A server that speaks TLS and asks for certificates, its directory, and a token."""
    directory = tmp_path_factory.mktemp("tls")
    write_certificates(directory, "server", "checkout")
    arguments = ("--tls-certificate", "server.pem", "--tls-key", "server-key.pem", "--tls-client-ca", "authority.pem")
    server = Served(directory, *arguments).start()
    yield server
    server.stop()


def redeem(shop, **settings):
    """Redeem the server's own sample token on the command line with settings."""
    token = shop.sample_token
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REDEMPTION_")}
    environment |= {f"REDEMPTION_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "redemption", "redeem", token, "--order", "o", "--spend", "238.00"]
    command += ["--server", f"127.0.0.1:{shop.port}", "--request-id", "r"]
    return subprocess.run(
        command, cwd=shop.directory, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )


def test_a_known_checkout_is_let_in(shop):
    known = {"tls_ca": "authority.pem", "tls_client_certificate": "checkout.pem", "tls_client_key": "checkout-key.pem"}
    ended = redeem(shop, **known)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("APPROVED")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tls_ca": "authority.pem"},
        {"tls_ca": "stranger.pem"},
        {"tls_ca": "authority.pem", "tls_client_certificate": "stranger.pem", "tls_client_key": "stranger-key.pem"},
    ],
    ids=["plain text", "no certificate", "another authority", "a certificate of another authority"],
)
def test_a_caller_without_a_known_certificate_is_refused(shop, settings):
    ended = redeem(shop, **settings)
    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 1
    assert "Traceback" not in ended.stderr


def test_half_a_certificate_is_told(shop):
    ended = redeem(shop, tls_ca="authority.pem", tls_client_certificate="checkout.pem")
    assert (ended.returncode, ended.stderr) == (
        2,
        "redemption: tls_client_certificate and tls_client_key go together: give both, or none\n",
    )


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("missing.pem", "server-key.pem", "missing.pem"),
        ("server-key.pem", "server-key.pem", "server-key.pem"),
        ("server.pem", "missing.pem", "missing.pem"),
    ],
)
def test_a_certificate_that_cannot_be_used_stops_the_start(shop, tmp_path, certificate, key, said):
    """The worker finds it out; what to change is the last line all the same, and for several workers, too."""
    for name in ("server.pem", "server-key.pem"):
        (tmp_path / name).write_bytes((shop.directory / name).read_bytes())
    files = ("--tls-certificate", certificate, "--tls-key", key)
    refused = Served(tmp_path, *files, "--workers", "2").run_to_end()
    assert refused.returncode == 4
    assert "Traceback" not in refused.stderr
    *before, last = refused.stderr.splitlines()
    assert last.startswith("redemption: ")
    assert said in last
    assert all(line.startswith("{") for line in before), "one line for people"


def test_plain_text_gets_no_answer(shop):
    with grpc.insecure_channel(f"127.0.0.1:{shop.port}") as channel:
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=3)
        assert raised.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
