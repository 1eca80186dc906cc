"""Redeeming, decided by the real ledger: every rule of the path, once."""

import asyncio
from dataclasses import replace

import pytest
from builders.calls import calling
from builders.keysets import rotated
from builders.orders import line_of, lines_of
from builders.times import DAY_MS
from waiting import SECONDS_MAX, settled

from redemption.domain.campaign.benefit import PercentOff, amount_off
from redemption.domain.campaign.campaign import CampaignState, Offer, Stacking
from redemption.domain.decision import Allocation
from redemption.domain.errors import DeadlinePassed, InvalidRequest, ItemFailed, LedgerUnavailable
from redemption.domain.outcome import Disposition, Outcome
from redemption.domain.signed.keyset import KeyState
from redemption.ledger.stores import orders as order_store
from redemption.scheduling.fair_slots import NO_SLOT, FairSlots, WorkSlot
from redemption.scheduling.work_bounds import SlotRule


def outcomes(decision):
    """The outcomes of all tokens."""
    return [verdict.outcome for verdict in decision.verdicts]


async def test_a_coupon_takes_its_discount_off(house):
    campaign = await house.campaign()
    (token,) = await house.mint(campaign)
    before_ms = house.ledger.now_ms()
    decision = await house.redeem(token)
    (verdict,) = decision.verdicts
    assert decision.outcome is Outcome.APPROVED
    assert decision.disposition is Disposition.APPROVED
    assert (decision.discount_minor, verdict.discount_minor) == (50_00, 50_00)
    assert verdict.allocations == (Allocation("1", 50_00),)
    assert verdict.campaign == campaign.number
    assert len(verdict.redemption_id) == 64
    assert before_ms // 1000 <= decision.decided_at <= house.ledger.now_ms() // 1000
    assert decision.settlement


async def test_a_spent_coupon_is_refused_for_another_order(house):
    (token,) = await house.mint(await house.campaign())
    first = await house.redeem(token)
    second = await house.redeem(token)
    assert outcomes(second) == [Outcome.ALREADY_REDEEMED]
    assert second.disposition is Disposition.FINAL
    detail = second.verdicts[0].detail
    assert (detail.same_order, detail.redeemed_at) == (False, first.decided_at)
    assert second.verdicts[0].redemption_id == "", "the receipt is not for others"


async def test_a_new_request_for_the_same_order_gets_the_receipt(house):
    (token,) = await house.mint(await house.campaign())
    first = await house.redeem(token, order_id="order-x")
    again = await house.redeem(token, order_id="order-x")
    assert outcomes(again) == [Outcome.ALREADY_REDEEMED]
    assert again.verdicts[0].detail.same_order
    assert again.verdicts[0].redemption_id == first.verdicts[0].redemption_id


async def test_a_repeated_request_gets_the_same_answer(house):
    (token,) = await house.mint(await house.campaign())
    attempt = house.attempt(token)
    assert await house.send(attempt) == await house.send(attempt)
    assert (await house.stats(await house.campaigns.get(calling(), house.program, 1))).redeemed == 1


async def test_the_same_request_of_another_principal_is_another_request(house):
    (token,) = await house.mint(await house.campaign())
    attempt = house.attempt(token)
    await house.send(attempt)
    other = await house.send(attempt, principal="somebody else")
    assert outcomes(other) == [Outcome.ALREADY_REDEEMED]


