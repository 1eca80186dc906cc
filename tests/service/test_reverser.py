"""Giving redemptions back as a shop sees it, on a real ledger."""

import asyncio
from dataclasses import replace

import pytest
from builders.calls import calling
from builders.orders import line_of

from redemption.domain.campaign.benefit import PercentOff, amount_off
from redemption.domain.campaign.campaign import CampaignState, Limits, Offer, ReturnPolicy
from redemption.domain.decision import Allocation
from redemption.domain.errors import InvalidRequest, NotFound
from redemption.domain.judging.reversing import Exceeded
from redemption.domain.outcome import Disposition, Outcome
from redemption.service.reverser import ReverseRequest

APPROVED, EXCEEDS = Outcome.APPROVED, Outcome.REVERSAL_EXCEEDS
NEVER, IF_UNPAID, ON_FULL_RETURN = ReturnPolicy
LINES = (line_of(100_00, line_id="shoes"), line_of(50_00, line_id="socks"), line_of(50_00, line_id="laces"))
OFFER = Offer(amount_off(200_00, 50_00), merchant_basis_points=5_000)
"""Of the 50.00 off the lines above, shoes bear 25.00, socks and laces 12.50 each."""


async def redeemed(house, policy=NEVER, *, customer="ann", **changes):
    """A campaign, the attempt that used its only coupon, and the decision."""
    campaign = await house.campaign(return_policy=policy, offers=(OFFER,), **changes)
    (token,) = await house.mint(campaign)
    attempt = house.attempt(token, customer=customer, lines=LINES)
    decision = await house.send(attempt)
    assert decision.outcome is APPROVED
    return campaign, attempt, decision


async def found(house, decision, index=0):
    """The redemption of a receipt: its discount, what was given back, and whether that is all."""
    redemption = await house.finder.by_receipt(calling(), house.program, decision.verdicts[index].redemption_id)
    return redemption.discount_minor, redemption.reversed_minor, redemption.is_reversed


async def counted(house, campaign):
    stats = await house.stats(campaign)
    return stats.redeemed, stats.discount_minor, stats.merchant_minor, stats.reversed, stats.reversed_minor


async def test_a_redemption_is_given_back_whole_by_its_receipt_alone(house):
    campaign, attempt, decision = await redeemed(house)
    reversal = await house.reverse(house.reversal(attempt, decision, with_settlement=False))
    assert (reversal.outcome, reversal.reversed_minor, reversal.total_minor) == (APPROVED, 50_00, 50_00)
    assert (reversal.allocations, reversal.restored) == ((), False)
    assert await counted(house, campaign) == (0, 0, 0, 1, 50_00)
    assert await found(house, decision) == (50_00, 50_00, True)


async def test_with_the_settlement_it_says_how_that_falls_on_the_lines(house):
    _, attempt, decision = await redeemed(house)
    reversal = await house.reverse(house.reversal(attempt, decision))
    assert reversal.allocations == decision.verdicts[0].allocations
    assert sum(part.merchant_minor for part in reversal.allocations) == 25_00


async def test_lines_are_given_back_one_after_the_other(house):
    campaign, attempt, decision = await redeemed(house, ON_FULL_RETURN)
    steps = [
        ((("socks", None),), 12_50, 12_50, False),
        ((("shoes", 33_33),), 8_33, 20_83, False),
        ((("shoes", 66_67),), 16_67, 37_50, False),
        ((("laces", 50_00),), 12_50, 50_00, True),
    ]
    for lines, given, total, restored in steps:
        reversal = await house.reverse(house.reversal(attempt, decision, lines=lines))
        assert (reversal.outcome, reversal.reversed_minor, reversal.total_minor) == (APPROVED, given, total)
        assert [(part.line_id, part.amount_minor) for part in reversal.allocations] == [(lines[0][0], given)]
        assert reversal.restored is restored
        assert await found(house, decision) == (50_00, total, restored)
    assert await counted(house, campaign) == (0, 0, 0, 1, 50_00)


