"""What an operator may change while coupons are out: parts of a campaign paused, and coupons honoured longer."""

from dataclasses import replace

import pytest
from builders.calls import calling
from builders.orders import line_of
from builders.times import DAY_MS
from service.clocks import Clocks

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.campaign import AbsoluteValidity, CampaignState, ClaimValidity, Offer
from redemption.domain.campaign.change_warnings import WarningReason
from redemption.domain.judging.claiming import OfferWanted
from redemption.domain.outcome import Disposition, Outcome
from redemption.service.campaigns import etag

LINES = (
    line_of(150_00, line_id="a", sku="soap", merchant_id="mill"),
    line_of(150_00, line_id="b", sku="mask", merchant_id="quay"),
)
NO_PAUSES = {"paused_merchant_ids": (), "paused_skus": (), "paused_offers": ()}


async def outcome_and_lines(house, token):
    """What a quote and a redeem say of one coupon: its outcome, and the lines that bear its discount."""
    quoted = (await house.quote(token, lines=LINES, with_allocations=True)).together.verdicts[0]
    (verdict,) = (await house.redeem(token, lines=LINES)).verdicts
    for each in (quoted, verdict):
        assert (each.outcome, each.discount_minor) == (verdict.outcome, verdict.discount_minor)
        assert each.allocations == verdict.allocations
    return verdict.outcome, [each.line_id for each in verdict.allocations]


@pytest.mark.parametrize(
    ("paused", "expected"),
    [
        ({"paused_merchant_ids": ("mill",)}, (Outcome.APPROVED, ["b"])),
        ({"paused_skus": ("mask",)}, (Outcome.APPROVED, ["a"])),
        ({"paused_skus": ("mask",), "paused_merchant_ids": ("mill",)}, (Outcome.SCOPE_MISMATCH, [])),
        ({"paused_offers": (0,)}, (Outcome.CAMPAIGN_PAUSED, [])),
        ({"paused_offers": (1,)}, (Outcome.APPROVED, ["a", "b"])),
    ],
)
async def test_a_part_of_a_running_campaign_is_paused_for_every_server_and_taken_back(
    house, tmp_path, paused, expected
):
    """Although coupons are out, and although another server has cached the definition from before."""
    offers = (Offer(amount_off(100_00, 50_00)), Offer(amount_off(0, 1_00)))
    campaign = await house.campaign(offers=offers)
    tokens = await house.mint(campaign, 3)
    async with house.another(tmp_path / "other") as other:
        assert await outcome_and_lines(other, tokens[0]) == (Outcome.APPROVED, ["a", "b"])
        campaign = await house.update(campaign, **paused)
        assert await outcome_and_lines(other, tokens[1]) == expected
        await house.update(campaign, **NO_PAUSES)
        assert await outcome_and_lines(other, tokens[2]) == (Outcome.APPROVED, ["a", "b"])


async def test_of_a_paused_offer_nothing_is_claimed_and_minting_goes_on(house):
    """As while the whole campaign is paused."""
    offers = (Offer(amount_off(100_00, 50_00)), Offer(amount_off(0, 1_00)))
    campaign = await house.campaign(offers=offers, paused_offers=(1,))
    (code,) = await house.mint_codes(campaign, offer_index=1)
    for source in (OfferWanted(campaign.number, 1), code):
        claimed = await house.claim(source)
        assert (claimed.outcome, claimed.disposition) == (Outcome.CAMPAIGN_PAUSED, Disposition.TRY_LATER)
    assert (await house.claim(OfferWanted(campaign.number, 0))).outcome is Outcome.APPROVED
    (token,) = await house.mint(campaign, offer_index=1)
    await house.update(campaign, paused_offers=())
    assert (await house.redeem(token)).outcome is Outcome.APPROVED
    assert (await house.claim(code)).outcome is Outcome.APPROVED


async def test_pausing_a_part_keeps_the_state_and_the_state_keeps_the_parts(house):
    campaign = await house.campaign(paused_skus=("soap",))
    paused = await house.set_state(campaign, CampaignState.PAUSED)
    assert (paused.state, paused.paused_skus) == (CampaignState.PAUSED, ("soap",))
    changed = await house.update(paused, paused_skus=("soap", "mask"))
    assert changed.state is CampaignState.PAUSED