@pytest.mark.parametrize("change", ["end", "pause", "disable", "redefine"])
async def test_a_repeated_request_gets_its_first_answer_whatever_changed(house, change):
    """Whatever changes, an approval that was given stays the answer to its request, field for field."""
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 2)
    lines = lines_of(100_01, 77_77, 50_50)
    attempt = house.attempt(tokens[0], lines=lines)
    first = await house.send(attempt)
    if change in ("end", "pause"):
        state = CampaignState.ENDED if change == "end" else CampaignState.PAUSED
        await house.set_state(campaign, state)
    elif change == "disable":
        house.use(rotated(house.keyset, KeyState.DISABLED))
    else:
        wider = replace(
            campaign, limits=replace(campaign.limits, redemptions=1), offers=(*campaign.offers, Offer(amount_off(1, 1)))
        )
        await house.campaigns.update(calling(), wider, "v1")
    assert await house.send(attempt) == first
    fresh = await house.redeem(tokens[1])
    assert outcomes(fresh) == [
        {
            "end": Outcome.CAMPAIGN_ENDED,
            "pause": Outcome.CAMPAIGN_PAUSED,
            "disable": Outcome.TOKEN_INVALID,
            "redefine": Outcome.CAMPAIGN_LIMIT,
        }[change]
    ]


async def test_each_receipt_is_signed_under_the_key_of_its_own_token(house):
    campaign = await house.campaign(stacking=Stacking(max_tokens_per_order=2))
    tokens = await house.mint(campaign)
    newer = rotated(house.keyset)
    house.use(newer)
    tokens += await house.mint(campaign)
    decision = await house.redeem(*tokens, spend=500_00)
    read = house.finder._decisions.read_receipt
    receipts = [read(verdict.redemption_id, program=house.program) for verdict in decision.verdicts]
    assert [(receipt.key_id, receipt.serial) for receipt in receipts] == [
        (house.keyset.primary.id, 0),
        (newer.primary.id, 1),
    ]


async def test_the_value_of_an_order_counts_once_for_each_of_its_campaigns(house):
    campaigns = [await house.campaign(stacking=Stacking(max_tokens_per_order=2)) for _ in range(2)]
    tokens = [token for campaign in campaigns for token in await house.mint(campaign, 2)]
    assert (await house.redeem(*tokens[::-1], spend=900_00)).outcome is Outcome.APPROVED
    for campaign in campaigns:
        stats = await house.stats(campaign)
        assert (stats.redeemed, stats.order_value_minor) == (2, 900_00)


async def test_a_cancelled_batch_marks_its_caller_as_gone(house, monkeypatch):
    """So orders that are not sent yet are dropped."""
    monkeypatch.setattr(house.ledger.orders, "decide", lambda *_, **__: None)
    caller = calling(seconds=SECONDS_MAX)
    attempts = [house.attempt(token) for token in await house.mint(await house.campaign(), 2)]
    redeeming = asyncio.create_task(house.redeemer.redeem_all(caller, attempts))
    await settled()
    assert not caller.gone
    redeeming.cancel()
    await asyncio.gather(redeeming, return_exceptions=True)
    assert caller.gone


