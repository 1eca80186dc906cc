"""Reserve, confirm and release as a checkout sees them, on a real ledger."""

import asyncio
from dataclasses import replace

import pytest
from builders.calls import calling
from builders.orders import line_of

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.campaign import CampaignState, Offer, Stacking
from redemption.domain.errors import InvalidRequest, NotFound
from redemption.domain.outcome import Disposition, Outcome
from redemption.service.revoker import TokenGiven

APPROVED = Outcome.APPROVED
STACKING = Stacking(max_tokens_per_order=3)


async def tokens_of(house, count=1, **changes):
    campaign = await house.campaign(stacking=STACKING, **changes)
    return campaign, await house.mint(campaign, count)


def outcomes(decision):
    return decision.outcome, [verdict.outcome for verdict in decision.verdicts]


async def test_a_reservation_says_what_a_redemption_would(house):
    offers = (Offer(amount_off(200_00, 50_00), merchant_basis_points=3_000),)
    _, (token,) = await tokens_of(house, offers=offers)
    order = {"lines": (line_of(150_00, line_id="a"), line_of(88_00, line_id="b")), "order_id": "mine"}
    held = await house.reserve(token, customer="ann", **order)
    assert outcomes(held) == (APPROVED, [APPROVED])
    assert held.held_until - held.decided_at in (900, 901)
    assert held.discount_minor == 50_00
    assert [part.line_id for part in held.verdicts[0].allocations] == ["a", "b"]
    assert held.verdicts[0].redemption_id == ""
    confirmed = await house.confirm(held.reservation_id)
    assert outcomes(confirmed) == (APPROVED, [APPROVED])
    assert confirmed.discount_minor == confirmed.verdicts[0].discount_minor == 50_00
    found = await house.finder.by_receipt(calling(), house.program, confirmed.verdicts[0].redemption_id)
    assert found.discount_minor == 50_00
    stats = await house.ledger.campaigns.counters(house.program, 1, offers=1)
    shares = sum(part.merchant_minor for part in held.verdicts[0].allocations)
    assert (stats.redeemed, stats.reserved, stats.merchant_minor) == (1, 0, shares)
    assert 14_98 <= shares <= 15_00
    assert stats.order_value_minor == 238_00


async def test_the_campaign_that_allows_the_shortest_hold_decides(house):
    _, (short,) = await tokens_of(house, reservation_seconds_max=60)
    _, (long,) = await tokens_of(house, reservation_seconds_max=86_400)
    for tokens, asked, held_seconds in (((long,), 3_600, 3_600), ((short,), 30, 30), ((short, long), 3_600, 60)):
        held = await house.reserve(*tokens, seconds=asked, spend=1_000_00)
        assert held.held_until - held.decided_at in (held_seconds, held_seconds + 1)
        await house.release(held.reservation_id)


async def test_the_same_request_gets_the_same_reservation_field_for_field(house):
    _, tokens = await tokens_of(house, 2)
    attempt = house.reservation(*tokens)
    first = await house.send(attempt)
    await house.later(100)
    assert await house.send(attempt) == first
    turned = replace(attempt, checkout=replace(attempt.checkout, tokens=attempt.checkout.tokens[::-1]))
    again = await house.send(turned)
    assert (again.reservation_id, again.verdicts) == (first.reservation_id, first.verdicts[::-1])
    await house.confirm(first.reservation_id)
    assert await house.send(attempt) == first
    as_redeem = house.attempt(*tokens, request_id=attempt.request_id)
    assert (await house.send(as_redeem)).outcome is Outcome.IDEMPOTENCY_MISMATCH


async def test_another_order_is_told_until_when_it_is_held(house):
    _, (token,) = await tokens_of(house)
    held = await house.reserve(token)
    for refused in (await house.redeem(token), await house.reserve(token), (await house.quote(token)).together):
        (verdict,) = refused.verdicts
        assert (verdict.outcome, verdict.disposition) == (Outcome.RESERVED, Disposition.TRY_LATER)
        assert verdict.detail.held_until == held.held_until


async def test_a_quote_of_the_order_that_holds_it_is_not_in_its_own_way(house):
    _, (token,) = await tokens_of(house, redemptions=1, redemptions_per_day=1)
    await house.reserve(token, customer="ann", order_id="mine")
    assert (await house.quote(token, customer="ann", order_id="mine")).together.outcome is APPROVED
    assert (await house.quote(token, customer="ann", order_id="other")).together.outcome is Outcome.RESERVED