async def test_what_is_left_after_returns_by_lines_is_given_back_with_and_without_the_settlement(house):
    for with_settlement, allocations in (
        (True, (Allocation("shoes", 18_75, 9_38), Allocation("laces", 12_50, 6_25))),
        (False, ()),
    ):
        campaign, attempt, decision = await redeemed(house)
        await house.reverse(house.reversal(attempt, decision, lines=(("socks", None), ("shoes", 25_00))))
        assert await counted(house, campaign) == (1, 31_25, 15_63, 1, 18_75)
        rest = await house.reverse(house.reversal(attempt, decision, with_settlement=with_settlement))
        assert (rest.reversed_minor, rest.total_minor, rest.allocations) == (31_25, 50_00, allocations)
        assert await counted(house, campaign) == (0, 0, 0, 1, 50_00)


class TestWhetherTheCouponComesBack:
    @pytest.mark.parametrize(
        ("policy", "unpaid", "restored"),
        [
            (NEVER, False, False),
            (NEVER, True, False),
            (IF_UNPAID, False, False),
            (IF_UNPAID, True, True),
            (ON_FULL_RETURN, False, True),
            (ON_FULL_RETURN, True, True),
        ],
    )
    async def test_is_the_campaigns_policy(self, house, policy, unpaid, restored):
        _, attempt, decision = await redeemed(house, policy)
        reversal = await house.reverse(house.reversal(attempt, decision, unpaid=unpaid))
        assert (reversal.outcome, reversal.restored) == (APPROVED, restored)
        again = await house.redeem(*attempt.checkout.tokens, customer="ann", lines=LINES)
        assert again.outcome is (APPROVED if restored else Outcome.ALREADY_REDEEMED)

    async def test_a_part_never_brings_it_back(self, house):
        _, attempt, decision = await redeemed(house, ON_FULL_RETURN)
        reversal = await house.reverse(house.reversal(attempt, decision, lines=(("shoes", None), ("socks", None))))
        assert (reversal.total_minor, reversal.restored) == (37_50, False)
        again = await house.redeem(*attempt.checkout.tokens, customer="ann", lines=LINES)
        assert again.outcome is Outcome.ALREADY_REDEEMED

    async def test_the_policy_in_force_at_the_return_goes(self, house):
        campaign, attempt, decision = await redeemed(house, NEVER)
        await house.update(campaign, return_policy=ON_FULL_RETURN)
        assert (await house.reverse(house.reversal(attempt, decision))).restored

    async def test_the_old_receipt_gives_back_nothing_of_the_new_use(self, house):
        campaign, attempt, first = await redeemed(house, ON_FULL_RETURN)
        await house.reverse(house.reversal(attempt, first))
        next_attempt = replace(attempt, request_id="next")
        second = await house.send(next_attempt)
        assert second.outcome is APPROVED
        assert second.verdicts[0].redemption_id != first.verdicts[0].redemption_id
        for old in (house.reversal(attempt, first), house.reversal(attempt, first, with_settlement=False)):
            reversal = await house.reverse(old)
            assert (reversal.outcome, reversal.total_minor, reversal.restored) == (EXCEEDS, 0, False)
        assert await counted(house, campaign) == (1, 50_00, 25_00, 1, 50_00)
        assert await found(house, first) == (0, 0, True), "what it took off is not known any more"
        assert await found(house, second) == (50_00, 0, False)
        mixed = replace(house.reversal(attempt, second), settlement=first.settlement)
        with pytest.raises(InvalidRequest, match="settlement: does not have the redemption"):
            await house.reverse(mixed)
        assert (await house.reverse(house.reversal(attempt, second))).restored

    async def test_the_order_that_gave_it_back_can_use_it_again(self, house):
        _, attempt, decision = await redeemed(house, ON_FULL_RETURN)
        await house.reverse(house.reversal(attempt, decision))
        assert await house.send(attempt) == decision, "the same request still gets the same answer"
        held = await house.send(house.reservation(*attempt.checkout.tokens, customer="ann", lines=LINES))
        assert (await house.confirm(held.reservation_id)).outcome is APPROVED


