"""A stateful model against the real Lua: coupons are claimed, held, used and given back in any order.

Hypothesis makes the steps; after each one the ledger's counters and coupons are compared with the book (``life.py``),
and at the end the events and what is left. A failure is printed as a short list of steps that fails again; to repeat
all steps of a run, give pytest the ``--hypothesis-seed`` that it printed. ``make test-thorough`` tries ten times as
many.
"""

import asyncio
import itertools
from collections import Counter, defaultdict
from dataclasses import replace

from builders.calls import calling
from house import House
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from ledger.claims import claim_item
from ledger.desk import Desk, changed, customer_digest, digest
from ledger.life import APPROVED, Book
from thoroughness import tries

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.campaign import CampaignState, Limits, Offer
from redemption.domain.outcome import Outcome
from redemption.domain.ports.orders import Approved, Held, Refused, Remembered
from redemption.domain.ports.reversals import Returned, ReturnPlan

RUNS, STEPS = 80, 60
PLAIN, DAILY = 1, 2
ISSUED, ISSUED_MAX = 4, 6
LIMITS = {
    PLAIN: Limits(issued=ISSUED_MAX, claims_per_customer=2, redemptions=5, budget_minor=2**24 + 60_00),
    DAILY: Limits(
        redemptions_per_customer=3,
        redemptions_per_customer_per_day=2,
        redemptions_per_day=4,
        budget_per_day_minor=45_00,
    ),
}
WIDE = (PLAIN, 3)
"""A coupon whose discount does not fit into three bytes."""
COUPONS = [(PLAIN, serial) for serial in range(ISSUED + 1)] + [(DAILY, serial) for serial in range(ISSUED)]
CARTS = st.one_of(
    st.sampled_from(COUPONS).map(lambda coupon: [coupon]),
    st.lists(st.sampled_from(COUPONS), min_size=1, max_size=3, unique=True).map(sorted),
)
ORDERS = st.sampled_from(["first", "second", "third"])
CUSTOMERS = st.sampled_from([None, "ann", "ben"])
HOLD_SECONDS = st.sampled_from([1, 600, 2_000, 2_000])
PAUSES = st.sampled_from([1, 1, 500, 1_100])
ORDERING = st.tuples(st.booleans(), CARTS, ORDERS, CUSTOMERS, HOLD_SECONDS)
LATEST = st.integers(1, 3)
"""Counts from the end: what happened lately is of more interest."""
WHICH = st.tuples(st.sampled_from([True, True, False]), LATEST)
"""Of reservations: whether one that holds still is preferred, and which."""
QUARTERS = st.sampled_from([None, None, 1, 2, 4])
"""How much of what is left is given back; None: all of it, by the receipt alone."""
_programs = itertools.count()


def limits_of(limits):
    """A campaign's limits by the names of the book."""
    named = {
        "redemptions": limits.redemptions,
        "customer": limits.redemptions_per_customer,
        "customer_day": limits.redemptions_per_customer_per_day,
        "day": limits.redemptions_per_day,
        "budget": limits.budget_minor,
        "budget_day": limits.budget_per_day_minor,
    }
    return {name: value for name, value in named.items() if value is not None}


def in_words(reply):
    """A reply of the ledger in the words of the book."""
    match reply:
        case Approved(decided_at, generations):
            return ("Approved", decided_at, list(generations))
        case Held(decided_at, held_until, generations):
            return ("Approved", decided_at, [held_until, *generations])
        case Remembered():
            until = [reply.held_until] if reply.held_until else []
            return ("Remembered", reply.decided_at, [*until, *reply.generations])
        case Refused():
            return [token.rank for token in reply.tokens]
        case _:
            return type(reply).__name__


def of_reversal(reply):
    """The same of a reply to a return."""
    numbers = [getattr(reply, name) for name in ("restored", "discount_minor", "total_minor") if hasattr(reply, name)]
    return (type(reply).__name__, *numbers) if numbers else type(reply).__name__


