"""Servers of a bench do not outlive it."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from tool_loader import BENCH
from waiting import SECONDS_MAX

PROGRAM = """
import time
from under_test import script_server
with script_server("empty_server.py", workers=2) as server:
    print(*(worker.pid for worker in server.workers), flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_whoever_ends_a_bench_ends_its_servers(number):
    environment = {**os.environ, "PYTHONPATH": str(BENCH)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert len(workers) == 2
        assert all(map(psutil.pid_exists, workers))
        process.send_signal(number)
        _, told = process.communicate(timeout=SECONDS_MAX)
    assert told.splitlines()[-1] == "KeyboardInterrupt"
    assert not any(map(psutil.pid_exists, workers))