async def test_coupons_from_before_an_extension_are_honoured_until_the_instant_that_is_set(house):
    clocks = Clocks(house)
    ends, later = clocks.at(1, "12:00"), clocks.at(1, "18:00")
    campaign = await house.campaign(ends_at_ms=ends)
    tokens = await house.mint(campaign, 4)
    campaign = await house.update(campaign, ends_at_ms=clocks.at(2, "12:00"))
    assert (await house.inspect(tokens[0])).honoured_until_ms == 0
    await clocks.set(ends)
    assert (await house.redeem(tokens[0])).verdicts[0].outcome is Outcome.TOKEN_EXPIRED
    campaign = await house.update(campaign, honoured_until_ms=later)
    assert (await house.redeem(tokens[0])).outcome is Outcome.APPROVED
    seen = await house.inspect(tokens[1])
    assert (seen.token.expires_at * 1000, seen.honoured_until_ms) == (ends, later)
    await clocks.set(later - 1)
    assert (await house.quote(tokens[1])).together.outcome is Outcome.APPROVED
    assert (await house.redeem(tokens[1])).outcome is Outcome.APPROVED
    await clocks.set_ledger(later)  # the server judges by a clock that is behind; the ledger notices
    assert (await house.redeem(tokens[2])).verdicts[0].outcome is Outcome.TOKEN_EXPIRED
    await house.update(campaign, honoured_until_ms=None)
    assert (await house.redeem(tokens[3])).verdicts[0].outcome is Outcome.TOKEN_EXPIRED


async def test_no_coupon_is_honoured_longer_than_its_key_lives_nor_after_the_campaign(house):
    """What was issued after the extension needs no honouring."""
    clocks = Clocks(house)
    expires, key_ends = clocks.at(1, "06:00"), clocks.at(1, "12:00")
    short = replace(house.keyset.primary, max_expires_at=key_ends // 1000)
    house.use(replace(house.keyset, keys=(short,)))
    campaign = await house.campaign(ends_at_ms=clocks.at(2, "12:00"), honoured_until_ms=clocks.at(2, "00:00"))
    tokens = await house.mint(campaign, 2, expires_at_ms=expires)
    assert (await house.inspect(tokens[0])).honoured_until_ms == key_ends
    await clocks.set(key_ends - 1)
    assert (await house.redeem(tokens[0])).outcome is Outcome.APPROVED
    await clocks.set(key_ends)
    assert (await house.redeem(tokens[1])).verdicts[0].outcome is not Outcome.APPROVED


async def test_a_code_from_before_an_extension_can_be_claimed_as_long_as_coupons_are_honoured(house):
    clocks = Clocks(house)
    ends, later = clocks.at(1, "12:00"), clocks.at(1, "18:00")
    campaign = await house.campaign(ends_at_ms=ends)
    early, late, too_late = await house.mint_codes(campaign, 3)
    campaign = await house.update(campaign, ends_at_ms=clocks.at(2, "12:00"), honoured_until_ms=later)
    assert (await house.claim(early)).expires_at * 1000 == ends
    await clocks.set(ends)
    claimed = await house.claim(late)
    assert (claimed.outcome, claimed.expires_at * 1000) == (Outcome.APPROVED, later)
    assert (await house.redeem(claimed.token, customer="ann")).outcome is Outcome.APPROVED
    await clocks.set(later)
    assert (await house.claim(too_late)).outcome is Outcome.TOKEN_EXPIRED


ABSOLUTE, NEXT_DAY = AbsoluteValidity(0, 2_000_000_000_000), AbsoluteValidity(0, 2_000_000_000_000 + DAY_MS)


@pytest.mark.parametrize(
    ("before", "longer", "field"),
    [
        ({}, {"ends_at_ms": DAY_MS}, "campaign.end_time"),
        ({"validity": ClaimValidity(7)}, {"ends_at_ms": DAY_MS}, "campaign.end_time"),
        ({"validity": ABSOLUTE}, {"ends_at_ms": DAY_MS}, "campaign.end_time"),
        ({"validity": ABSOLUTE}, {"validity": NEXT_DAY}, "campaign.validity.absolute.expire_time"),
        ({}, {"ends_at_ms": -DAY_MS}, None),
        ({"validity": NEXT_DAY}, {"validity": ABSOLUTE}, None),
        ({}, {"ends_at_ms": DAY_MS, "honoured_until_ms": DAY_MS}, None),
    ],
)
async def test_whoever_extends_a_campaign_is_told_that_issued_coupons_expire_as_before(house, before, longer, field):
    """Only if there are such coupons, and if they are not honoured longer."""
    campaign = await house.campaign(**before)
    times = {name: campaign.ends_at_ms + longer[name] for name in longer if name.endswith("_ms")}
    wanted = replace(campaign, **{**longer, **times})
    assert (await house.campaigns.check_update(calling(), wanted, etag(campaign))).warnings == ()
    await house.mint(campaign, 2)
    checked = await house.campaigns.check_update(calling(), wanted, etag(campaign))
    updated = await house.campaigns.update(calling(), wanted, etag(campaign))
    assert checked.warnings == updated.warnings
    told = [(each.field, each.reason) for each in updated.warnings]
    assert told == ([(field, WarningReason.ISSUED_EXPIRE_AS_BEFORE)] if field else [])
    assert all("the 2 coupons issued so far will expire as before" in each.text for each in updated.warnings)
