"""Health says SERVING when all calls succeed, and NOT_SERVING whenever no write can: a real Valkey, spoilt each way."""

import asyncio

import pytest
from house import House
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from structlog.testing import capture_logs
from waiting import SECONDS_MAX

from redemption.domain.campaign.campaign import CampaignState
from redemption.domain.errors import LedgerRefused, LedgerUnavailable
from redemption.domain.outcome import Outcome
from redemption.domain.risk.rules import VelocityRule
from redemption.domain.risk.subjects import SubjectKind
from redemption.ledger import ledger as module
from redemption.ledger.commit.batcher import LANES
from redemption.ledger.reachability import GRACE_SECONDS, LedgerDown
from redemption.ledger.trust.reply_errors import LedgerFull
from redemption.server.embedded_valkey import EmbeddedValkey
from redemption.service.revoker import TokenGiven


@pytest.fixture
async def own(tmp_path):
    """A Valkey that a test may spoil."""
    server = EmbeddedValkey(tmp_path / "data", memory_bytes_max=64 * 2**20)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def shop(own, tmp_path):
    """A server on it, whose check runs when the test says so."""
    async with House(own.url, tmp_path / "fence", program="shop") as built:
        await built.campaign()
        built.ledger._watching.cancel()
        await built.ledger.check()
        yield built


@pytest.fixture
def told(shop):
    """What load balancers are told."""
    changes = []
    shop.ledger.health.on_change(changes.append)
    return changes


async def settled_memory(redis):
    """The ledger's used memory, once it has freed what tests before have left, which it does in the background."""
    used, before = (await redis.info("memory"))["used_memory"], 0
    while abs(used - before) > used // 500:
        await asyncio.sleep(0.05)
        used, before = (await redis.info("memory"))["used_memory"], used
    return used


async def test_a_ledger_without_memory_answers_what_it_remembers_and_nothing_flaps(shop, told):
    first, second = await shop.mint(shop.ledger.campaigns.cached("shop", 1), 2)
    attempt = shop.attempt(first)
    decision = await shop.send(attempt)
    with capture_logs() as logs:
        await shop.redis.config_set("maxmemory", "1mb")
        for _ in range(3):
            await shop.ledger.check()
            with pytest.raises(LedgerFull):
                await shop.redeem(second)
            assert await shop.send(attempt) == decision
            assert (await shop.redeem(first)).outcome is Outcome.ALREADY_REDEEMED, "a refusal needs no write"
    assert told == [False]
    assert shop.ledger._reachability.lost_at is None, "else calls would fail unasked"
    assert [entry["event"] for entry in logs if entry["log_level"] != "info"] == ["ledger does not serve"]
    used = await settled_memory(shop.redis)
    await shop.redis.config_set("maxmemory", int(used * 1.01))  # it wavers at the limit
    await shop.ledger.check()
    assert told == [False]
    await shop.redis.config_set("maxmemory", "64mb")
    await shop.ledger.check()
    assert told == [False, True]
    assert (await shop.redeem(second)).outcome is Outcome.APPROVED


async def test_a_ledger_without_memory_takes_what_an_operator_needs_in_an_emergency(shop):
    """Rules, lists, pauses and revocations; nothing else is written."""
    campaign = shop.ledger.campaigns.cached("shop", 1)
    first, second, third = await shop.mint(campaign, 3)
    await shop.apply_rules(VelocityRule("device", SubjectKind.DEVICE, 5, 60_000, 5))
    await shop.redis.config_set("maxmemory", "1mb")
    await shop.ledger.check()
    with pytest.raises(LedgerFull):
        await shop.redeem(first)
    await shop.apply_rules(VelocityRule("device", SubjectKind.DEVICE, 1, 60_000, 1))
    await shop.list_subjects((SubjectKind.CUSTOMER, "eve"))
    await shop.list_subjects((SubjectKind.CUSTOMER, "bob"))
    await shop.unlist_subjects((SubjectKind.CUSTOMER, "bob"))
    await shop.revoke(TokenGiven(second))
    with pytest.raises(LedgerFull):
        await shop.mint(campaign)
    assert (await shop.redeem(first, customer="eve")).outcome is Outcome.DENYLISTED
    assert (await shop.redeem(second, customer="ann")).outcome is Outcome.REVOKED
    await shop.set_state(campaign, CampaignState.PAUSED)
    assert (await shop.redeem(third, customer="ann")).outcome is Outcome.CAMPAIGN_PAUSED
    await shop.redis.config_set("maxmemory", "64mb")
    await shop.ledger.check()


async def test_paused_writes_are_noticed_though_everything_can_be_read(shop, told, monkeypatch):
    await shop.redis.client_pause(timeout=int(SECONDS_MAX * 1000), all=False)
    with monkeypatch.context() as patch:
        patch.setattr(module, "CHECK_SECONDS_MAX", 0.3)
        await shop.ledger.check()
    assert isinstance(shop.ledger.health.failure, LedgerUnavailable)
    assert "answers reads and lets writes wait" in shop.ledger.health.failure.for_operator
    await shop.redis.client_unpause()
    await shop.ledger.check()
    assert told == [False, True]