class TestLimits:
    async def test_a_coupon_that_came_back_counts_against_no_limit(self, house):
        limits = Limits(
            redemptions=1,
            redemptions_per_customer=1,
            redemptions_per_customer_per_day=1,
            redemptions_per_day=1,
            budget_minor=50_00,
            budget_per_day_minor=50_00,
        )
        campaign, attempt, decision = await redeemed(house, IF_UNPAID, limits=limits)
        other = house.attempt(*await house.mint(campaign), customer="ann", lines=LINES)
        assert (await house.send(other)).outcome is not APPROVED
        assert (await house.reverse(house.reversal(attempt, decision, unpaid=True))).restored
        assert (await house.send(other)).outcome is APPROVED

    async def test_money_goes_back_to_the_budget_whatever_the_policy_is(self, house):
        campaign, attempt, decision = await redeemed(house, NEVER, limits=Limits(budget_minor=99_99))
        other = house.attempt(*await house.mint(campaign), lines=LINES)
        assert (await house.send(other)).outcome is Outcome.BUDGET_EXHAUSTED
        await house.reverse(house.reversal(attempt, decision, lines=(("laces", 4),)))
        assert (await house.send(other)).outcome is APPROVED

    async def test_a_coupon_that_stays_used_still_counts(self, house):
        limits = Limits(redemptions=1, redemptions_per_customer=1)
        campaign, attempt, decision = await redeemed(house, NEVER, limits=limits)
        await house.reverse(house.reversal(attempt, decision))
        (token,) = await house.mint(campaign)
        assert (await house.redeem(token, customer="ann", lines=LINES)).outcome is Outcome.CUSTOMER_LIMIT
        assert (await house.redeem(token, customer="bob", lines=LINES)).outcome is Outcome.CAMPAIGN_LIMIT


class TestAgain:
    async def test_the_same_request_gets_the_same_answer(self, house):
        _, attempt, decision = await redeemed(house, ON_FULL_RETURN)
        first = house.reversal(attempt, decision, lines=(("shoes", 10_00), ("socks", None)))
        answer = await house.reverse(first)
        assert answer.outcome is APPROVED
        assert await house.reverse(replace(first, lines=first.lines[::-1])) == answer
        rest = house.reversal(attempt, decision)
        last = await house.reverse(rest)
        assert (last.total_minor, last.restored) == (50_00, True)
        for request, said in ((first, answer), (rest, last)):
            assert await house.reverse(request) == said

    async def test_a_remembered_answer_outlives_the_return_window(self, house):
        campaign, attempt, decision = await redeemed(house)
        request = house.reversal(attempt, decision)
        answer = await house.reverse(request)
        await house.update(campaign, return_window_seconds=0)
        assert await house.reverse(request) == answer

    async def test_another_request_finds_nothing_left(self, house):
        for policy in (NEVER, ON_FULL_RETURN):
            _, attempt, decision = await redeemed(house, policy)
            await house.reverse(house.reversal(attempt, decision))
            for with_settlement in (True, False):
                again = await house.reverse(house.reversal(attempt, decision, with_settlement=with_settlement))
                assert (again.outcome, again.outcome.disposition) == (EXCEEDS, Disposition.FIX_CALLER)
                assert (again.total_minor, again.exceeded, again.restored) == (50_00, None, False)

    async def test_the_request_id_of_something_else_gives_nothing_back(self, house):
        campaign, attempt, decision = await redeemed(house)
        used = house.reversal(attempt, decision, lines=(("laces", 1_00),), request_id="once")
        await house.reverse(used)
        for other in (
            replace(used, lines=(("laces", 1_01),)),
            replace(used, lines=(("laces", 500_00),)),
            replace(used, lines=(), unpaid=True),
            replace(used, lines=(), settlement=b""),
            house.reversal(attempt, decision, request_id=attempt.request_id),
        ):
            assert (await house.reverse(other)).outcome is Outcome.IDEMPOTENCY_MISMATCH
        assert (await counted(house, campaign))[-1] == 25

    async def test_a_hundred_at_once_restore_it_once(self, house):
        campaign, attempt, decision = await redeemed(house, ON_FULL_RETURN)
        requests = [house.reversal(attempt, decision, with_settlement=number % 2 == 0) for number in range(100)]
        answers = await asyncio.gather(*map(house.reverse, requests))
        assert sorted(answer.outcome for answer in answers) == [APPROVED] + [EXCEEDS] * 99
        assert [answer.restored for answer in answers].count(True) == 1
        assert sum(answer.reversed_minor for answer in answers) == 50_00
        assert await counted(house, campaign) == (0, 0, 0, 1, 50_00)

    async def test_many_parts_at_once_all_come_in(self, house):
        campaign, attempt, decision = await redeemed(house, ON_FULL_RETURN)
        requests = [house.reversal(attempt, decision, lines=(("shoes", 5_00),)) for _ in range(25)]
        answers = await asyncio.gather(*map(house.reverse, requests))
        assert [answer.outcome for answer in answers].count(APPROVED) == 20
        refused = [answer for answer in answers if answer.outcome is EXCEEDS]
        assert {(answer.total_minor, answer.exceeded) for answer in refused} == {(25_00, Exceeded("shoes", 0))}
        assert sum(answer.reversed_minor for answer in answers) == 25_00
        assert (await counted(house, campaign))[-1] == 25_00


