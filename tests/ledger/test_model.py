"""The real ledger against simple models: thousands of random orders, every verdict and every counter compared."""

import math
import random
import struct
from dataclasses import replace

import pytest
from builders.calls import calling
from builders.coupon_records import discount_of
from ledger.desk import changed, customer_digest

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.campaign import Offer, Stacking
from redemption.domain.outcome import BUDGET_DAY_RANK, NEVER_ISSUED_RANK, SAME_ORDER_RANK, Outcome

OFF = 10_00


class Model:
    """The rules, applied to one order after the other, without regard to speed."""

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
        # In their turn, not as they are named: by campaign and serial.
        told = {coupon: self._verdict(coupon, order, customer, counted, by_customer) for coupon in sorted(coupons)}
        verdicts = [told[coupon] for coupon in coupons]
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
            offers=(Offer(amount_off(0, OFF)),), stacking=Stacking(max_tokens_per_order=3), **rules
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
        stats = await house.campaigns.stats(calling(), house.program, number)
        assert (stats.redeemed, stats.discount_minor) == (model.redeemed[number], model.redeemed[number] * OFF)
    assert {Outcome.APPROVED, Outcome.ALREADY_REDEEMED, Outcome.IDEMPOTENCY_MISMATCH, "same order"} <= seen
    assert {Outcome.CAMPAIGN_LIMIT, Outcome.CUSTOMER_LIMIT, Outcome.BUDGET_EXHAUSTED} <= seen


class Book:
    """The ledger's rules as a list of what was redeemed: every limit is a count over the list."""

    def __init__(self):
        self.redeemed = []
        self.remembered = {}
        self.issued = {}
        self.revoked = set()
        self.revoked_holders = {}

    def decide(self, order):
        """The ranks of an order's tokens, or the kind of another reply."""
        if order.request in self.remembered:
            return "Remembered" if self.remembered[order.request] == order.content else "Mismatch"
        tentative, ranks = [], []
        for token in order.tokens:
            rank = self._rank(order, token, self.redeemed + tentative)
            ranks.append(rank)
            if rank == Outcome.APPROVED:
                tentative.append((order, token))
        if set(ranks) == {Outcome.APPROVED}:
            self.redeemed += tentative
            self.remembered[order.request] = order.content
        return ranks

    def is_revoked(self, order, token):
        """Whether a coupon was taken back."""
        issued_then = self.revoked_holders.get((token.campaign, order.customer), 0)
        by_holder = token.holder_bound and token.serial < issued_then
        return (token.campaign, token.serial) in self.revoked or by_holder

    def uses(self, campaign, serial):
        return [order for order, token in self.redeemed if (token.campaign, token.serial) == (campaign, serial)]

    def counted(self, campaign, **where):
        """Redemptions of a campaign, of one day, slot or customer; together with their discounts."""
        found = [token for order, token in self.redeemed if token.campaign == campaign and matches(order, token, where)]
        return len(found), sum(token.discount_minor for token in found)

    def _rank(self, order, token, redeemed):
        if token.serial >= self.issued[token.campaign]:
            return NEVER_ISSUED_RANK
        applies = [token.outcome]
        if uses := self.uses(token.campaign, token.serial):
            applies.append(SAME_ORDER_RANK if uses[0].order == order.order else Outcome.ALREADY_REDEEMED)
        if self.is_revoked(order, token):
            applies.append(Outcome.REVOKED)
        if min(applies) == Outcome.APPROVED:
            applies += self._limits(order, token, redeemed)
        return min(applies)

    def _limits(self, order, token, redeemed):
        mine = Book()
        mine.redeemed = redeemed
        rules, number = RULES[token.campaign], token.campaign
        total, discount = mine.counted(number)
        today, discount_today = mine.counted(number, day=token.day)
        slot, _ = mine.counted(number, slot=token.slot)
        if order.customer:
            by_customer, _ = mine.counted(number, customer=order.customer)
            by_customer_today, _ = mine.counted(number, customer=order.customer, day=token.day)
            if by_customer >= rules.get("redemptions_per_customer", math.inf):
                yield Outcome.CUSTOMER_LIMIT
            if by_customer_today >= rules.get("redemptions_per_customer_per_day", math.inf):
                yield Outcome.CUSTOMER_DAY_LIMIT
        if today >= rules.get("redemptions_per_day", math.inf):
            yield Outcome.DAY_LIMIT
        if token.slot and (today if token.slot_carries else slot) >= token.slot_limit:
            yield Outcome.SLOT_LIMIT
        if total >= rules.get("redemptions", math.inf):
            yield Outcome.CAMPAIGN_LIMIT
        if discount + token.discount_minor > rules.get("budget_minor", math.inf):
            yield Outcome.BUDGET_EXHAUSTED
        if discount_today + token.discount_minor > rules.get("budget_per_day_minor", math.inf):
            yield BUDGET_DAY_RANK