class Life(RuleBasedStateMachine):
    """One program in its own part of the ledger, and its book."""

    url = fence = None
    loop = None
    steps = 0

    def __init__(self):
        super().__init__()
        self.house = House(self.url, self.fence / f"fence-{next(_programs)}", program=f"life-{next(_programs)}")
        self.desk = Desk(self.house)
        self.names = itertools.count()
        self.day, self.slot, self.last_slot = 20_000, 1, 1
        self.reservations, self.receipts, self.sent, self.reversed, self.released = [], [], [], [], []
        self.seen = Counter()

    def run(self, waited):
        type(self).steps += 1
        return self.loop.run_until_complete(waited)

    @initialize()
    def begin(self):
        self.run(self.house.start())
        self.campaigns, issued = {}, {}
        for number, limits in LIMITS.items():
            offers = (Offer(amount_off(0, 10_00)), Offer(amount_off(0, 20_00)))
            self.campaigns[number] = self.run(self.desk.campaign(issued=ISSUED, limits=limits, offers=offers))
            issued[number] = ISSUED
        self.book = Book({number: limits_of(limits) for number, limits in LIMITS.items()}, issued)
        self.set_clock(self.house.ledger.now_ms() // 1000 + 3_600)

    def set_clock(self, now):
        """Stop the ledger's clock at a second that the host's clock does not reach meanwhile."""
        self.run(self.house.set_clock(now * 1000))
        self.book.pass_time(now)

    def teardown(self):
        if hasattr(self, "book"):
            try:
                self.run(self.finish())
            finally:
                self.run(self.house.stop())

    # What is sent

    def token(self, number, serial):
        """A coupon as a server would judge it now."""
        discount = 2**24 + 5 if (number, serial) == WIDE else 10_00 + 3 * serial
        slots = {"slot": self.day * 10 + self.slot, "slot_limit": 2, "slot_carries": False} if self.slot else {}
        paused = self.campaigns[number].state is CampaignState.PAUSED
        return self.desk.token(
            self.campaigns[number],
            serial,
            outcome=Outcome.CAMPAIGN_PAUSED if paused else APPROVED,
            discount_minor=discount,
            merchant_minor=discount // 3 if serial % 2 else 0,
            order_value_minor=100_00,
            offer_index=serial % 2,
            day=self.day,
            **(slots if number == DAILY else {}),
        )

    def name(self):
        return f"request-{next(self.names)}"

    def order(self, holds, cart, order, customer, seconds):
        tokens = tuple(self.token(*coupon) for coupon in cart)
        names = {"request": self.name(), "order": order, "customer": customer, "content": repr((cart, customer))}
        if holds:
            return self.desk.hold(*tokens, seconds=seconds, terms=names["content"], **names)
        return self.desk.order(*tokens, **names)

    def decided(self, item, decide):
        """What the book says of an item; the reply must be the same."""
        known = self.book.again(item.request, item.content)
        if known is not None:
            return known
        return decide(item)

    def exchange(self, items, decisions):
        """Send items in one call, compare every reply with the book, and keep what may be used later."""
        replies = self.run(self.desk.send(*items))
        for item, reply, decide in zip(items, replies, decisions, strict=True):
            expected, found = self.decided(item, decide), in_words(reply)
            assert found == expected
            self.sent.append(item)
            self.seen[found[0] if isinstance(found, tuple) else str(found)] += 1
            if isinstance(reply, Held):
                self.reservations.append((item, reply))
            elif isinstance(reply, Approved):
                self.receipts += [(item, reply, index) for index in range(len(item.tokens))]

    def reservation(self, is_open, which):
        """One of the latest reservations."""
        holds = self.book.holds
        still = [
            each for each in self.reservations if (hold := holds.get(each[0].order)) and hold.terms == each[0].terms
        ]
        among = still if is_open and still else self.reservations
        return among[-min(which, len(among))]

    # The steps

    @rule(orders=st.lists(ORDERING, min_size=1, max_size=3))
    def redeem_or_reserve(self, orders):
        """Several in one call, one after the other."""
        items = [self.order(*each) for each in orders]
        self.exchange(items, [self.book.reserve if item.hold_seconds else self.book.redeem for item in items])
        self.check()

    @rule(ordering=ORDERING)
    def redeem_or_reserve_one(self, ordering):
        self.redeem_or_reserve([ordering])

    @precondition(lambda self: self.reservations)
    @rule(which=WHICH, holds=st.booleans(), seconds=HOLD_SECONDS)
    def order_again(self, which, holds, seconds):
        """The same order with the same coupons: its hold is made longer, or ends because they are used."""
        hold, _ = self.reservation(*which)
        again = self.order(holds, [(token.campaign, token.serial) for token in hold.tokens], "", None, seconds)
        again = changed(again, order=hold.order, customer=hold.customer, content=hold.content)
        if holds:
            again.terms = hold.terms
        self.exchange([again], [self.book.reserve if holds else self.book.redeem])
        self.check()

    @precondition(lambda self: self.reservations)
    @rule(which=WHICH, reacquires=st.booleans(), times=st.integers(1, 2))
    def confirm(self, which, reacquires, times):
        hold, held = self.reservation(*which)
        fresh = tuple(self.token(token.campaign, token.serial) for token in hold.tokens)
        items = [
            changed(self.desk.confirm(hold, held, request=self.name(), reacquires=reacquires), tokens=fresh)
            for _ in range(times)
        ]
        self.exchange(items, [lambda item: self.book.confirm(item, held.held_until)] * times)
        self.check()

    @precondition(lambda self: self.reservations)
    @rule(which=WHICH)
    def release(self, which):
        hold, held = self.reservation(*which)
        item = self.desk.release_item(hold, held, request=self.name())
        first = (item.campaign, item.serial)
        identity = item.identity
        expected = self.book.release(
            identity.request,
            identity.content,
            item.order,
            item.terms,
            item.reserved_until,
            first,
            item.generation,
        )
        assert self.run(self.desk.ledger.orders.release(item)).name == expected
        self.released.append(item)
        self.check()

    @precondition(lambda self: self.receipts)
    @rule(which=LATEST, restores=st.booleans(), quarters=QUARTERS)
    def reverse(self, which, restores, quarters):
        self.give_back(self.receipts[-min(which, len(self.receipts))], restores, quarters)
        self.check()

    @rule(coupon=st.sampled_from(COUPONS), order=ORDERS, restores=st.booleans(), quarters=QUARTERS)
    def redeem_and_reverse(self, coupon, order, restores, quarters):
        """Both in one call: the shop cancels what it has only just ordered."""
        item = self.order(False, [coupon], order, None, 0)
        expected = self.book.redeem(item)
        if expected[0] != "Approved":
            assert [in_words(reply) for reply in self.run(self.desk.send(item))] == [expected]
            return
        receipt = (item, Approved(self.book.now, tuple(expected[2])), 0)
        reversal, of_book = self.reversal(receipt, restores, quarters)

        async def both():
            return await asyncio.gather(self.desk.send(item), self.desk.ledger.reversals.reverse(reversal))

        (reply,), returned = self.run(both())
        assert (in_words(reply), of_reversal(returned)) == (expected, of_book)
        self.sent.append(item)
        self.receipts.append(receipt)
        self.check()

    def give_back(self, receipt, restores, quarters):
        item, expected = self.reversal(receipt, restores, quarters)
        assert of_reversal(self.run(self.desk.ledger.reversals.reverse(item))) == expected
        self.seen[expected[0]] += 1
        self.reversed.append(item)

    def reversal(self, receipt, restores, quarters):
        """A return of what was redeemed, and what the book says of it."""
        order, reply, index = receipt
        token, generation = order.tokens[index], reply.generations[index]
        coupon = (token.campaign, token.serial)
        plan = part = None
        taken = self.book.taken.get(coupon)
        if quarters and taken and self.book.generations[coupon] == generation:
            part = (token.discount_minor - taken.returned) * quarters // 4
            total = taken.returned + part
            after = Returned(taken.steps + 1, total, token.merchant_minor * total // token.discount_minor, {})
            plan = ReturnPlan(token.discount_minor, after, ())
        version = self.campaigns[token.campaign].version
        item = self.desk.reversal(
            order, reply, index=index, restores=restores, plan=plan, request=self.name(), version=version
        )
        of_receipt = (coupon, order.order, generation, reply.decided_at)
        identity = item.identity
        return item, self.book.reverse(identity.request, identity.content, of_receipt, restores=restores, part=part)

    @rule(kind=st.sampled_from(["order", "order", "release", "return"]), which=LATEST, same=st.booleans())
    def retry(self, kind, which, same):
        """A request that changed something gets the same answer; the same name with other content gets none."""
        earlier = {"order": self.sent, "release": self.released, "return": self.reversed}[kind]
        if not earlier:
            return
        item = earlier[-min(which, len(earlier))]
        identity = item if kind == "order" else item.identity
        known = self.book.again(identity.request, identity.content)
        if known is None:
            return  # it was refused: then it is judged anew, which is another step
        if kind == "order":
            self.exchange([item if same else changed(item, content=digest("other content", 8))], [None])
        elif kind == "release":
            assert self.run(self.desk.ledger.orders.release(item)).name == known
        else:
            assert of_reversal(self.run(self.desk.ledger.reversals.reverse(item))) == known
        self.check()

    @rule(seconds=PAUSES, days=st.integers(0, 1), slot=st.integers(0, 3))
    def pass_time(self, seconds, days, slot):
        """Some seconds; and the next slot or day of the calendar. Slot 0: the campaign has no slots for a while."""
        self.set_clock(self.book.now + seconds)
        if days:
            self.last_slot = 0
        if slot >= self.last_slot or slot == 0:  # a slot of a day comes once
            self.day, self.slot, self.last_slot = self.day + days, slot, max(slot, self.last_slot)
        self.check()

    @rule(
        what=st.sampled_from(["claim", "claim", "revoke", "pause", "limit"]),
        coupon=st.sampled_from(COUPONS),
        customer=st.sampled_from(["ann", "ben"]),
        redemptions=st.sampled_from([None, 3, 5]),
    )
    def disturb(self, what, coupon, customer, redemptions):
        number = coupon[0]
        if what == "claim":
            self.claim(customer)
        elif what == "revoke":
            held = [coupon for hold in self.book.holds.values() for coupon in hold.coupons]
            self.revoke(held[-1] if held else coupon)
        elif what == "pause":
            paused = self.campaigns[number].state is CampaignState.PAUSED
            self.edit(number, state=CampaignState.ACTIVE if paused else CampaignState.PAUSED)
        else:
            limits = replace(self.campaigns[number].limits, redemptions=redemptions)
            self.edit(number, limits=limits)
            self.book.limits[number] = limits_of(limits)
        self.check()

    def claim(self, customer):
        campaign, issued = self.campaigns[PLAIN], self.book.issued[PLAIN]
        identity = self.desk.named(self.name(), f"claim {customer}")
        item = claim_item(campaign, identity=identity, customer=customer_digest(customer), person=None, day=self.day)
        asked = (calling(), self.house.program, item)
        reply, _ = self.run(self.desk.ledger.issuing.claim(*asked, rejudged=False))
        if self.book.claims[customer] == LIMITS[PLAIN].claims_per_customer:
            assert reply.outcome == Outcome.CLAIM_LIMIT
        elif issued == ISSUED_MAX:
            assert reply.outcome == Outcome.ISSUE_LIMIT
        else:
            assert reply.serial == issued
            self.book.claims[customer] += 1
            self.book.issued[PLAIN] += 1
            self.book.told.append(("claimed", PLAIN, issued))
            again, _ = self.run(self.desk.ledger.issuing.claim(*asked, rejudged=False))
            assert (again.serial, again.remembered) == (issued, True)

    def revoke(self, coupon):
        if coupon[1] < self.book.issued[coupon[0]] and not self.book.revoked:
            self.run(self.desk.revoke(self.campaigns[coupon[0]], coupon[1]))
            self.book.revoked.add(coupon)

    def edit(self, number, **changes):
        stale = self.order(False, [(number, 0)], "stale", None, 0)
        edited = replace(self.campaigns[number], **changes)
        update = self.desk.ledger.campaigns.update(edited, principal="shop", offers_kept=True)
        self.campaigns[number] = self.run(update)
        assert [in_words(reply) for reply in self.run(self.desk.send(stale))] == ["Outdated"]

    # What is compared

    def check(self):
        """The ledger's counters and coupons are the book's."""
        for customer in ("ann", "ben"):
            snapshot = self.run(
                self.desk.quote_snapshot(
                    *((self.campaigns[number], serial) for number, serial in COUPONS), customer=customer
                )
            )
            self.compare_campaigns(snapshot.campaigns, customer_digest(customer))
        for coupon, seen in zip(COUPONS, snapshot.coupons, strict=True):
            taken = self.book.taken.get(coupon)
            hold = taken and self.book.holds.get(taken.order)
            until = hold.expires if hold and coupon in hold.coupons else 0
            assert (seen.used_by, seen.held_until) == (taken.order if taken else b"", until)
            assert (seen.use is not None) == bool(taken and taken.is_used)

    def compare_campaigns(self, campaigns, customer):
        for number, seen in campaigns.items():
            book = self.book
            assert (seen.redeemed, seen.discount_minor) == book.counted(number)
            assert (seen.redeemed_day, seen.discount_day_minor) == book.counted(number, day=seen.day)
            in_slot, _ = book.counted(number, slot=seen.slot)
            assert seen.redeemed_slot == (in_slot if seen.slot else 0)
            assert seen.customer_redeemed == book.counted(number, customer=customer)[0]
            assert seen.customer_today == book.counted(number, customer=customer, day=seen.customer_day)[0]

    async def finish(self):
        """What statistics and events tell is what happened, and holds that are over leave nothing."""
        book, desk = self.book, self.desk
        for number in LIMITS:
            counters = await desk.ledger.campaigns.counters(self.house.program, number, offers=2)
            expected = book.in_force(number)
            assert {name: getattr(counters, name) for name in expected} == expected
            assert counters.offers[1].redeemed == book.used_of_offer(number, 1)
        await self.house.set_clock((book.now + 3_000) * 1000)
        book.pass_time(book.now + 3_000)
        left = ["unknown"]
        for _ in range(100):  # a call looks at some of the past seconds only
            await desk.send(desk.order(self.token(PLAIN, 99)))
            left = [key for kind in ("hold", "due", "wheel") for key in await self.house.keys(f"{kind}:*")]
            if not left:
                break
        assert left == []
        told = defaultdict(list)
        expired = []
        for event in await self.house.events():
            for coupon, entry in _entries(event):
                told[coupon].append(entry)
            if event[0] == b"expired":
                expired.append((event[2], event[3], tuple(zip(event[4][::2], event[4][1::2], strict=True))))
        happened = defaultdict(list)
        for kind, number, serial, *rest in book.told:
            happened[number, serial].append((kind, *rest))
        assert told == happened
        assert sorted(expired) == sorted(book.expired)


STEP_OF = {b"reserved": 4, b"redeemed": 3, b"released": 2}


def _entries(event):
    """What an event says of each coupon, as the book tells it."""
    kind = event[0]
    if kind in STEP_OF:
        step, numbers = STEP_OF[kind], event[-1]
        for at in range(0, len(numbers), step):
            yield tuple(numbers[at : at + 2]), (kind.decode(), *numbers[at + 2 : at + step])
    elif kind == b"reversed":
        yield (event[2], event[3]), ("reversed", *event[4:])
    elif kind == b"claimed":
        yield (event[2], event[3]), ("claimed",)


def test_the_life_of_coupons_is_as_the_book_keeps_it(valkey, tmp_path):
    loop = asyncio.new_event_loop()
    machine = type("LifeHere", (Life,), {"url": valkey.url, "fence": tmp_path, "loop": loop, "steps": 0})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=tries(RUNS),
                stateful_step_count=STEPS,
                deadline=None,
                phases=(Phase.reuse, Phase.generate, Phase.shrink),
                print_blob=True,
            ),
        )
    finally:
        loop.close()
    assert machine.steps > tries(RUNS) * 10
