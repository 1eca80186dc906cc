"""A clock that was ahead once, as the operator's page tells it: what is seen, and the way out."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from redis import Redis
from waiting import SECONDS_MAX, until

from redemption.client import failure_of
from redemption.v1 import outcome_pb2

PAGE = (
    (Path(__file__).parent.parent.parent / "docs" / "operating.md").read_text().partition("## A clock that is wrong")[2]
)
TWO_DAYS_MS = 2 * 86_400_000


def run(server, command):
    """Run a command as an operator does, beside the running server."""
    words = [sys.executable, "-m", *command.split()]
    return subprocess.run(
        words,
        cwd=server.directory,
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def test_a_clock_that_was_ahead_is_mended_as_the_page_says(served):
    status, reset = re.findall(r"^\$ (redemption ledger .*)$", PAGE, re.MULTILINE)
    client = served.client()
    (token,) = client.mint(1, 1)
    ahead = int(time.time() * 1000) + TWO_DAYS_MS
    with Redis(unix_socket_path=str(next(Path(served.directory, ".data").rglob("*.sock")))) as ledger:
        ledger.hset("{demo}:ledger", "clock_ms", ahead)
    with pytest.raises(grpc.RpcError) as refused:
        client.redeem(token, request_id="r1")
    assert failure_of(refused.value).reason == "LEDGER_CLOCK_AHEAD"
    assert "redemption ledger" not in failure_of(refused.value).message, "that is for the operator, who reads the log"
    (logged,) = until(lambda: [each for each in served.events() if each["event"] == "the program is refused"])
    assert "redemption ledger reset-clock" in logged["cause"]
    until(lambda: client.serving() == "NOT_SERVING")  # it is the only program
    seen = run(served, status)
    assert seen.returncode == 5
    assert re.search(r"^clock +20\d\d-.* UTC, 17\d{4} s ahead of this machine$", seen.stdout, re.MULTILINE)
    assert re.search(r"^trusted +the program's ledger remembers a time that has not come", seen.stdout, re.MULTILINE)
    mended = run(served, f"{reset} --yes")
    assert (mended.returncode, mended.stderr) == (0, "")
    assert client.redeem(token, request_id="r1").outcome == outcome_pb2.OUTCOME_APPROVED
    (row,) = json.loads(run(served, f"{status} --json").stdout)
    assert row["trusted"] == "yes"
    assert "ahead" not in row["clock"]