def matches(order, token, where):
    """Whether a redemption has a day, slot or customer."""
    return all(
        value == (order.customer if name == "customer" else getattr(token, name)) for name, value in where.items()
    )


SLOT_PLAIN, SLOT_CARRYING, MONEY, PEOPLE = 1, 2, 3, 4
RULES = {
    SLOT_PLAIN: {},
    SLOT_CARRYING: {"redemptions": 60},
    MONEY: {"budget_minor": 400_00, "budget_per_day_minor": 60_00},
    PEOPLE: {"redemptions_per_customer": 6, "redemptions_per_customer_per_day": 3, "redemptions_per_day": 14},
}
SLOTS_A_DAY = 4
ISSUED = 120
PEOPLE_NAMES = (None, "ann", "ben", "cat", "dan")


class Shop:
    """Two servers, some days in slots, and random orders."""

    def __init__(self, rng, desks, campaigns):
        self.rng = rng
        self.desks = desks
        self.campaigns = campaigns
        self.book = Book()
        self.book.issued = dict.fromkeys(campaigns, ISSUED)
        self.day, self.slot = 20_000, 0
        self.approved = []
        self.seen = set()

    def later(self):
        """The next slot, perhaps of the next day."""
        self.day, self.slot = self.day + (self.slot + 1) // SLOTS_A_DAY, (self.slot + 1) % SLOTS_A_DAY

    def slot_of(self, number):
        """A campaign's slot and its limit now, as a server would send them."""
        if number == SLOT_PLAIN:
            return self.day * 10 + self.slot, 3, False
        if number == SLOT_CARRYING:
            return self.day * 10 + self.slot, 2 * (self.slot + 1), True
        return 0, 0, False

    def order(self, desk):
        """A random order, judged by a server's own version of the campaigns; sometimes one that was approved.

        An approved one comes under its own request id, or under another one.
        """
        if self.approved and self.rng.randrange(10) == 0:
            again = self.rng.choice(self.approved)
            return again if self.rng.randrange(2) else changed(again, request=self.rng.randbytes(10))
        customer = self.rng.choice(PEOPLE_NAMES)
        chosen = set()
        while len(chosen) < self.rng.choice((1, 1, 1, 2, 3)):
            chosen.add((self.rng.choice(list(RULES)), self.rng.randrange(ISSUED + 4)))
        names = {"request": f"request-{self.rng.randrange(700)}", "order": f"order-{self.rng.randrange(30)}"}
        tokens = tuple(self.token(desk, *coupon, bound=customer is not None) for coupon in sorted(chosen))
        content = repr((names["order"], customer, sorted(chosen)))
        return desk.order(*tokens, customer=customer, content=content, **names)

    def token(self, desk, number, serial, *, bound):
        slot, limit, carries = self.slot_of(number)
        discount = self.rng.choice((0, 1, 10_00, 25_00))
        return desk.token(
            desk.ledger.campaigns.cached(desk.program, number),
            serial,
            outcome=self.rng.choice([Outcome.APPROVED] * 12 + [Outcome.TOKEN_EXPIRED, Outcome.NO_EFFECT]),
            discount_minor=discount,
            merchant_minor=self.rng.choice((0, discount // 3)),
            day=self.day,
            slot=slot,
            slot_limit=limit,
            holder_bound=bound and serial % 2 == 0,
            slot_carries=carries,
        )

    async def trade(self):
        """Send a batch of random orders by one of the servers, and compare every answer."""
        desk = self.rng.choice(self.desks)
        orders = [self.order(desk) for _ in range(self.rng.choice((1, 5, 25)))]
        for _ in range(2):
            outdated = []
            for order, found in zip(orders, await desk.ranks(*orders), strict=True):
                if found == "Outdated":
                    tokens = (replace(token, version=self.version(desk, token)) for token in order.tokens)
                    outdated.append(changed(order, tokens=tuple(tokens)))
                    self.seen.add(found)
                    continue
                assert found == self.book.decide(order), order
                self.seen.update(found if isinstance(found, list) else [found])
                if isinstance(found, list) and set(found) == {Outcome.APPROVED}:
                    self.approved.append(order)
            orders = outdated
            if not orders:
                return
        raise AssertionError("still outdated")

    def version(self, desk, token):
        return desk.ledger.campaigns.cached(desk.program, token.campaign).version

    async def disturb(self):
        """Something else happens: time, a revocation, an issue, a change of a campaign."""
        desk, number = self.rng.choice(self.desks), self.rng.choice(list(RULES))
        campaign = self.campaigns[number]
        match self.rng.randrange(6):
            case 0 | 1:
                self.later()
            case 2:
                first, count = self.rng.randrange(ISSUED), self.rng.choice((1, 1, 2, 4))
                beyond = await desk.revoke(campaign, first, count)
                if first + count <= self.book.issued[number]:
                    self.book.revoked |= {(number, serial) for serial in range(first, first + count)}
                    assert beyond is None
                else:
                    assert beyond == self.book.issued[number]
            case 3:
                customer = self.rng.choice(PEOPLE_NAMES[1:])
                await desk.revoke_customer(campaign, customer)
                self.book.revoked_holders[number, customer_digest(customer)] = self.book.issued[number]
            case 4:
                self.book.issued[number] += 1
                await desk.redis.hset(desk.house.key(f"campaign:{number}"), "issued", self.book.issued[number])
            case 5:
                self.campaigns[number] = await desk.ledger.campaigns.update(
                    campaign, principal="shop", offers_kept=True
                )

    async def quote_snapshot(self):
        """A server asks about coupons, and gets what the model knows."""
        desk = self.rng.choice(self.desks)
        order = self.order(desk)
        asked = [
            (token.campaign, self.campaigns[token.campaign].version, token.serial, token.holder_bound)
            for token in order.tokens
        ]
        snapshot = await desk.ledger.orders.quote_snapshot(
            desk.program, asked, customer=order.customer, order=order.order, rules_version=0
        )
        for token, coupon in zip(order.tokens, snapshot.coupons, strict=True):
            assert coupon.issued == (token.serial < self.book.issued[token.campaign])
            assert coupon.revoked == (coupon.issued and self.book.is_revoked(order, token))
            assert [coupon.used_by] == ([use.order for use in self.book.uses(token.campaign, token.serial)] or [b""])
        for number, campaign in snapshot.campaigns.items():
            by_day = self.book.counted(number, day=campaign.day)
            mine = {"customer": order.customer}
            assert (campaign.redeemed, campaign.discount_minor) == self.book.counted(number)
            assert (campaign.redeemed_day, campaign.discount_day_minor) == by_day
            assert campaign.redeemed_slot == (self.book.counted(number, slot=campaign.slot)[0] if campaign.slot else 0)
            if order.customer:
                assert campaign.customer_redeemed == self.book.counted(number, **mine)[0]
                assert campaign.customer_today == self.book.counted(number, day=campaign.customer_day, **mine)[0]

    async def counters_equal_records(self):
        """What the ledger has counted is what its records say, one by one."""
        desk = self.desks[0]
        said, events = await desk.house.redeemed(), await desk.house.events()
        shares = [(event[2], event[5]) for event in events if event[0] == b"merchant_share"]
        for number in RULES:
            counters = await desk.ledger.campaigns.counters(desk.program, number, offers=1)
            used = [discount_of(record) for record in await desk.house.records(f"u:{number}:*")]
            customers = [redemptions_of(record) for record in await desk.house.records(f"c:{number}:*")]
            mine = [serial for campaign, serial, _ in said if campaign == number]
            redeemed = [(order, token) for order, token in self.book.redeemed if token.campaign == number]
            assert counters.redeemed == len(used) == len(mine) == self.book.counted(number)[0]
            assert sorted(mine) == sorted(token.serial for _, token in redeemed)
            assert counters.discount_minor == sum(used) == self.book.counted(number)[1]
            assert sum(customers) == sum(order.customer is not None for order, _ in redeemed)
            assert counters.merchant_minor == sum(token.merchant_minor for _, token in redeemed)
            assert counters.merchant_minor == sum(share for campaign, share in shares if campaign == number)
            assert counters.order_value_minor == sum(token.order_value_minor for _, token in redeemed)


def redemptions_of(record):
    """The redemptions in the record of a customer."""
    return 1 if record[0] == 2 else struct.unpack(">BHHH", record)[1]


@pytest.mark.parametrize("seed", range(4))
async def test_the_ledger_keeps_the_models_book(desk, other_desk, seed):
    """Slots with and without carry-over, money a day, people, revocations, changes; asked by two servers in turn."""
    campaigns = {number: await desk.campaign(issued=ISSUED, **rules) for number, rules in RULES.items()}
    await other_desk.ledger.campaigns.load_range(desk.program, 1, 9)
    shop = Shop(random.Random(seed), [desk, other_desk], campaigns)
    for _ in range(80):
        await shop.trade()
        await shop.disturb()
        await shop.quote_snapshot()
    await shop.counters_equal_records()
    assert {
        Outcome.APPROVED,
        Outcome.ALREADY_REDEEMED,
        SAME_ORDER_RANK,
        Outcome.REVOKED,
        "Remembered",
        "Mismatch",
    } <= shop.seen
    assert {Outcome.SLOT_LIMIT, BUDGET_DAY_RANK, NEVER_ISSUED_RANK, "Outdated"} <= shop.seen
