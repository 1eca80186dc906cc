"""An address belongs to one server and its workers, and why one cannot be served is explained. Real sockets."""

import socket
import sys

import pytest

from redemption.server import port_holder
from redemption.server.listening import ListenError, PortInUseError, address_text, reserve_port


@pytest.fixture
def chosen_ports(monkeypatch, tmp_path):
    """Set which ports the system gives to connections by itself."""

    def set_range(text):
        (tmp_path / "range").write_text(text)
        monkeypatch.setattr(port_holder, "_CHOSEN_PORTS", tmp_path / "range")

    return set_range


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which connections there are")
def test_a_port_that_a_connection_got_by_chance_is_no_other_server(chosen_ports):
    """Which end opened it is not told: nobody knows."""
    chosen_ports("1024\t65535\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", peer)) as connection:
            port = connection.getsockname()[1]
            expected = (
                rf"held by a connection of this machine \(its other end has port {peer}\), and nobody listens.*"
                rf"a port outside of 1024 to 65535 with --listen.*ip_local_reserved_ports={port}"
            )
            with pytest.raises(PortInUseError, match=expected), reserve_port("127.0.0.1", port):
                pass
        with pytest.raises(PortInUseError, match="stop the other server"), reserve_port("127.0.0.1", peer):
            pass


@pytest.mark.parametrize("ports", ["1 2", "", "a b"])
def test_a_server_that_finishes_its_last_calls_is_another_server(chosen_ports, ports):
    """It listens no more, but its connections hold a port that the system gives to nobody by itself."""
    chosen_ports(ports)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))  # without SO_REUSEADDR, which would let others bind the port now
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection(server.getsockname()), server.accept()[0]:
            server.close()
            expected = f"port {port} on 127.0.0.1 is in use; stop the other server"
            with pytest.raises(PortInUseError, match=expected), reserve_port("127.0.0.1", port):
                pass


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::1", "::"])
def test_a_held_port_is_ours_and_shared_by_our_workers_only(host):
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    with reserve_port(host, 0) as port:
        where = (address[0], port)
        with pytest.raises(PortInUseError, match=f"port {port} on {host} is in use"), reserve_port(host, port):
            pass
        with socket.socket(family) as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                stranger.bind(where)
        for _ in range(2):
            with socket.create_server(where, family=family, reuse_port=True):
                pass
    with reserve_port(host, port) as again:
        assert again == port


def test_connections_that_linger_after_a_server_do_not_keep_its_port():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with socket.create_connection(other.getsockname()) as client:
            other.accept()[0].close()  # closed by the server first: its end waits for a minute
            client.recv(1)
    with reserve_port("127.0.0.1", port) as held:
        assert held == port


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("nosuch.invalid", 1, "cannot find the host 'nosuch.invalid'"),
        ("192.0.2.1", 1, "192.0.2.1 is not an address of this machine"),
        ("127.0.0.1", 65536, "65536 is not a port"),
    ],
)
def test_an_address_that_cannot_be_served_is_explained(host, port, message):
    with pytest.raises(ListenError, match=f"{message}.*--listen"), reserve_port(host, port):
        pass


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", "127.0.0.1:5"), ("::1", "[::1]:5"), ("localhost", "localhost:5")]
)
def test_an_address_is_told_as_people_write_it(host, expected):
    assert address_text(host, 5) == expected