class TestTooMuch:
    async def test_of_a_line(self, house):
        campaign, attempt, decision = await redeemed(house)
        await house.reverse(house.reversal(attempt, decision, lines=(("shoes", 60_00),)))
        for lines, exceeded in (
            ((("shoes", 40_01),), Exceeded("shoes", 40_00)),
            ((("socks", 10_00), ("shoes", 100_01)), Exceeded("shoes", 40_00)),
        ):
            reversal = await house.reverse(house.reversal(attempt, decision, lines=lines))
            assert (reversal.outcome, reversal.exceeded, reversal.total_minor) == (EXCEEDS, exceeded, 15_00)
        assert (await counted(house, campaign))[-1] == 15_00


class TestTime:
    async def test_the_window_counts_from_the_use(self, house):
        campaign, attempt, decision = await redeemed(house, return_window_seconds=3_600)
        await house.later(3_590)
        part = await house.reverse(house.reversal(attempt, decision, lines=(("laces", None),)))
        assert part.outcome is APPROVED
        await house.later(20)
        reversal = await house.reverse(house.reversal(attempt, decision))
        assert reversal.outcome is Outcome.RETURN_WINDOW_CLOSED
        assert reversal.outcome.disposition is Disposition.FINAL
        await house.update(campaign, return_window_seconds=7_200)
        assert (await house.reverse(house.reversal(attempt, decision))).total_minor == 50_00

    @pytest.mark.parametrize("state", [CampaignState.PAUSED, CampaignState.ENDED])
    async def test_neither_a_pause_nor_the_end_stops_a_return(self, house, state):
        campaign, attempt, decision = await redeemed(house)
        await house.set_state(campaign, state)
        assert (await house.reverse(house.reversal(attempt, decision))).outcome is APPROVED


class TestWhatIsNotGenuine:
    async def test_costs_the_ledger_nothing(self, house):
        _, attempt, decision = await redeemed(house)
        receipt, settlement = decision.verdicts[0].redemption_id, decision.settlement
        forged = receipt[:-1] + ("A" if receipt[-1] != "A" else "B")
        before = await house.commands()
        for redemption_id in (forged, "x", attempt.checkout.tokens[0], receipt + "\n"):
            for lines in ((), (("shoes", None),)):
                request = house.reversal(attempt, decision, redemption_id=redemption_id, lines=lines)
                assert (await house.reverse(request)).outcome is Outcome.REDEMPTION_NOT_FOUND
        for bad in (settlement[:-1], settlement + b"x", b"x" * 40, settlement[:-1] + bytes([settlement[-1] ^ 1])):
            with pytest.raises(InvalidRequest, match="settlement: is not a settlement of this program"):
                await house.reverse(house.reversal(attempt, decision, settlement=bad))
        assert await house.commands() == before

    async def test_the_receipt_of_another_order(self, house):
        _, attempt, decision = await redeemed(house)
        request = house.reversal(attempt, decision, with_settlement=False, order_id="other")
        assert (await house.reverse(request)).outcome is Outcome.REDEMPTION_NOT_FOUND
        await house.reverse(house.reversal(attempt, decision))
        assert (await house.reverse(replace(request, request_id="again"))).outcome is Outcome.REDEMPTION_NOT_FOUND
        with pytest.raises(InvalidRequest, match="settlement: is of another order than order_id"):
            await house.reverse(house.reversal(attempt, decision, order_id="other"))

    async def test_the_settlement_of_a_hold_that_was_not_confirmed(self, house):
        """Its order holds another cart by now, with another discount, and confirms that one."""
        campaign = await house.campaign(offers=(Offer(PercentOff(1_000, 100_00)),), return_policy=ON_FULL_RETURN)
        (token,) = await house.mint(campaign)
        first = await house.reserve(token, order_id="mine", lines=LINES)
        second = await house.reserve(token, order_id="mine", lines=LINES[:2])
        confirmed = await house.confirm(second.reservation_id)
        receipt = confirmed.verdicts[0].redemption_id
        request = ReverseRequest(house.program, "one", "mine", receipt, first.settlement, (("shoes", None),))
        with pytest.raises(InvalidRequest, match=r"settlement: is of a cart .* the discount is 1500; send that of"):
            await house.reverse(request)
        reversal = await house.reverse(replace(request, settlement=second.settlement))
        assert (reversal.outcome, reversal.reversed_minor) == (APPROVED, 10_00)


