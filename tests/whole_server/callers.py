"""Callers that repeat a request until it is answered, while a server is killed or stopped."""

import threading
import time

import grpc
from served import Client
from waiting import SECONDS_MAX, until


class Caller(threading.Thread):
    """Asks for one thing after the other, for each again under the same request id until it is answered."""

    def __init__(self, channel, asked, ask):
        super().__init__(daemon=True)
        self.client = Client(channel)
        self.asked = asked
        self.ask = ask
        self.answers = {}
        self.failures = []
        self.enough = threading.Event()

    def run(self):
        for request_id, what in self.asked.items():
            while not self.enough.is_set():
                try:
                    self.answers[request_id] = self.ask(self.client, request_id, what)
                except grpc.RpcError as error:
                    self.failures.append(error.code())
                    time.sleep(0.02)
                    continue
                break


class Load:
    """Several callers at once, each with its part of what is asked for.

    Attributes:
        asked: What is asked for, by request id; ``ask`` asks with a client, a request id and that.
    """

    def __init__(self, server, callers, asked, ask):
        self.asked = asked
        self._callers = [
            Caller(server.channel(), dict(list(asked.items())[part::callers]), ask) for part in range(callers)
        ]
        for caller in self._callers:
            caller.start()

    @property
    def answers(self):
        """Every answer so far, by request id."""
        return {name: answer for caller in self._callers for name, answer in caller.answers.copy().items()}

    @property
    def failures(self):
        """The status of every call that failed so far."""
        return [failure for caller in self._callers for failure in caller.failures]

    def until_answered(self, more):
        """Wait until so many more are answered."""
        before = len(self.answers)
        until(lambda: len(self.answers) > before + more)

    def stop(self):
        """Ask no more, and wait for the last calls."""
        for caller in self._callers:
            caller.enough.set()
        for caller in self._callers:
            caller.join(SECONDS_MAX)
