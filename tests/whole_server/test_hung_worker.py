"""A real worker that hangs: its silence is noticed, and another one takes its place."""

import os
import signal
import sys

from served import Served
from waiting import until

from redemption.v1 import outcome_pb2

# A server as it is, but for the patience of its supervisor: 2 seconds in place of 5, so that the test is short.
IMPATIENT = """
import functools, sys
from redemption import app
from redemption.cli import main
app.Supervisor = functools.partial(app.Supervisor, silent_seconds_max=2.0, hung_seconds_max=2.0)
main()
"""


class Impatient(Served):
    """A server that waits for the words of its workers for a shorter time."""

    def command(self):
        _, _, _, *arguments = super().command()
        return [sys.executable, "-c", IMPATIENT, *arguments]


def test_a_worker_that_stops_is_replaced(tmp_path):
    """Only one that said that it is alive can be missed, so this is a test of the worker's own words as well."""
    server = Impatient(tmp_path).start()
    try:
        (token,) = server.client().mint(1, 1)
        stopped = server.workers[-1]
        os.kill(stopped, signal.SIGSTOP)
        until(lambda: set(server.workers) - {stopped})
        until(lambda: any("has said nothing for 2 s" in event.get("reason", "") for event in server.events()))
        client = server.client()  # on a new connection: the one before waits for the worker that stopped
        until(lambda: client.serving() == "SERVING")
        assert client.redeem(token, request_id="r1").outcome == outcome_pb2.OUTCOME_APPROVED
        until(lambda: stopped not in server.workers)
    finally:
        assert server.stop() == 0