async def test_a_repeated_request_gets_its_first_answer_after_the_token_expired(house):
    campaign = await house.campaign()
    expiry = (house.ledger.now_ms() // 1000 + 3_600) * 1000
    spent, unspent = await house.mint(campaign, 2, expires_at_ms=expiry)
    attempt = house.attempt(spent)
    first = await house.send(attempt)
    await house.set_clock(expiry + 20)
    assert outcomes(await house.redeem(unspent)) == [Outcome.TOKEN_EXPIRED]
    assert await house.send(attempt) == first


@pytest.mark.parametrize("field", ["order_id", "spend", "customer"])
async def test_the_same_request_id_with_other_content_is_a_mismatch(house, field):
    (token,) = await house.mint(await house.campaign())
    asked = {"order_id": "order-1", "spend": 238_00, "customer": "ann"}
    await house.redeem(token, request_id="once", **asked)
    other = {"order_id": "order-2", "spend": 239_00, "customer": "ben"}
    decision = await house.redeem(token, request_id="once", **{**asked, field: other[field]})
    assert decision.outcome is Outcome.IDEMPOTENCY_MISMATCH
    assert decision.disposition is Disposition.FIX_CALLER


async def test_a_refusal_is_not_remembered(house):
    """A retry of a refused request is judged afresh: it changed nothing."""
    campaign = await house.campaign()
    (token,) = await house.mint(campaign)
    await house.set_state(campaign, CampaignState.PAUSED)
    attempt = house.attempt(token)
    assert outcomes(await house.send(attempt)) == [Outcome.CAMPAIGN_PAUSED]
    await house.set_state(campaign, CampaignState.ACTIVE)
    assert outcomes(await house.send(attempt)) == [Outcome.APPROVED]


async def test_a_coupon_remembers_its_request_when_requests_are_forgotten(house):
    """After the memory of requests is gone, the coupon's own record gives outcome, receipt and discount."""
    (token,) = await house.mint(await house.campaign())
    attempt = house.attempt(token)
    first = await house.send(attempt)
    await house.delete("r:*")
    again = await house.send(attempt)
    kept = replace(first.verdicts[0], allocations=())
    assert again == replace(first, verdicts=(kept,), settlement=b""), "and nothing is signed about the lines"
    assert outcomes(await house.send(replace(attempt, request_id="new"))) == [Outcome.ALREADY_REDEEMED]


async def test_two_coupons_are_used_together_or_not_at_all(house):
    campaigns = [await house.campaign(), await house.campaign()]
    (first,) = await house.mint(campaigns[0])
    (second,) = await house.mint(campaigns[1])
    await house.redeem(first)
    decision = await house.redeem(first, second, spend=500_00)
    assert outcomes(decision) == [Outcome.ALREADY_REDEEMED, Outcome.STACK_REJECTED]
    assert decision.outcome is Outcome.ALREADY_REDEEMED
    assert decision.discount_minor == 0
    assert outcomes(await house.redeem(second)) == [Outcome.APPROVED], "it was not used up"
    assert [(await house.stats(campaign)).redeemed for campaign in campaigns] == [1, 1]


async def test_two_coupons_take_their_discounts_one_after_the_other(house):
    amount = await house.campaign(stacking=Stacking(priority=10))
    percent = await house.campaign(offers=(Offer(PercentOff(2000, 1000_00)),))
    tokens = [*await house.mint(percent), *await house.mint(amount)]
    lines = (line_of(150_00, line_id="a"), line_of(100_00, line_id="b"))
    decision = await house.redeem(*tokens, lines=lines)
    assert decision.outcome is Outcome.APPROVED
    assert [verdict.discount_minor for verdict in decision.verdicts] == [40_00, 50_00]
    assert decision.verdicts[1].allocations == (Allocation("a", 30_00), Allocation("b", 20_00))
    assert decision.verdicts[0].allocations == (Allocation("a", 24_00), Allocation("b", 16_00))
    backwards = await house.redeem(*[*await house.mint(amount), *await house.mint(percent)], lines=lines)
    assert [verdict.discount_minor for verdict in backwards.verdicts] == [50_00, 40_00]


async def test_each_limit_refuses_with_its_own_outcome_when_it_is_reached(house):
    """Each limit refuses with its own outcome, exactly when it is reached."""
    table = [
        ({"redemptions": 2}, ("ann", "ben", "cat"), Outcome.CAMPAIGN_LIMIT),
        ({"redemptions_per_day": 2}, ("ann", "ben", "cat"), Outcome.DAY_LIMIT),
        ({"redemptions_per_customer": 2}, ("ann", "ann", "ann"), Outcome.CUSTOMER_LIMIT),
        ({"redemptions_per_customer_per_day": 2}, ("ann", "ann", "ann"), Outcome.CUSTOMER_DAY_LIMIT),
        ({"budget_minor": 100_00 + 49_99}, ("ann", "ben", "cat"), Outcome.BUDGET_EXHAUSTED),
    ]
    for limits, customers, refused in table:
        campaign = await house.campaign(**limits)
        tokens = await house.mint(campaign, 3)
        decisions = [
            await house.redeem(token, customer=customer) for token, customer in zip(tokens, customers, strict=True)
        ]
        assert [outcomes(decision)[0] for decision in decisions] == [Outcome.APPROVED, Outcome.APPROVED, refused]
        stats = await house.stats(campaign)
        assert (stats.redeemed, stats.redeemed_today, stats.discount_minor) == (2, 2, 100_00)
        if "day" in refused.name.lower():
            assert 0 < decisions[2].verdicts[0].detail.try_after_ms - house.ledger.now_ms() <= DAY_MS


async def test_tokens_of_one_order_count_one_after_the_other(house):
    """Two coupons of one order count twice against a customer's limit: one order cannot slip past it."""
    campaign = await house.campaign(redemptions_per_customer=2, stacking=Stacking(max_tokens_per_order=2))
    first, *tokens = await house.mint(campaign, 3)
    assert outcomes(await house.redeem(first, customer="ann")) == [Outcome.APPROVED]
    decision = await house.redeem(*tokens, customer="ann", spend=900_00)
    assert outcomes(decision) == [Outcome.STACK_REJECTED, Outcome.CUSTOMER_LIMIT]
    assert (await house.stats(campaign)).redeemed == 1


async def test_an_order_that_does_not_meet_the_conditions_is_refused(house):
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 2)
    short = await house.redeem(tokens[0], spend=188_00)
    assert outcomes(short) == [Outcome.MIN_SPEND_NOT_MET]
    assert short.verdicts[0].detail.missing_minor == 12_00
    assert short.disposition is Disposition.CHANGE_ORDER
    assert outcomes(await house.redeem(tokens[0], currency="USD")) == [Outcome.CURRENCY_MISMATCH]
    both = await house.redeem(*tokens, spend=900_00)
    assert sorted(outcomes(both)) == [Outcome.EXCLUSIVE_CONFLICT, Outcome.STACK_REJECTED]


