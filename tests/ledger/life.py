"""The life of coupons as a book keeps it: held, used, given back. Every limit is a count over the book."""

import math
from collections import Counter
from dataclasses import dataclass, field

from redemption.domain.outcome import BUDGET_DAY_RANK, NEVER_ISSUED_RANK, SAME_ORDER_RANK, Outcome

APPROVED = Outcome.APPROVED
DENIED = (Outcome.RESERVATION_NOT_FOUND, Outcome.RESERVATION_EXPIRED)


@dataclass
class Taken:
    """A coupon that counts, because an order holds or uses it. ``slot``: in which it counts."""

    order: bytes
    customer: bytes | None
    token: object
    slot: int
    generation: int
    is_used: bool
    used_at: int = 0
    returned: int = 0
    merchant_returned: int = 0
    steps: int = 0


@dataclass
class Hold:
    """What an order holds. ``expires``: Unix seconds."""

    order: bytes
    terms: bytes
    expires: int
    coupons: list


@dataclass
class Book:
    """What the ledger must know at every moment. ``limits``: by campaign and name; ``now``: Unix seconds."""

    limits: dict
    issued: dict
    now: int = 0
    taken: dict = field(default_factory=dict)
    holds: dict = field(default_factory=dict)
    generations: dict = field(default_factory=Counter)
    last_discount: dict = field(default_factory=Counter)
    slots: dict = field(default_factory=Counter)
    remembered: dict = field(default_factory=dict)
    revoked: set = field(default_factory=set)
    claims: dict = field(default_factory=Counter)
    sums: dict = field(default_factory=Counter)
    told: list = field(default_factory=list)
    expired: list = field(default_factory=list)

    def pass_time(self, now):
        """Let the holds be over that are."""
        self.now = now
        for hold in [hold for hold in self.holds.values() if hold.expires <= now]:
            self._drop(hold)
            self.expired.append((hold.order, hold.expires, tuple(hold.coupons)))

    def again(self, request, content):
        """What a request gets that was answered before; None: it was not."""
        if request not in self.remembered:
            return None
        known, answer = self.remembered[request]
        return answer if known == content else "Mismatch"

    # Orders

    def redeem(self, order):
        """Returns the generations of an approved order, or the ranks."""
        own = self.holds.get(order.order)
        if own and not any((token.campaign, token.serial) in own.coupons for token in order.tokens):
            own = None
        return self._take(order, own, None)

    def reserve(self, order):
        """Returns the end and the generations of an approved order, or the ranks."""
        return self._take(order, self.holds.get(order.order), order.hold_seconds)

    def confirm(self, order, reserved_until):
        """Returns the generations of a confirmed hold, or the ranks."""
        hold = self.holds.get(order.order)
        coupons = [(token.campaign, token.serial) for token in order.tokens]
        generations = tuple(self.generations[coupon] for coupon in coupons)
        if hold and hold.terms == order.terms and generations == order.generations:
            ranks = [Outcome.REVOKED if coupon in self.revoked else APPROVED for coupon in coupons]
            if set(ranks) != {APPROVED}:
                return ranks
            del self.holds[order.order]
            for coupon in coupons:
                self._use(self.taken[coupon])
            return self._remember(order, [self.taken[coupon].generation for coupon in coupons])
        is_over = not hold and generations == order.generations and self.now >= reserved_until
        if is_over and order.reacquires:
            return self._take(order, None, None)
        return [self._lost(coupon, order.order, DENIED[is_over]) for coupon in coupons]

    def _lost(self, coupon, order, rank):
        taken = self.taken.get(coupon)
        return SAME_ORDER_RANK if taken and taken.is_used and taken.order == order else rank

    def release(self, request, content, order, terms, reserved_until, first, generation):
        """Returns the name of the reply."""
        hold = self.holds.get(order)
        is_its_own = hold and (hold.terms, hold.expires) == (terms, reserved_until)
        if not is_its_own or self.generations[first] != generation:
            taken = self.taken.get(first)
            return "USED" if taken and taken.is_used and taken.order == order else "NOTHING_HELD"
        self._end(hold)
        self.remembered[request] = (content, "NOW")
        return "NOW"

    def _take(self, order, own, hold_seconds):
        counted = [taken for coupon, taken in self.taken.items() if not own or coupon not in own.coupons]
        tentative, ranks = [], []
        for token in order.tokens:
            rank = self._rank(order, token, counted + tentative, own)
            ranks.append(rank)
            if rank == APPROVED:
                slot = token.slot or self.slots[token.campaign]
                generation = self.generations[token.campaign, token.serial]
                tentative.append(Taken(order.order, order.customer, token, slot, generation, is_used=False))
        if set(ranks) != {APPROVED}:
            return ranks
        expires = math.ceil(self.now) + hold_seconds if hold_seconds else 0
        if own:
            if hold_seconds and own.terms == order.terms:
                expires = max(expires, own.expires)
            self._end(own)
        for taken in tentative:
            coupon = (taken.token.campaign, taken.token.serial)
            self.taken[coupon] = taken
            self.slots[coupon[0]] = taken.slot
            self.last_discount[coupon] = 0
            if hold_seconds:
                self.told.append(("reserved", *coupon, taken.generation, taken.token.discount_minor))
            else:
                self._use(taken)
        generations = [taken.generation for taken in tentative]
        if hold_seconds:
            coupons = [(token.campaign, token.serial) for token in order.tokens]
            self.holds[order.order] = Hold(order.order, order.terms, expires, coupons)
            generations.insert(0, expires)
        return self._remember(order, generations)

    def _remember(self, order, answer):
        self.remembered[order.request] = (order.content, ("Remembered", self.now, answer))
        return ("Approved", self.now, answer)

    def _use(self, taken):
        token = taken.token
        taken.is_used, taken.used_at = True, self.now
        self.told.append(("redeemed", token.campaign, token.serial, taken.generation))
        self.sums["value", token.campaign] += token.order_value_minor

    def _end(self, hold):
        self._drop(hold)
        self.told += [("released", *coupon) for coupon in hold.coupons]

    def _drop(self, hold):
        del self.holds[hold.order]
        for coupon in hold.coupons:
            del self.taken[coupon]

    # Giving back

    def reverse(self, request, content, receipt, *, restores, part=None):
        """Returns the kind of the reply and its numbers. part: how much of the discount; None: all that is left."""
        coupon, order, generation, used_at = receipt
        taken = self.taken.get(coupon)
        if self.generations[coupon] > generation:
            return ("NothingLeft", self.last_discount[coupon] if self.generations[coupon] == generation + 1 else 0)
        assert taken.is_used
        assert (taken.order, taken.generation, taken.used_at) == (order, generation, used_at)
        discount, merchant = taken.token.discount_minor, taken.token.merchant_minor
        if taken.returned == discount:
            return ("NothingLeft", discount)
        given = discount - taken.returned if part is None else part
        taken.steps, taken.returned = taken.steps + 1, taken.returned + given
        is_whole = taken.returned == discount
        borne = merchant * taken.returned // discount
        given_merchant, taken.merchant_returned = borne - taken.merchant_returned, borne
        is_restored = is_whole and restores
        self.told.append(("reversed", *coupon, generation, given, given_merchant, int(is_restored)))
        self.sums["reversed", coupon[0]] += taken.steps == 1
        self.sums["reversed_minor", coupon[0]] += given
        if is_restored:
            del self.taken[coupon]
            self.generations[coupon] += 1
            self.last_discount[coupon] = discount
        answer = ("GivenBack", is_restored, given, taken.returned)
        self.remembered[request] = (content, answer)
        return answer

    # Counting

    def counted(self, number, among=None, **where):
        """How many coupons of a campaign count, of one day, slot or customer; and what they took off."""
        taken = self.taken.values() if among is None else among
        found = [each for each in taken if each.token.campaign == number and _matches(each, where)]
        return len(found), sum(each.token.discount_minor - each.returned for each in found)

    def used_of_offer(self, number, offer):
        """How many redemptions of an offer are in force."""
        mine = [each for each in self.taken.values() if each.is_used and each.token.campaign == number]
        return sum(each.token.offer_index == offer and each.returned < each.token.discount_minor for each in mine)

    def in_force(self, number):
        """What statistics tell: used and not given back whole, held, and the sums of both."""
        mine = [each for each in self.taken.values() if each.token.campaign == number]
        used = [each for each in mine if each.is_used]
        held = [each for each in mine if not each.is_used]
        return {
            "redeemed": sum(each.returned < each.token.discount_minor for each in used),
            "discount_minor": sum(each.token.discount_minor - each.returned for each in used),
            "merchant_minor": sum(each.token.merchant_minor - each.merchant_returned for each in used),
            "reserved": len(held),
            "reserved_minor": sum(each.token.discount_minor for each in held),
            "order_value_minor": self.sums["value", number],
            "reversed": self.sums["reversed", number],
            "reversed_minor": self.sums["reversed_minor", number],
        }

    def _rank(self, order, token, counted, own):
        coupon = (token.campaign, token.serial)
        if token.serial >= self.issued[token.campaign]:
            return NEVER_ISSUED_RANK
        applies = [token.outcome]
        if taken := self.taken.get(coupon):
            is_mine = taken.order == order.order
            if taken.is_used:
                applies.append(SAME_ORDER_RANK if is_mine else Outcome.ALREADY_REDEEMED)
            elif not is_mine:
                applies.append(Outcome.RESERVED)
        if coupon in self.revoked:
            applies.append(Outcome.REVOKED)
        if min(applies) == APPROVED:
            applies += self._limits(order, token, counted)
        return min(applies)

    def _limits(self, order, token, counted):
        rules, number = self.limits[token.campaign], token.campaign
        total, discount = self.counted(number, counted)
        today, discount_today = self.counted(number, counted, day=token.day)
        slot, _ = self.counted(number, counted, slot=token.slot)
        if order.customer:
            if self.counted(number, counted, customer=order.customer)[0] >= rules.get("customer", math.inf):
                yield Outcome.CUSTOMER_LIMIT
            mine_today, _ = self.counted(number, counted, customer=order.customer, day=token.day)
            if mine_today >= rules.get("customer_day", math.inf):
                yield Outcome.CUSTOMER_DAY_LIMIT
        if today >= rules.get("day", math.inf):
            yield Outcome.DAY_LIMIT
        if token.slot and (today if token.slot_carries else slot) >= token.slot_limit:
            yield Outcome.SLOT_LIMIT
        if total >= rules.get("redemptions", math.inf):
            yield Outcome.CAMPAIGN_LIMIT
        if discount + token.discount_minor > rules.get("budget", math.inf):
            yield Outcome.BUDGET_EXHAUSTED
        if discount_today + token.discount_minor > rules.get("budget_day", math.inf):
            yield BUDGET_DAY_RANK


def _matches(taken, where):
    of = {"customer": taken.customer, "slot": taken.slot, "day": taken.token.day}
    return all(of[name] == value for name, value in where.items())
