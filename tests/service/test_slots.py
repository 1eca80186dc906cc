"""Shares by time of day on the real ledger: exact, also when slots are redefined in the middle of one."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from builders.calls import calling

from redemption.domain.campaign.campaign import Limits, Slot, SlotLimits
from redemption.domain.outcome import Disposition, Outcome

ZONE = ZoneInfo("Asia/Shanghai")
"""That of the campaigns."""


@pytest.fixture(autouse=True)
async def noon(house):
    """Noon of tomorrow: the tests need some time before and after it in the same day."""
    local = datetime.fromtimestamp(house.ledger.now_ms() / 1000, ZONE) + timedelta(days=1)
    await house.campaign()
    await house.set_clock(int(local.replace(hour=12, minute=0, second=0, microsecond=0).timestamp()) * 1000)
    await house.campaign()  # the server learns of it


def minute_now(house):
    """The minute of the day."""
    local = datetime.fromtimestamp(house.ledger.now_ms() / 1000, ZONE)
    return local.hour * 60 + local.minute


async def change(house, campaign, slots):
    """Give a campaign other slots."""
    current = await house.campaigns.get(calling(), house.program, campaign.number)
    return await house.update(current, limits=Limits(slots=slots))


async def approvals(house, tokens, tries):
    """Redeem until the slot is full; returns how many were approved, and the last decision."""
    approved = 0
    for _ in range(tries):
        decision = await house.redeem(tokens.pop())
        if decision.outcome is not Outcome.APPROVED:
            return approved, decision
        approved += 1
    return approved, decision


async def test_a_slot_gives_its_share_and_says_when_the_next_one_begins(house):
    now = minute_now(house)
    campaign = await house.campaign(slots=SlotLimits((Slot(0, now, 9), Slot(now, 1439, 2), Slot(1439, 1440, 9))))
    tokens = await house.mint(campaign, 20)
    approved, decision = await approvals(house, tokens, 5)
    assert approved == 2
    assert (decision.outcome, decision.disposition) == (Outcome.SLOT_LIMIT, Disposition.TRY_LATER)
    again = datetime.fromtimestamp(decision.verdicts[0].detail.try_after_ms / 1000, ZONE)
    assert (again.hour, again.minute) == (23, 59)


async def test_outside_of_all_slots_nothing_is_redeemed(house):
    now = minute_now(house)
    campaign = await house.campaign(slots=SlotLimits((Slot(0, now, 9), Slot(now + 1, 1440, 9))))
    approved, decision = await approvals(house, await house.mint(campaign, 3), 1)
    assert minute_now(house) > now or (approved, decision.outcome) == (0, Outcome.SLOT_LIMIT)


async def test_a_share_stays_used_up_whatever_happens_to_the_slots_around_it(house):
    now = minute_now(house)
    before, present = Slot(0, now, 1), Slot(now, 1440, 2)
    campaign = await house.campaign(slots=SlotLimits((before, present)))
    tokens = await house.mint(campaign, 30)
    assert (await approvals(house, tokens, 5))[0] == 2
    for slots in (SlotLimits((present,)), SlotLimits((before, present)), SlotLimits((present,), carry_over=True)):
        await change(house, campaign, slots)
        approved, decision = await approvals(house, tokens, 5)
        assert (approved, decision.outcome) == (0, Outcome.SLOT_LIMIT)


async def test_carry_over_may_be_switched_and_never_gives_more_than_the_day_has(house):
    now = minute_now(house)
    slots = (Slot(0, now, 1), Slot(now, 1440, 2))
    campaign = await house.campaign(slots=SlotLimits(slots))
    tokens = await house.mint(campaign, 60)
    total = 0
    for carry_over in (False, True, False, True, False):
        await change(house, campaign, SlotLimits(slots, carry_over))
        total += (await approvals(house, tokens, 9))[0]
    assert total == 3, "two of this slot, and the one that the slot before left over"