async def test_the_stats_tell_what_is_held_and_what_is_used(house):
    campaign, (first, second) = await tokens_of(house, 2, budget_minor=200_00)
    held = await house.reserve(first)
    await house.redeem(second)
    stats = await house.stats(campaign)
    assert (stats.redeemed, stats.reserved, stats.redeemed_today) == (1, 1, 1)
    assert (stats.discount_minor, stats.budget_left_minor) == (50_00, 100_00)
    await house.confirm(held.reservation_id)
    stats = await house.stats(campaign)
    assert (stats.redeemed, stats.reserved, stats.redeemed_today) == (2, 0, 2)
    assert (stats.discount_minor, stats.budget_left_minor) == (100_00, 100_00)


async def test_a_limit_that_is_only_held_may_be_free_later(house):
    _, (first, second) = await tokens_of(house, 2, redemptions=1)
    held = await house.reserve(first)
    (verdict,) = (await house.redeem(second)).verdicts
    assert (verdict.outcome, verdict.disposition) == (Outcome.CAMPAIGN_LIMIT, Disposition.TRY_LATER)
    assert verdict.detail.try_after_ms == held.held_until * 1000
    await house.confirm(held.reservation_id)
    (verdict,) = (await house.redeem(second)).verdicts
    assert (verdict.outcome, verdict.disposition) == (Outcome.CAMPAIGN_LIMIT, Disposition.FINAL)


class TestConfirm:
    """What becomes of a reservation."""

    async def test_again_it_is_the_same_answer(self, house):
        _, tokens = await tokens_of(house, 2)
        held = await house.reserve(*tokens)
        first = await house.confirm(held.reservation_id, request_id="one")
        assert await house.confirm(held.reservation_id, request_id="one") == first
        await house.delete("r:*")
        assert await house.confirm(held.reservation_id, request_id="one") == first
        other = await house.confirm(held.reservation_id, request_id="two")
        assert other.outcome is Outcome.ALREADY_REDEEMED
        assert all(verdict.detail.same_order for verdict in other.verdicts)
        receipts = [verdict.redemption_id for verdict in first.verdicts]
        assert [verdict.redemption_id for verdict in other.verdicts] == receipts

    async def test_a_request_id_stands_for_one_reservation(self, house):
        _, tokens = await tokens_of(house, 2)
        first, second = [await house.reserve(token) for token in tokens]
        await house.confirm(first.reservation_id, request_id="one")
        decision = await house.confirm(second.reservation_id, request_id="one")
        assert decision.outcome is Outcome.IDEMPOTENCY_MISMATCH
        assert (await house.confirm(second.reservation_id)).outcome is APPROVED

    @pytest.mark.parametrize("state", [CampaignState.PAUSED, CampaignState.ENDED])
    async def test_a_reservation_that_holds_cannot_be_stopped_by_the_campaign(self, house, state):
        campaign, (token,) = await tokens_of(house)
        held = await house.reserve(token)
        await house.set_state(campaign, state)
        assert (await house.confirm(held.reservation_id)).outcome is APPROVED

    async def test_a_revocation_stops_it(self, house):
        _, (token,) = await tokens_of(house)
        held = await house.reserve(token)
        await house.revoke(TokenGiven(token))
        assert outcomes(await house.confirm(held.reservation_id)) == (Outcome.REVOKED, [Outcome.REVOKED])

    async def test_after_its_end_it_says_when_that_was(self, house):
        _, (token,) = await tokens_of(house)
        held = await house.reserve(token, seconds=60)
        await house.later(61)
        decision = await house.confirm(held.reservation_id)
        (verdict,) = decision.verdicts
        assert (decision.outcome, decision.disposition) == (Outcome.RESERVATION_EXPIRED, Disposition.CHANGE_ORDER)
        assert verdict.detail.held_until == held.held_until
        assert (await house.confirm(held.reservation_id, reacquire=True)).outcome is APPROVED

    async def test_a_reservation_is_not_taken_again_after_a_day(self, house):
        _, (token,) = await tokens_of(house)
        held = await house.reserve(token, seconds=60)
        await house.later(60 + 86_401)
        await house.quote(token)  # the server learns the time
        decision = await house.confirm(held.reservation_id, reacquire=True)
        assert decision.outcome is Outcome.RESERVATION_EXPIRED

    async def test_a_campaign_that_changed_is_read_again(self, house, tmp_path):
        campaign, (token,) = await tokens_of(house)
        held = await house.reserve(token, seconds=60)
        async with house.another(tmp_path / "fence") as other:
            await other.campaigns.get(calling(), house.program, campaign.number)
            await house.update(campaign, name="changed")
            await house.later(61)
            assert (await other.confirm(held.reservation_id, reacquire=True)).outcome is APPROVED

    async def test_on_a_server_that_has_seen_nothing_yet(self, house, tmp_path):
        """The one that reserved may have crashed."""
        _, (token,) = await tokens_of(house)
        held = await house.reserve(token)
        async with house.another(tmp_path / "fence") as other:
            assert (await other.confirm(held.reservation_id)).outcome is APPROVED
        async with house.another(tmp_path / "third") as third:
            assert await third.release(held.reservation_id) is Outcome.ALREADY_REDEEMED

    async def test_a_hundred_at_once_confirm_once(self, house):
        _, (token,) = await tokens_of(house)
        held = await house.reserve(token)
        decisions = await asyncio.gather(*(house.confirm(held.reservation_id) for _ in range(100)))
        assert sorted(decision.outcome for decision in decisions) == [Outcome.ALREADY_REDEEMED] * 99 + [APPROVED]

    @pytest.mark.parametrize("forged", ["no reservation", "A" * 120, "x" * 5000, "ümlaut"])
    async def test_a_text_that_is_no_reservation_costs_the_ledger_nothing(self, house, forged):
        await tokens_of(house)
        before = await house.commands()
        assert (await house.confirm(forged)).outcome is Outcome.RESERVATION_NOT_FOUND
        assert await house.release(forged) is Outcome.RESERVATION_NOT_FOUND
        assert await house.commands() == before

    async def test_what_is_missing_is_named(self, house):
        with pytest.raises(InvalidRequest, match="reservation_id"):
            await house.confirm("")
        with pytest.raises(InvalidRequest, match="request_id"):
            await house.release("x", request_id="y" * 129)