async def test_a_coupon_that_would_take_nothing_off_is_not_used_up(house):
    campaign = await house.campaign(offers=(Offer(PercentOff(2000, 50_00)),))
    (token,) = await house.mint(campaign)
    tiny = await house.redeem(token, lines=lines_of(1))
    assert outcomes(tiny) == [Outcome.NO_EFFECT]
    gift = await house.redeem(token, lines=lines_of(0))
    assert outcomes(gift) == [Outcome.SCOPE_MISMATCH]
    assert outcomes(await house.redeem(token)) == [Outcome.APPROVED]


async def test_a_coupon_is_refused_before_and_after_its_time(house):
    now = house.ledger.now_ms()
    later = await house.campaign(starts_at_ms=now + DAY_MS)
    over = await house.campaign(starts_at_ms=now - 9 * DAY_MS, ends_at_ms=now - DAY_MS)
    running = await house.campaign()
    (early,) = await house.mint(later, not_before_ms=0)
    decision = await house.redeem(early)
    assert outcomes(decision) == [Outcome.CAMPAIGN_NOT_STARTED]
    assert decision.verdicts[0].detail.try_after_ms == now + DAY_MS
    expires = (now // 1000 + 86_400) * 1000
    (late,) = await house.mint(over, expires_at_ms=expires)
    assert outcomes(await house.redeem(late)) == [Outcome.CAMPAIGN_ENDED]
    (tomorrow,) = await house.mint(running, not_before_ms=expires, expires_at_ms=expires + 1000)
    assert outcomes(await house.redeem(tomorrow)) == [Outcome.TOKEN_NOT_YET_VALID]


async def test_a_bound_coupon_is_its_holders_alone(house):
    (token,) = await house.mint(await house.campaign(), customer_id="ann")
    assert outcomes(await house.redeem(token)) == [Outcome.CUSTOMER_REQUIRED]
    assert outcomes(await house.redeem(token, customer="ben")) == [Outcome.HOLDER_MISMATCH]
    assert outcomes(await house.redeem(token, customer="ann")) == [Outcome.APPROVED]


async def test_a_guest_cannot_use_what_is_counted_by_customer(house):
    (token,) = await house.mint(await house.campaign(redemptions_per_customer=1))
    decision = await house.redeem(token)
    assert outcomes(decision) == [Outcome.CUSTOMER_REQUIRED]
    assert decision.disposition is Disposition.CHANGE_ORDER


async def test_beside_an_invalid_token_nothing_is_evaluated(house):
    (token,) = await house.mint(await house.campaign())
    decision = await house.redeem(token, "A" * 64, "nonsense")
    assert outcomes(decision) == [Outcome.NOT_EVALUATED, Outcome.TOKEN_INVALID, Outcome.TOKEN_INVALID]
    assert decision.outcome is Outcome.TOKEN_INVALID
    assert outcomes(await house.redeem(token)) == [Outcome.APPROVED]


async def test_a_serial_that_was_never_issued_is_invalid(house):
    """A stolen key cannot mint past what the ledger handed out."""
    campaign = await house.campaign()
    await house.mint(campaign)
    assert outcomes(await house.redeem(house.sign(campaign.number, serial=1))) == [Outcome.TOKEN_INVALID]
    assert (await house.stats(campaign)).redeemed == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lines": ()}, "checkout.order.lines"),
        ({"lines": (line_of(-1, list_amount_minor=1),)}, "checkout.order.lines[0].amount_minor"),
        ({"lines": lines_of(2**52, 2**52)}, "checkout.order.lines"),
        ({"lines": (line_of(1, 0),)}, "checkout.order.lines[0].quantity"),
        ({"lines": (line_of(1), line_of(1))}, "checkout.order.lines[1].line_id"),
        ({"currency": "yuan"}, "checkout.order.currency_code"),
        ({"order_id": "x" * 129}, "checkout.order.order_id"),
        ({"order_id": "汉" * 43}, "checkout.order.order_id"),
        ({"request_id": "x" * 1_000_000}, "request_id"),
        ({"customer": "x" * 129}, "checkout.customer.customer_id"),
    ],
)
async def test_bad_input_names_its_field(house, change, field):
    attempt = house.attempt("A" * 64, **{key: value for key, value in change.items() if value != ()})
    if change.get("lines") == ():
        attempt = replace(attempt, checkout=replace(attempt.checkout, order=replace(attempt.checkout.order, lines=())))
    with pytest.raises(InvalidRequest) as raised:
        await house.send(attempt)
    assert raised.value.violations[0].field == field
    assert len(str(raised.value)) < 500


