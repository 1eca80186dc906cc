"""The user of the operator's page: all works with it, and each command that it lacks is named at a start."""

import re
from pathlib import Path

import pytest
import pytest_asyncio
from builders.calls import calling
from house import House
from ledger.valkeys import READY, valkey
from redis.asyncio import Redis

from redemption.domain.campaign.campaign import CampaignState
from redemption.domain.outcome import Outcome
from redemption.ledger.permissions import LedgerForbids
from redemption.service.revoker import CustomerGiven, TokenGiven

PAGE = Path(__file__).parent.parent.parent / "docs" / "operating.md"
(LINE,) = re.findall(r"^ACL SETUSER redemption .*$", PAGE.read_text(), re.MULTILINE)
ALLOWED = re.findall(r" \+(\S+)", LINE)
NOT_MISSED = {"client|setinfo": {0, 2}, "select": {0}}
"""What a start does not miss, and in which databases: the client's name for itself, and the choice of the first one."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def port(tmp_path_factory):
    """The port of a Valkey of its own."""
    async with valkey(tmp_path_factory.mktemp("users"), *READY) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def admin(port):
    """Its operator."""
    async with Redis(port=port, decode_responses=True) as client:
        await client.execute_command(*LINE.replace("PASSWORD", "hunter2").split())
        await client.flushall()
        await client.acl_log_reset()
        yield client


@pytest.fixture
def serve(port, tmp_path, admin):
    """Make a server whose ledger is opened by the user of the page, in one of its databases."""
    return lambda database: House(
        f"redis://redemption:hunter2@127.0.0.1:{port}/{database}", tmp_path / "fence", program="demo"
    )


@pytest.mark.asyncio(loop_scope="session")
async def test_everything_works_with_the_user_of_the_page(serve, admin):
    async with serve(2) as house:
        await house.ledger.require_usable("demo")
        campaign = await house.campaign(name="all of it")
        tokens = await house.mint(campaign, 4)
        (code,) = await house.mint_codes(campaign)
        for source in (campaign, code):
            assert (await house.claim(source)).outcome is Outcome.APPROVED
        await house.quote(*tokens[:2], choose_best=True)
        attempt = house.attempt(tokens[0], customer="ann")
        for _ in range(2):
            assert (await house.send(attempt)).outcome is Outcome.APPROVED
        assert (await house.redeem(tokens[0])).outcome is Outcome.ALREADY_REDEEMED
        assert await house.finder.by_request(calling(), "demo", attempt.request_id)
        await house.revoke(TokenGiven(tokens[1]))
        await house.revoke(CustomerGiven("ann"), campaign=campaign.number)
        await house.inspect(tokens[1])
        await house.update(await house.campaigns.get(calling(), "demo", campaign.number), name="all of it, again")
        await house.set_state(campaign, CampaignState.ENDED)
        assert (await house.stats(campaign)).redeemed == 1
        operations = house.ledger.operations
        assert [row["trusted"] for row in await operations.status("demo")] == ["yes"]
        await operations.upgrade("demo", "demo")
        await operations.reset_clock("demo")
        await operations.adopt("demo")
    assert await admin.acl_log() == []


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("database", [0, 2])
@pytest.mark.parametrize("command", ALLOWED)
async def test_a_command_that_the_user_lacks_is_named(serve, admin, command, database):
    await admin.execute_command("ACL", "SETUSER", "redemption", f"-{command}")
    async with serve(database) as house:
        if database in NOT_MISSED.get(command, ()):
            await house.ledger.require_usable("demo")
            return
        with pytest.raises(LedgerForbids) as raised:
            await house.ledger.require_usable("demo")
    assert f"run {command}: allow it with +{command}" in raised.value.for_operator
    assert command not in raised.value.message
    assert "hunter2" not in raised.value.for_operator


def test_the_page_says_which_commands_a_start_does_not_miss():
    (told,) = re.findall(r"A start refuses a user that lacks one of these(.*?)\n\n", PAGE.read_text(), re.DOTALL)
    assert set(re.findall(r"`\+([^`]+)`", told)) == set(NOT_MISSED)
