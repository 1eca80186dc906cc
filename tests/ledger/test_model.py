"""The real ledger against an obvious model: thousands of random orders, every verdict and every counter compared."""

import random

import pytest

from redemption.domain.campaign import AmountOff, Offer, Stacking
from redemption.domain.outcome import Outcome

OFF = 10_00


class Model:
    """What the rules say, one order after the other, with no thought for speed."""

    def __init__(self, limits):
        self.limits = limits
        self.used = {}
        self.remembered = {}
        self.redeemed = dict.fromkeys(limits, 0)
        self.customers = {}

    def redeem(self, request, order, customer, coupons):
        content = (order, customer, coupons)
        if request in self.remembered:
            return self._again(request, content, coupons)
        counted, by_customer = dict(self.redeemed), dict(self.customers)
        verdicts = [self._verdict(coupon, order, customer, counted, by_customer) for coupon in coupons]
        if set(verdicts) != {Outcome.APPROVED}:
            return [Outcome.STACK_REJECTED if verdict is Outcome.APPROVED else verdict for verdict in verdicts]
        self.redeemed, self.customers = counted, by_customer
        self.used.update(dict.fromkeys(coupons, order))
        self.remembered[request] = content
        return verdicts

    def _again(self, request, content, coupons):
        same = self.remembered[request] == content
        return [Outcome.APPROVED if same else Outcome.IDEMPOTENCY_MISMATCH] * len(coupons)

    def _verdict(self, coupon, order, customer, counted, by_customer):
        campaign = coupon[0]
        limits = self.limits[campaign]
        per_customer = "redemptions_per_customer" in limits
        if self.used.get(coupon) == order:
            return "same order"
        if per_customer and not customer:
            return Outcome.CUSTOMER_REQUIRED
        if coupon in self.used:
            return Outcome.ALREADY_REDEEMED
        mine = by_customer.get((campaign, customer), 0)
        if per_customer and mine >= limits["redemptions_per_customer"]:
            return Outcome.CUSTOMER_LIMIT
        if counted[campaign] >= limits.get("redemptions_per_day", 10**9):
            return Outcome.DAY_LIMIT
        if counted[campaign] >= limits.get("redemptions", 10**9):
            return Outcome.CAMPAIGN_LIMIT
        if (counted[campaign] + 1) * OFF > limits.get("budget_minor", 10**9):
            return Outcome.BUDGET_EXHAUSTED
        counted[campaign] += 1
        by_customer[campaign, customer] = mine + 1
        return Outcome.APPROVED


def told(decision):
    """A decision's verdicts in the model's words."""
    return [
        "same order" if verdict.detail and verdict.detail.same_order else verdict.outcome
        for verdict in decision.verdicts
    ]


@pytest.mark.parametrize("seed", range(4))
async def test_every_verdict_is_the_models(house, seed):
    rng = random.Random(seed)
    limits = {
        1: {"redemptions": 25},
        2: {"redemptions_per_customer": 4, "redemptions_per_day": 22},
        3: {"budget_minor": 30 * OFF + 1},
    }
    tokens = {}
    for number, rules in limits.items():
        campaign = await house.campaign(
            offers=(Offer(AmountOff(0, OFF)),), stacking=Stacking(max_tokens_per_order=3), **rules
        )
        tokens |= {(number, serial): token for serial, token in enumerate(await house.mint(campaign, 40))}
    model = Model(limits)
    seen = set()
    for _ in range(40):
        batch, expected = [], []
        for _ in range(rng.choice((1, 7, 30))):
            coupons = tuple(rng.sample(sorted(tokens), rng.choice((1, 1, 1, 2, 3))))
            request, order = f"request-{rng.randrange(600)}", f"order-{rng.randrange(60)}"
            customer = rng.choice(("", "ann", "ben", "cat", "dan", "eve", "fay", "gus"))
            expected.append(model.redeem(request, order, customer, coupons))
            attempt = house.attempt(
                *(tokens[coupon] for coupon in coupons),
                request_id=request,
                order_id=order,
                customer=customer,
                spend=500_00,
            )
            batch.append(attempt)
        results = [told(result) for result in await house.send_all(batch)]
        assert results == expected
        seen.update(outcome for verdicts in expected for outcome in verdicts)
    for number in limits:
        stats = await house.campaigns.stats(house.program, number)
        assert (stats.redeemed, stats.discount_minor) == (model.redeemed[number], model.redeemed[number] * OFF)
    assert {Outcome.APPROVED, Outcome.ALREADY_REDEEMED, Outcome.IDEMPOTENCY_MISMATCH, "same order"} <= seen
    assert {Outcome.CAMPAIGN_LIMIT, Outcome.CUSTOMER_LIMIT, Outcome.BUDGET_EXHAUSTED} <= seen