class TestTwoSettlementsOfOneOrder:
    """The order held one cart, and then used the coupon for another one: both settlements are genuine."""

    async def test_are_not_mixed(self, house):
        campaign = await house.campaign(offers=(Offer(amount_off(100_00, 50_00)),), return_policy=ON_FULL_RETURN)
        (token,) = await house.mint(campaign)
        held = await house.reserve(token, order_id="mine", lines=(line_of(200_00, line_id="coat"),))
        attempt = house.attempt(token, order_id="mine", lines=LINES)
        decision = await house.send(attempt)
        first = await house.reverse(house.reversal(attempt, decision, lines=(("shoes", None),)))
        assert first.total_minor == 25_00
        for lines in ((), (("coat", None),), (("coat", 1_00),)):
            mixed = house.reversal(attempt, decision, settlement=held.settlement, lines=lines)
            with pytest.raises(InvalidRequest, match="settlement: is another one than that of earlier returns"):
                await house.reverse(mixed)
        rest = await house.reverse(house.reversal(attempt, decision))
        assert (sum(part.amount_minor for part in rest.allocations), rest.restored) == (25_00, True)


class TestAfterTheCouponCameBack:
    """What was said of its last use, or of a hold before it, must not reach the next one."""

    async def test_a_reservation_of_before_takes_nothing_again(self, house):
        campaign = await house.campaign(offers=(OFFER,), return_policy=ON_FULL_RETURN)
        (token,) = await house.mint(campaign)
        reservation = house.reservation(token, customer="ann", lines=LINES, seconds=5)
        held = await house.send(reservation)
        confirmed = await house.confirm(held.reservation_id)
        await house.reverse(house.reversal(reservation, replace(confirmed, settlement=held.settlement)))
        await house.later(100)
        late = await house.confirm(held.reservation_id, reacquire=True)
        assert late.outcome is Outcome.RESERVATION_NOT_FOUND
        assert (await house.stats(campaign)).redeemed == 0

    async def test_nor_when_another_order_used_it_and_gave_it_back(self, house):
        campaign = await house.campaign(offers=(OFFER,), return_policy=ON_FULL_RETURN)
        (token,) = await house.mint(campaign)
        held = await house.reserve(token, customer="ann", lines=LINES, seconds=5)
        await house.later(100)
        attempt = house.attempt(token, customer="bob", lines=LINES)
        await house.reverse(house.reversal(attempt, await house.send(attempt)))
        late = await house.confirm(held.reservation_id, reacquire=True)
        assert late.outcome is Outcome.RESERVATION_NOT_FOUND

    async def test_a_release_of_before_ends_no_new_hold(self, house):
        campaign = await house.campaign(offers=(OFFER,), return_policy=ON_FULL_RETURN)
        (token,) = await house.mint(campaign)
        reservation = house.reservation(token, customer="ann", lines=LINES)
        held = await house.send(reservation)
        confirmed = await house.confirm(held.reservation_id)
        assert await house.release(held.reservation_id, request_id="release") is Outcome.ALREADY_REDEEMED
        await house.reverse(house.reversal(reservation, replace(confirmed, settlement=held.settlement)))
        again = await house.send(replace(reservation, request_id="again"))
        assert await house.release(held.reservation_id, request_id="release") is APPROVED, "nothing of it is held"
        assert (await house.confirm(again.reservation_id)).outcome is APPROVED

    async def test_a_forgotten_request_does_not_use_it_a_second_time(self, house):
        campaign, attempt, decision = await redeemed(house, ON_FULL_RETURN)
        assert (await house.reverse(house.reversal(attempt, decision))).restored
        await house.delete("r:*")
        again = await house.send(attempt)
        assert again.verdicts[0].redemption_id == decision.verdicts[0].redemption_id
        assert await found(house, again) == (50_00, 50_00, True)
        assert (await house.stats(campaign)).redeemed == 0