async def test_while_writes_are_paused_calls_fail_at_once_though_reads_are_answered(shop, told, monkeypatch, clock):
    """Neither the reads of the check nor those of others say that an order could be written."""
    first, second = await shop.mint(campaign := shop.ledger.campaigns.cached("shop", 1), 2)
    await shop.redis.client_pause(timeout=int(SECONDS_MAX * 1000), all=False)
    with monkeypatch.context() as patch:
        patch.setattr(module, "CHECK_SECONDS_MAX", 0.2)
        for _ in range(3):
            await shop.ledger.check()
            if shop.ledger._reachability.failure() is None:
                assert await shop.quote(first), "in the first moments calls are sent"
            clock.forward(GRACE_SECONDS)
            for call in (lambda: shop.redeem(first), lambda: shop.quote(first), lambda: shop.mint(campaign)):
                with pytest.raises(LedgerDown, match="nothing was done"):
                    await call()
    await shop.redis.client_unpause()
    await shop.ledger.check()
    assert told == [False, True]
    for token in (first, second):
        assert (await shop.redeem(token)).outcome is Outcome.APPROVED


@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        ("~* &* +@all -fcall", "fcall"),
        ("~{other}:* ~{other} &* +@all", "key"),
        ("~* &* +@all -hset -xadd", "+hset +xadd"),
        ("~* &* +@all -waitaof", "waitaof"),
        ("~* resetchannels +@all", "&redemption_proof"),
    ],
)
async def test_a_user_without_a_right_that_is_needed_is_not_served(own, shop, tmp_path, rights, missing):
    """Everything that the checks only read is allowed; what is missing is in the log."""
    await shop.redis.execute_command("ACL", "SETUSER", "clerk", "on", ">pass", *rights.split())
    shop.ledger._saving.save()
    url = own.url.replace("unix://", "unix://clerk:pass@")
    with capture_logs() as logs:
        async with House(url, tmp_path / "fence", program="shop", keyset=shop.keyset) as clerk:
            assert clerk.ledger.health.failure is not None
    assert missing in " ".join(f"{entry.get('message')} {entry.get('cause')}" for entry in logs)


async def test_the_only_program_that_is_refused_is_not_served_and_one_of_two_does_not_stop_the_other(shop, told):
    async with shop.another(shop.fence.path.with_name("other"), program="other") as other:
        await other.campaign()
    key = shop.key("events")
    stored = await shop.redis.dump(key)
    await shop.redis.delete(key)
    await shop.redis.set(key, "planted")
    with capture_logs() as logs:
        for _ in range(3):
            await shop.ledger.check()
    assert told == [False]
    assert shop.ledger._reachability.lost_at is None, "it answers, so calls go on and are told the reason"
    (line,) = [entry for entry in logs if entry["event"] == "the program is refused"]
    assert line["program"] == "shop"
    assert "wrong kind of value" in line["cause"]
    shop.fence.observe("other", other.fence.mark("other").epoch, 1)
    await shop.ledger.check()
    assert told == [False, True]
    await shop.redis.restore(key, 0, stored, replace=True)
    with capture_logs() as logs:
        await shop.ledger.check()
    assert [entry["event"] for entry in logs] == ["the program is served again"]


async def test_connections_that_are_killed_say_nothing_of_the_ledger(shop, told):
    tokens = await shop.mint(shop.ledger.campaigns.cached("shop", 1), 20)
    for token in tokens:
        await shop.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        outcome, _ = await asyncio.gather(shop.redeem(token), shop.ledger.check())
        assert outcome.outcome is Outcome.APPROVED
    assert told == []


async def test_functions_that_are_gone_are_loaded_again_and_logged_as_that(shop, told):
    *others, token = await shop.mint(shop.ledger.campaigns.cached("shop", 1), LANES + 1)
    for other in others:
        await shop.redeem(other)
    for use in (lambda: shop.redeem(token), shop.ledger.check, lambda: shop.inspect(token)):
        await shop.redis.function_flush()
        with capture_logs() as logs:
            await use()
        assert ["FUNCTION FLUSH" in entry["event"] for entry in logs] == [True]
    assert told == []


async def until_it_fails(ask):
    while True:
        await ask()


async def test_a_busy_ledger_is_unavailable_and_not_refused(own, shop, told):
    """Whoever runs a long script keeps everybody waiting, and when it has ended nothing has to be mended."""
    await shop.redis.config_set("busy-reply-threshold", 1)
    async with Redis.from_url(own.url) as stranger:
        loop = asyncio.create_task(stranger.eval("while true do end", 0))
        with pytest.raises(ResponseError, match="BUSY"):
            await until_it_fails(shop.redis.ping)
        await shop.ledger.check()
        assert not isinstance(shop.ledger.health.failure, LedgerRefused)
        shop.ledger.health.require()
        await shop.redis.script_kill()
        await asyncio.wait({loop})
        assert loop.exception() is not None
    await shop.ledger.check()
    assert told == [False, True]
