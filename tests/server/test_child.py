"""A signal to a process that has just ended does not take its exit code away."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

from redemption.server.child import send_signal


def test_a_process_that_has_ended_keeps_its_exit_code_for_whoever_waits_for_it():
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(4)"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked for its exit code
    send_signal(SimpleNamespace(pid=process.pid, returncode=None), signal.SIGTERM)
    assert process.wait() == 4


def test_a_process_that_runs_gets_the_signal_and_one_that_is_gone_gets_none():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    send_signal(SimpleNamespace(pid=process.pid, returncode=0), signal.SIGTERM)
    assert process.poll() is None
    send_signal(SimpleNamespace(pid=process.pid, returncode=None), signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    send_signal(SimpleNamespace(pid=process.pid, returncode=None), signal.SIGTERM)