class TestRelease:
    """Giving a reservation up."""

    async def test_it_is_free_again_and_the_reservation_is_none(self, house):
        _, (token,) = await tokens_of(house)
        held = await house.reserve(token)
        assert await house.release(held.reservation_id, request_id="one") is APPROVED
        assert await house.release(held.reservation_id, request_id="one") is APPROVED
        assert await house.release(held.reservation_id) is APPROVED
        decision = await house.confirm(held.reservation_id)
        assert (decision.outcome, decision.disposition) == (Outcome.RESERVATION_NOT_FOUND, Disposition.FIX_CALLER)
        assert (await house.redeem(token)).outcome is APPROVED
        assert await house.release(held.reservation_id) is APPROVED, "another order has used it since"

    async def test_its_request_id_is_its_own(self, house):
        _, tokens = await tokens_of(house, 2)
        first, second = [await house.reserve(token) for token in tokens]
        assert await house.release(first.reservation_id, request_id="one") is APPROVED
        assert await house.release(second.reservation_id, request_id="one") is Outcome.IDEMPOTENCY_MISMATCH


class TestFinding:
    """What GetRedemption says of a reservation's request."""

    async def find(self, house, attempt):
        return await house.finder.by_request(calling(), house.program, attempt.request_id)

    async def test_while_it_is_held_and_after_it_was_used(self, house):
        _, tokens = await tokens_of(house, 2)
        attempt = house.reservation(*tokens)
        held = await house.send(attempt)
        assert [(each.is_held, each.redemption_id) for each in await self.find(house, attempt)] == [(True, "")] * 2
        confirmed = await house.confirm(held.reservation_id)
        receipts = {verdict.redemption_id for verdict in confirmed.verdicts}
        found = await self.find(house, attempt)
        assert {each.redemption_id for each in found} == receipts
        assert not any(each.is_held for each in found)

    async def test_when_nothing_is_left_of_it(self, house):
        _, (token,) = await tokens_of(house)
        attempt = house.reservation(token)
        held = await house.send(attempt)
        await house.release(held.reservation_id)
        with pytest.raises(NotFound, match="was released, replaced, or ran out"):
            await self.find(house, attempt)
        await house.redeem(token)
        with pytest.raises(NotFound):
            await self.find(house, attempt)
