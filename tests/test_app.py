"""What operators do with a ledger, from settings to an answer: why it cannot be done is told."""

import asyncio
import time

import pytest
from builders.keysets import keyset_of
from ledger.valkeys import free_port
from pydantic import SecretStr

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