async def told_each(house, attempts, callers):
    """Redeem orders of several callers; returns what each was told."""
    loop = asyncio.get_running_loop()
    told = [loop.create_future() for _ in attempts]
    house.redeemer.redeem([(*order, each.set_result) for *order, each in zip(attempts, callers, told, strict=True)])
    async with asyncio.timeout(SECONDS_MAX):
        return await asyncio.gather(*told)


async def test_an_order_whose_caller_left_is_not_redeemed_and_those_beside_it_are(house):
    tokens = await house.mint(await house.campaign(), 3)
    attempts = [house.attempt(token) for token in tokens]
    callers = [calling(seconds=SECONDS_MAX) for _ in attempts]
    callers[1].gone = True
    first, left, third = await told_each(house, attempts, callers)
    assert (first.outcome, third.outcome) == (Outcome.APPROVED, Outcome.APPROVED)
    assert isinstance(left, LedgerUnavailable)
    assert (await house.redeem(tokens[1])).outcome is Outcome.APPROVED


async def test_the_order_of_a_caller_who_left_is_not_sent_to_the_ledger(house, monkeypatch):
    """The other callers' orders are sent."""
    tokens = await house.mint(await house.campaign(), 3)
    attempts = [house.attempt(token) for token in tokens]
    callers = [calling(seconds=SECONDS_MAX + index) for index in range(3)]
    callers[0].gone = True
    asked = []
    redeem = house.ledger.orders.decide

    def listen(program, items, *, rejudged):
        asked.append([(item.tokens[0].serial, item.caller) for item in items])
        redeem(program, items, rejudged=rejudged)

    monkeypatch.setattr(house.ledger.orders, "decide", listen)
    await told_each(house, attempts, callers)
    assert asked == [[(1, callers[1]), (2, callers[2])]]


