"""Sockets that outlive the workers that serve on them, and certificates that are read again."""

import os
import signal
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from certificates import write_certificate
from grpc_health.v1 import health_pb2, health_pb2_grpc
from served import Served, redeem_request
from waiting import SECONDS_MAX, until

from redemption import app
from redemption.rpc.transport import listener

OURS = ("--transport", "nghttp2")


def test_a_worker_leaves_the_queue_of_its_socket_as_long_as_the_supervisor_made_it():
    assert listener.BACKLOG == app.BACKLOG


def test_connections_that_wait_for_a_worker_are_served_by_the_one_that_takes_its_place(started, tmp_path):
    """A worker that is gone resets none of them: the supervisor keeps the socket in whose queue they wait."""
    server = started(tmp_path, *OURS)
    (killed,) = server.workers
    os.kill(killed, signal.SIGKILL)

    def ask(_):
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        with grpc.insecure_channel(f"127.0.0.1:{server.port}", options) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            return health.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS_MAX).status

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    assert set(answers) <= {health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING}
    until(lambda: server.workers and server.workers != [killed])
    assert server.stop() == 0


def is_refused(port):
    """Whether nobody takes a connection."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # the socket was closed while this connection waited in it
        return False
    return False


def test_new_connections_are_refused_while_the_last_calls_are_finished(started, tmp_path):
    """Workers that stopped accepting would not read it; a refused client connects to another server."""
    server = started(tmp_path, *OURS)
    token = server.sample_token
    shop = server.client()
    shop.serving()
    (worker,), valkey = server.workers, server.valkey
    os.kill(valkey, signal.SIGSTOP)
    try:
        call = shop.redemption.Redeem.future(redeem_request(token, request_id="last"), timeout=SECONDS_MAX)
        shop.serving()  # on the same connection: the order came before
        server.process.terminate()
        until(lambda: is_refused(server.port) or call.done())
        assert not call.done()
        assert server.workers == [worker]
    finally:
        os.kill(valkey, signal.SIGCONT)
    assert call.result(SECONDS_MAX).decision
    assert server.stop() == 0


def certificate_of(port):
    """The certificate that is shown to whoever connects now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as tls,
    ):
        return tls.getpeercert(binary_form=True)


@pytest.fixture
def stopped_shop(tmp_path):
    """A server with certificates that nobody has started yet."""
    write_certificate(tmp_path, "server")
    server = Served(tmp_path, *OURS, "--tls-certificate", "server.pem", "--tls-key", "server-key.pem")
    yield server
    server.stop()


@pytest.fixture
def shop(stopped_shop):
    return stopped_shop.start()


def logged(server, event):
    return sum(entry["event"] == event for entry in server.events())


def test_certificates_are_read_again_on_a_hangup(shop):
    before = certificate_of(shop.port)
    workers = shop.workers
    write_certificate(shop.directory, "server")
    shop.process.send_signal(signal.SIGHUP)
    until(lambda: logged(shop, "the certificates were read again"))
    assert certificate_of(shop.port) != before
    assert shop.workers == workers, "nobody was started again"


def test_certificates_that_cannot_be_read_leave_the_old_ones_in_use(shop):
    before = certificate_of(shop.port)
    (shop.directory / "server-key.pem").write_text("no key")
    shop.process.send_signal(signal.SIGHUP)
    until(lambda: logged(shop, "the certificates cannot be read again; the old ones stay"))
    assert certificate_of(shop.port) == before


def test_a_hangup_does_not_end_a_worker_that_starts_and_is_not_forgotten(stopped_shop):
    """Whoever renews certificates does not know which server is starting at that moment."""
    server = stopped_shop
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(server.start)
        (worker,) = until(lambda: server.process and server.workers)
        os.kill(worker, signal.SIGHUP)
        server.process.send_signal(signal.SIGHUP)
        started.result(SECONDS_MAX)
    assert server.workers == [worker]
    until(lambda: logged(server, "the certificates were read again"))


def test_a_hangup_does_not_end_a_worker_that_takes_anothers_place(shop):
    (killed,) = shop.workers
    os.kill(killed, signal.SIGKILL)
    (worker,) = until(lambda: [pid for pid in shop.workers if pid != killed])
    os.kill(worker, signal.SIGHUP)
    shop.process.send_signal(signal.SIGHUP)
    until(lambda: logged(shop, "the certificates were read again"))
    assert shop.workers == [worker]
