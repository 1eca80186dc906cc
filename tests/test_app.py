"""What operators do with a ledger, from settings to an answer: why it cannot be done is told, and no secret with it."""

import asyncio
import os
import sys
import time

import pytest
from builders.keysets import keyset_of
from ledger.valkeys import READY, free_port, valkey
from pydantic import SecretStr
from waiting import SECONDS_MAX

from redemption import app
from redemption.server.startup import StartRefused
from redemption.settings import Settings

PASSWORD = "S3CRETpw"


@pytest.fixture
def settings(tmp_path):
    """Settings for the ledger at a port, with a keyset."""
    keyset = tmp_path / "keyset"
    keyset.write_bytes(keyset_of(environment="production", now=int(time.time())).to_json())
    keyset.chmod(0o600)

    def at(port):
        url = SecretStr(f"redis://alice:{PASSWORD}@127.0.0.1:{port}")
        return Settings(redis_url=url, keyset=keyset, environment="production")

    return at


def causes(error):
    """The errors that led to one; none of them comes twice."""
    found = [error]
    while (cause := found[-1].__cause__) is not None:
        assert cause not in found
        found.append(cause)
    return found


async def test_why_a_ledger_cannot_be_asked_is_told_with_its_causes(settings):
    with pytest.raises(StartRefused, match="refuses the connection: nothing listens there") as refused:
        await asyncio.to_thread(app.ledger_status, settings(free_port()))
    assert len(causes(refused.value)) > 1


async def test_no_command_tells_the_password_of_a_ledger_that_does_not_know_auth(settings, tmp_path):
    """Neither on standard output, nor in the log or the last line; the server's process and the operator's."""
    async with valkey(tmp_path, *READY, "--rename-command", "AUTH", "") as port:
        given = settings(port)
        environment = {
            **os.environ,
            "REDEMPTION_REDIS_URL": given.redis_url.get_secret_value(),
            "REDEMPTION_KEYSET": str(given.keyset),
            "REDEMPTION_ENVIRONMENT": given.environment,
            "REDEMPTION_LISTEN": "127.0.0.1:0",
        }
        for arguments in (["serve"], ["ledger", "status"], ["ledger", "status", "--json"]):
            command = [sys.executable, "-m", "redemption", *arguments]
            ended = await asyncio.create_subprocess_exec(
                *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            async with asyncio.timeout(SECONDS_MAX):
                told = (await ended.communicate())[0].decode()
            assert "does not know the command AUTH" in told
            assert PASSWORD not in told
            assert "alice" not in told
