"""The suite for locust: ``locust -f bench/locustfile.py --headless --scenario flash-sale``.

Needs a running server (``make run``); see docs/flash-sale.md.
"""

import os

# gevent starts other programs with a fork, and gRPC's handlers for that end one in twenty-five of them by SIGABRT.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import grpc.experimental.gevent

grpc.experimental.gevent.init_gevent()  # first: else all users wait while one of them waits for an answer

from sale.buyers import Claimer, Guesser, Replayer, Shopper, Till  # noqa: E402
from sale.play import Schedule  # noqa: E402

__all__ = ["Claimer", "Guesser", "Replayer", "Schedule", "Shopper", "Till"]