async def test_orders_of_several_programs_are_asked_each_of_its_own(house, monkeypatch):
    attempts, programs = [], (house.program, f"{house.program}-2")
    for house.program in programs:
        attempts += [house.attempt(token) for token in await house.mint(await house.campaign(), 2)]
    asked, redeem = [], house.ledger.orders.decide

    def noted(program, items, *, rejudged):
        asked.append((program, [item.program for item in items]))
        redeem(program, items, rejudged=rejudged)

    monkeypatch.setattr(house.ledger.orders, "decide", noted)
    callers = [calling(seconds=SECONDS_MAX) for _ in attempts]
    told = await told_each(house, [*attempts[::2], *attempts[1::2]], callers)
    assert {decision.outcome for decision in told} == {Outcome.APPROVED}
    assert asked == [(program, [program] * 2) for program in programs]


async def test_a_callback_that_fails_does_not_affect_the_other_orders(house):
    attempts = [house.attempt(token) for token in await house.mint(await house.campaign(), 3)]
    told = asyncio.get_running_loop().create_future()

    def deaf(_):
        raise KeyError("defect")

    caller = calling(seconds=SECONDS_MAX)
    house.redeemer.redeem(zip(attempts, [caller] * 3, [deaf, deaf, told.set_result], strict=True))
    async with asyncio.timeout(SECONDS_MAX):
        assert (await told).outcome is Outcome.APPROVED


async def test_a_defect_while_a_campaign_is_read_is_told(house, monkeypatch):
    """Whatever the defect is: without this, the order would never be answered."""
    (token,) = await house.mint(await house.campaign())
    house.ledger._catalog.clear()

    def cut_off(*_):
        raise asyncio.CancelledError

    monkeypatch.setattr(house.ledger.campaigns, "load", cut_off)
    (lost,) = await house.send_all([house.attempt(token)])
    assert isinstance(lost, LedgerUnavailable)
    assert "same request id" in lost.message


@pytest.mark.parametrize("turn", [False, True], ids=["at once", "in turn"])
async def test_a_reply_that_nobody_understands_is_told(house, monkeypatch, turn):
    attempts = [house.attempt(token) for token in await house.mint(await house.campaign(), 2)]
    monkeypatch.setattr(order_store, "unpack_reply", lambda *_: 1 / 0)
    caller = calling(seconds=SECONDS_MAX)
    async with asyncio.timeout(SECONDS_MAX), FairSlots(SlotRule(1, 0)).slot() as place:
        results = await house.redeemer.redeem_all(caller, attempts, place if turn else NO_SLOT)
    assert {type(result) for result in results} == {ItemFailed}


async def test_the_ledger_is_not_asked_when_all_callers_are_gone(house, monkeypatch):
    (token,) = await house.mint(await house.campaign(), 1)
    monkeypatch.setattr(house.ledger.orders, "decide", None)
    caller = calling(gone=True)
    (left,) = await told_each(house, [house.attempt(token)], [caller])
    assert isinstance(left, LedgerUnavailable)


async def test_a_malformed_order_is_not_read_to_its_end(house):
    """Else a kilobyte of empty lines costs milliseconds."""
    with pytest.raises(InvalidRequest) as raised:
        await house.send(house.attempt("A" * 64, lines=(line_of(-1, 0, line_id=""),) * 500))
    fields = [violation.field for violation in raised.value.violations]
    assert fields[-1] == "checkout.order.lines[12].quantity"
    assert len(fields) == 50


async def test_an_order_may_bring_1_to_32_tokens(house):
    campaign = await house.campaign(stacking=Stacking(max_tokens_per_order=32), offers=(Offer(amount_off(0, 1)),))
    tokens = await house.mint(campaign, 33)
    with pytest.raises(InvalidRequest, match="must be 1 to 32 tokens; there are 33"):
        await house.redeem(*tokens)
    with pytest.raises(InvalidRequest, match=r"tokens\[1\]: is the same token as checkout.tokens\[0\]"):
        await house.redeem(tokens[0], tokens[0])
    decision = await house.redeem(*tokens[:32])
    assert decision.outcome is Outcome.APPROVED
    assert decision.discount_minor == 32


