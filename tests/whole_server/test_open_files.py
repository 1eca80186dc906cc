"""A server whose processes may open few files: idle connections never keep it from its ledger."""

import contextlib
import os
import signal
import socket

import grpc
from served import Served, redeem_request
from waiting import SECONDS_MAX, until

from redemption.server.open_files import FILES_RESERVED
from redemption.v1 import outcome_pb2

HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
CONNECTIONS = 72


class FewFiles(Served):
    """A server that is started with limits of open files, soft and hard."""

    soft, hard = FILES_RESERVED // 2, FILES_RESERVED + CONNECTIONS

    def command(self):
        limits = f'ulimit -S -n {self.soft}; ulimit -H -n {self.hard}; exec "$@"'
        return ["sh", "-c", limits, "sh", *super().command()]


def is_kept(connection):
    """Whether the server greets on a connection, and does not close it."""
    try:
        return connection.recv(1) != b""
    except ConnectionError:
        return False


def test_idle_connections_never_keep_a_server_from_its_ledger(tmp_path):
    """The ledger's connections are lost while all others are taken, and are opened again."""
    server = FewFiles(tmp_path)
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        server.start()
        (told,) = [event for event in server.events() if "files_max" in event]
        assert (told["connections"], told["files_max"]) == (CONNECTIONS, FewFiles.hard)
        shop = server.client()
        first, second = shop.mint(1, 2)
        shop.redeem(first, request_id="r1")
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS_MAX))
            for _ in range(FewFiles.hard)
        ]
        for connection in idle:
            with contextlib.suppress(ConnectionError):
                connection.sendall(HTTP2_GREETING)
        assert 0 < sum(map(is_kept, idle)) < CONNECTIONS
        lost = server.valkey
        os.kill(lost, signal.SIGKILL)
        until(lambda: server.valkey not in (None, lost))
        decision = until(lambda: answer(shop, second))
        assert decision.outcome == outcome_pb2.OUTCOME_APPROVED


def answer(shop, token):
    """The decision, or None while the ledger starts."""
    try:
        return shop.redemption.Redeem(redeem_request(token, request_id="r2"), timeout=SECONDS_MAX).decision
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return None


def test_a_server_that_may_open_too_few_files_says_so_in_one_line(tmp_path):
    server = FewFiles(tmp_path)
    server.soft = server.hard = FILES_RESERVED
    ended = server.run_to_end()
    assert ended.returncode == 4
    (line,) = ended.stderr.splitlines()
    assert f"a process may open {FILES_RESERVED} files here (ulimit -Hn)" in line
    assert not list(tmp_path.iterdir())
