"""Error replies: what this process sent, above all the password, does not come back into a log or a message."""

import pytest
from ledger.valkeys import READY, saying, valkey
from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog.testing import capture_logs
from waiting import SECONDS_MAX

from redemption.domain.errors import LedgerUnavailable
from redemption.ledger.commit.lane import Lane
from redemption.ledger.endpoint import Endpoint
from redemption.ledger.ledger import RedisLedger
from redemption.ledger.reply_text import without_secrets
from redemption.ledger.trust.fence import Fence

PASSWORD = "S3CRETpw"
NO_AUTH = ("--rename-command", "AUTH", "")
OLD = b"-ERR unknown command `AUTH`, with args beginning with: `alice`, `S3CRETpw`, \r\n"
FREE = b"-ERR I do not know AUTH alice S3CRETpw\r\n"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("ERR unknown command 'AUTH', with args beginning with: 'al' 'S3CRETpw' ", "ERR unknown command 'AUTH'"),
        ("ERR unknown command `AUTH`, with args beginning with: `S3CRETpw`, ", "ERR unknown command `AUTH`"),
        ("ERR Unknown command 'X' With Args Beginning With: 'a\nb'", "ERR Unknown command 'X'"),
        ("ERR AUTH alice S3CRETpw is not known", "ERR AUTH alice *** is not known"),
        ("ERR S3CRETpw,S3CRETpw", "ERR ***,***"),
        ("ERR no such thing as S3CRETpwd", "ERR no such thing as S3CRETpwd"),
        ("NOTTRUSTED epoch 1", "NOTTRUSTED epoch 1"),
        ("ERR", "ERR"),
        ("", ""),
    ],
)
def test_arguments_and_the_password_are_cut(text, cleaned):
    assert without_secrets(text, PASSWORD) == cleaned


@pytest.mark.parametrize(("password", "text"), [("", "ERR a"), ("OOM", "ERR OOM a"), ("NOLEDGER", "NOLEDGER a")])
def test_a_password_that_is_a_word_of_a_reply_does_not_make_it_another_reply(password, text):
    assert without_secrets(text, password) == text


async def started(url, tmp_path):
    """Why a ledger cannot be used, and all that was logged of it."""
    endpoint = Endpoint(url, "strict")
    fence = Fence(tmp_path / "fence", "keyset", {})
    ledger = RedisLedger(endpoint, fence=fence, may_create_ledger=False)
    lane = Lane(endpoint.pool(), endpoint, fence)
    with capture_logs() as logs:
        await ledger.start()
        with pytest.raises(LedgerUnavailable) as refused:
            await ledger.require_usable("demo")
        with pytest.raises(LedgerUnavailable) as of_lane:
            await lane.open()
        await ledger.stop()
    return refused.value.for_operator, f"{logs} {of_lane.value.for_operator} {of_lane.value.__cause__!r}"


@pytest.mark.parametrize("user", [f"alice:{PASSWORD}", f":{PASSWORD}"])
async def test_a_ledger_that_does_not_know_auth_tells_no_password(tmp_path, user):
    async with valkey(tmp_path, *READY, *NO_AUTH) as port:
        told, logged = await started(f"redis://{user}@127.0.0.1:{port}", tmp_path)
    assert "does not know the command AUTH: it was renamed or switched off" in told
    assert "unknown command 'AUTH'" in logged
    assert PASSWORD not in told + logged


@pytest.mark.parametrize(
    ("answer", "cause"), [(OLD, "does not know the command AUTH"), (FREE, "I do not know AUTH alice ***")]
)
async def test_other_servers_that_repeat_the_password_tell_none(tmp_path, answer, cause):
    """With the quotes of old versions of Redis, and in words of their own."""
    async with saying(answer=answer) as port:
        told, logged = await started(f"redis://alice:{PASSWORD}@127.0.0.1:{port}", tmp_path)
    assert cause in told
    assert PASSWORD not in told + logged


async def test_a_lane_cleans_the_replies_that_it_reads_itself(valkey, tmp_path):
    url = valkey.url
    async with Redis.from_url(url) as client:
        await client.execute_command("ACL", "SETUSER", "clerk", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    endpoint = Endpoint(url.replace("unix://", f"unix://clerk:{PASSWORD}@"), "strict")
    lane = Lane(endpoint.pool(), endpoint, Fence(tmp_path / "fence", "keyset", {}))
    await lane.open()
    try:
        (reply,) = await lane.exchange([b"*2\r\n$3\r\nFOO\r\n$8\r\nS3CRETpw\r\n"], SECONDS_MAX)
        assert isinstance(reply, RedisError)
        assert str(reply) == "ERR unknown command 'FOO'"
    finally:
        await lane.close()
        async with Redis.from_url(url) as client:
            await client.execute_command("ACL", "DELUSER", "clerk")