class TestRequests:
    @pytest.mark.parametrize(
        ("changes", "field", "problem"),
        [
            ({"program": ""}, "program", ""),
            ({"request_id": ""}, "request_id", "is required"),
            ({"order_id": ""}, "order_id", "is required"),
            ({"order_id": "x" * 129}, "order_id", "is longer than 128 bytes"),
            ({"redemption_id": ""}, "redemption_id", "is required: the receipt"),
            ({"lines": (("shoes", None),), "settlement": b""}, "settlement", "is required to give lines back"),
            ({"lines": (("shoes", None),), "unpaid": True}, "unpaid", "leave lines empty"),
            ({"lines": (("shoes", 1), ("shoes", 1))}, "lines[1].line_id", "is there twice"),
            ({"lines": (("", 1),)}, "lines[0].line_id", "is required"),
            ({"lines": (("shoes", -1),)}, "lines[0].amount_minor", "is -1; it must be 1 to"),
            ({"lines": (("shoes", 0),)}, "lines[0].amount_minor", "is 0; it must be 1 to"),
            ({"lines": (("shoes", 2**53),)}, "lines[0].amount_minor", "is 9007199254740992"),
            ({"lines": (("hat", 1),)}, "lines[0].line_id", "these lines have: shoes, socks, laces"),
            ({"lines": tuple((str(number), 1) for number in range(1_001))}, "lines", "are 1001, at most 1000"),
        ],
    )
    async def test_a_field_that_cannot_be_is_named(self, house, changes, field, problem):
        _, attempt, decision = await redeemed(house)
        with pytest.raises(InvalidRequest) as refused:
            await house.reverse(replace(house.reversal(attempt, decision), **changes))
        (violation,) = refused.value.violations
        assert violation.field == field
        assert problem in violation.problem
        assert await found(house, decision) == (50_00, 0, False)


class TestLookUp:
    async def test_by_request_id_says_what_was_given_back(self, house):
        _, attempt, decision = await redeemed(house, ON_FULL_RETURN)
        await house.reverse(house.reversal(attempt, decision, lines=(("laces", None),)))
        (one,) = await house.finder.by_request(calling(), house.program, attempt.request_id)
        assert (one.discount_minor, one.reversed_minor, one.is_reversed) == (50_00, 12_50, False)
        await house.reverse(house.reversal(attempt, decision))
        (one,) = await house.finder.by_request(calling(), house.program, attempt.request_id)
        assert (one.discount_minor, one.reversed_minor, one.is_reversed) == (50_00, 50_00, True)
        assert one.redemption_id == decision.verdicts[0].redemption_id

    async def test_by_the_request_id_of_a_reservation(self, house):
        campaign = await house.campaign(offers=(OFFER,), return_policy=ON_FULL_RETURN)
        (token,) = await house.mint(campaign)
        reservation = house.reservation(token, customer="ann", lines=LINES)
        held = await house.send(reservation)
        confirmed = await house.confirm(held.reservation_id)
        decision = replace(confirmed, settlement=held.settlement)
        await house.reverse(house.reversal(reservation, decision, lines=(("laces", None),)))
        (one,) = await house.finder.by_request(calling(), house.program, reservation.request_id)
        assert (one.reversed_minor, one.is_reversed) == (12_50, False)
        assert (await house.reverse(house.reversal(reservation, decision))).restored
        (one,) = await house.finder.by_request(calling(), house.program, reservation.request_id)
        assert (one.discount_minor, one.is_reversed) == (50_00, True)
        await house.reserve(token, customer="ann", lines=LINES)
        with pytest.raises(NotFound):
            await house.finder.by_request(calling(), house.program, reservation.request_id)