async def test_a_batch_answers_each_by_itself(house):
    tokens = await house.mint(await house.campaign(redemptions=2), 3)
    attempts = [house.attempt(tokens[0]), house.attempt("nonsense"), house.attempt(tokens[0]), house.attempt(tokens[1])]
    attempts += [house.attempt(tokens[2], lines=(line_of(-1, list_amount_minor=1),)), house.attempt(tokens[2])]
    results = await house.send_all(attempts)
    assert isinstance(results[4], InvalidRequest)
    assert [result.outcome for index, result in enumerate(results) if index != 4] == [
        Outcome.APPROVED,
        Outcome.TOKEN_INVALID,
        Outcome.ALREADY_REDEEMED,
        Outcome.APPROVED,
        Outcome.CAMPAIGN_LIMIT,
    ]


async def test_a_large_batch_gives_others_a_turn_after_each_order_at_each_stage(house):
    """When it is verified, before it is judged, and when its answer is written; the answers are the same."""
    campaign = await house.campaign()
    tokens = await house.mint(campaign, 4)
    lines = lines_of(*[10_00] * 50)
    attempts = [house.attempt(token, lines=lines) for token in tokens[:3]]
    attempts.append(house.attempt("nonsense", tokens[3], lines=lines))
    worked_on = []

    class Steps(WorkSlot):
        def __init__(self):
            self.counted = 0

        def count(self, positions):
            self.counted = positions
            return True

        async def pause(self):
            worked_on.append((self.counted, (await house.stats(campaign)).redeemed))

        def resume(self):
            worked_on.append("the ledger has answered")

    results = await house.redeemer.redeem_all(calling(seconds=SECONDS_MAX), attempts, Steps())
    assert [result.outcome for result in results] == [Outcome.APPROVED] * 3 + [Outcome.TOKEN_INVALID]
    decided = [(50, 0)] * 3 + ["the ledger has answered"] + [(50, 3)] * 3
    assert worked_on == [(50, 0)] * 3 + [(100, 0)] + decided


async def test_the_same_request_twice_in_one_batch_is_answered_twice_and_counted_once(house):
    campaign = await house.campaign()
    (token,) = await house.mint(campaign)
    attempt = house.attempt(token)
    first, second = await house.send_all([attempt, attempt])
    assert first == second
    assert (await house.stats(campaign)).redeemed == 1


async def test_a_campaign_that_is_not_read_in_time_fails_its_own_order_alone(house, monkeypatch):
    """The deadline bounds the reading of definitions too, and nothing was done for that order."""
    first, second = await house.campaign(), await house.campaign()
    tokens = [*await house.mint(second), *await house.mint(first)]
    house.ledger.campaigns.forget(house.program, first.number)
    monkeypatch.setattr(house.ledger.campaigns, "load", lambda *_: asyncio.Event().wait())
    (late,) = await house.send_all([house.attempt(tokens[1])], seconds=0.05)
    assert isinstance(late, DeadlinePassed)
    assert (await house.redeem(tokens[0])).outcome is Outcome.APPROVED
    monkeypatch.undo()
    assert (await house.stats(first)).redeemed == 0


async def test_a_defect_in_one_order_does_not_affect_the_others(house):
    campaign = await house.campaign()
    attempts = [house.attempt(token) for token in await house.mint(campaign, 3)]
    attempts[1] = house.attempt(None)  # no conversion lets such a token through
    first, second, third = await house.send_all(attempts)
    assert (first.outcome, type(second), third.outcome) == (Outcome.APPROVED, ItemFailed, Outcome.APPROVED)
    assert (await house.stats(campaign)).redeemed == 2
