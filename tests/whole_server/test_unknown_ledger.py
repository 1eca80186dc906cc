"""A server outside development whose ledger it does not know: it waits, and says so, until an operator adopts it."""

import subprocess
import sys
import time

import grpc
import pytest
from builders.keysets import keyset_of
from processes import answers
from served import Served
from waiting import until


def test_health_says_no_until_the_ledger_is_adopted(started, tmp_path, valkey):
    keyset = tmp_path / "production.keyset"
    keyset.write_bytes(keyset_of(environment="production", now=int(time.time())).to_json())
    keyset.chmod(0o600)
    environment = {
        "REDEMPTION_ENVIRONMENT": "production",
        "REDEMPTION_KEYSET": str(keyset),
        "REDEMPTION_REDIS_URL": valkey.url,
        "REDEMPTION_PROGRAM": "unknown",
    }
    assert answers(valkey.url)
    server = started(tmp_path, environment=environment)
    client = server.client()
    assert client.serving() == "NOT_SERVING"
    assert "remembers no ledger" in server.log()
    with pytest.raises(grpc.RpcError) as raised:
        client.create("too early")
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    command = [sys.executable, "-m", "redemption", "ledger", "adopt", "--program", "demo", "--yes"]
    subprocess.run(command, cwd=tmp_path, env=Served(tmp_path, environment=environment).environment, check=True)
    until(lambda: client.serving() == "SERVING")
    assert client.create("now").number
    assert server.process.poll() is None
