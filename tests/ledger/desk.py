"""Orders made by hand for the ledger alone: judged as a test wants, with digests of plain words."""

import asyncio
import hashlib
import itertools
from dataclasses import replace

from builders.calls import PRINCIPAL, calling
from waiting import SECONDS_MAX

from redemption.domain.campaign.calendar import local_day
from redemption.domain.outcome import Outcome
from redemption.domain.ports.orders import ConfirmItem, JudgedToken, RedeemItem, Refused, ReleaseItem
from redemption.domain.ports.reversals import ReverseItem
from redemption.domain.request_identity import RequestIdentity

DISCOUNT = 50_00
_numbers = itertools.count()


def digest(text, length):
    """A digest of a word."""
    return hashlib.sha256(text.encode()).digest()[:length]


def customer_digest(name):
    return digest(name, 8)


class Desk:
    """Sends hand-made orders to a ledger."""

    def __init__(self, house):
        self.house = house
        self.ledger = house.ledger
        self.program = house.program
        self.redis = house.redis

    async def campaign(self, issued=100, **changes):
        """A campaign with so many serials issued."""
        campaign = await self.house.campaign(**changes)
        await self.redis.hset(self.house.key(f"campaign:{campaign.number}"), "issued", issued)
        return campaign

    def today(self, campaign):
        return local_day(campaign.time_zone, self.ledger.now_ms()).number

    def token(self, campaign, serial, **changes):
        """One token as the server might judge it: approved, with a discount of 50.00."""
        judged = {
            "campaign": campaign.number,
            "version": campaign.version,
            "serial": serial,
            "outcome": Outcome.APPROVED,
            "discount_minor": DISCOUNT,
            "merchant_minor": 0,
            "order_value_minor": 238_00,
            "offer_index": 0,
            "key_id": 7,
            "merchant_basis_points": 0,
            "parts": ((0, changes.get("discount_minor", DISCOUNT)),),
            "day": self.today(campaign),
            "slot": 0,
            "slot_limit": 0,
            "holder_bound": False,
        }
        return JudgedToken(**(judged | changes))

    def order(self, *tokens, request=None, order=None, customer=None, content=None):
        """One order; every one is new unless its names are given."""
        number = next(_numbers)
        order = RedeemItem(
            program=self.program,
            caller=calling(),
            on_reply=None,
            digests=(
                digest(request or f"request-{number}", 10),
                digest(content or repr((tokens, customer)), 8),
                digest(order or f"order-{number}", 6),
                customer_digest(customer) if customer else None,
            ),
        )
        order.tokens = tokens
        order.until_ms = 2**63
        return order

    def hold(self, *tokens, seconds=900, terms=None, rules_version=0, **names):
        """One order that holds its coupons; its terms are its tokens unless they are given."""
        order = self.order(*tokens, **names)
        order.hold_seconds, order.terms = seconds, digest(terms or repr(tokens), 6)
        order.rules_version = rules_version
        return order

    def confirm(self, hold, held, *, request=None, reacquires=False):
        """The confirmation of a hold that was approved."""
        request = digest(request or f"request-{next(_numbers)}", 10)
        confirmation = ConfirmItem(
            self.program,
            hold.caller,
            None,
            (request, digest(f"confirm {held} {reacquires}", 8), hold.order, hold.customer),
            terms=hold.terms,
            reserved_until=held.held_until,
            reacquires=reacquires,
            generations=held.generations,
        )
        confirmation.tokens, confirmation.until_ms = hold.tokens, 2**63
        return confirmation

    async def release(self, hold, held, *, request=None):
        """Release a hold; returns the ledger's reply."""
        return await self.ledger.orders.release(self.release_item(hold, held, request=request))

    def release_item(self, hold, held, *, request=None):
        identity = self.named(request, f"release {hold.order} {hold.terms}")
        first = hold.tokens[0]
        caller = calling(seconds=SECONDS_MAX)
        coupon = (first.campaign, first.serial, held.generations[0])
        return ReleaseItem(self.program, caller, identity, hold.order, hold.terms, held.held_until, *coupon)

    def reversal(self, order, reply, /, *, index=0, restores=True, plan=None, request=None, **changes):
        """A return of what an order redeemed, all of it unless there is a plan."""
        token = order.tokens[index]
        item = ReverseItem(
            self.program,
            calling(seconds=SECONDS_MAX),
            self.named(request, f"reverse {order.order} {plan}"),
            order.order,
            token.campaign,
            token.version,
            token.serial,
            reply.generations[index],
            reply.decided_at,
            0,
            2**63,
            is_closed=False,
            restores=restores,
            plan=plan,
        )
        return replace(item, **changes)

    async def reverse(self, *redeemed, **changes):
        """Give back what an order redeemed; returns the ledger's reply."""
        return await self.ledger.reversals.reverse(self.reversal(*redeemed, **changes))

    async def redeemed(self, *tokens, **names):
        """Redeem coupons; returns the order and the ledger's reply."""
        order = self.order(*tokens, **names)
        (reply,) = await self.send(order)
        return order, reply

    async def held(self, *tokens, **names):
        """Hold coupons; returns the order and the ledger's reply."""
        hold = self.hold(*tokens, **names)
        (reply,) = await self.send(hold)
        return hold, reply

    async def later(self, seconds):
        """Move the ledger's clock."""
        now_ms = int(await self.redis.hget(self.house.key("ledger"), "clock_ms"))
        await self.house.set_clock(now_ms + 1000 * seconds)

    async def send(self, *orders):
        """Send orders together; returns the ledger's replies."""
        return [reply for reply, _ in await self.send_and_see(*orders)]

    async def send_and_see(self, *orders):
        """Send orders together; returns the ledger's replies, each with the rules that its order exceeds."""
        loop = asyncio.get_running_loop()
        caller = calling(seconds=SECONDS_MAX)
        replies = [loop.create_future() for _ in orders]
        take = [lambda item, reply, future=future: future.set_result((reply, item.exceeded)) for future in replies]
        sent = [changed(order, caller=caller, on_reply=on_reply) for order, on_reply in zip(orders, take, strict=True)]
        self.ledger.orders.decide(self.program, sent, rejudged=False)
        async with asyncio.timeout(SECONDS_MAX):
            return await asyncio.gather(*replies)

    async def ranks(self, *orders):
        """Send orders together; returns for each the ranks of its tokens, or the kind of another reply."""
        return [ranks_of(order, reply) for order, reply in zip(orders, await self.send(*orders), strict=True)]

    async def rank(self, campaign, serial, *, customer=None, order=None, **changes):
        """Redeem one coupon by an order of its own; returns its rank."""
        (ranks,) = await self.ranks(self.order(self.token(campaign, serial, **changes), customer=customer, order=order))
        return ranks[0] if isinstance(ranks, list) else ranks

    async def quote_snapshot(self, *coupons, customer=None, order=None, rules_version=0):
        """What the ledger knows of coupons, each a campaign and a serial, unbound."""
        asked = [(campaign.number, campaign.version, serial, False) for campaign, serial in coupons]
        return await self.ledger.orders.quote_snapshot(
            self.program,
            asked,
            customer=customer and customer_digest(customer),
            order=digest(order, 6) if order else b"",
            rules_version=rules_version,
        )

    async def campaign_snapshot(self, campaign, customer=None):
        """What the ledger has counted of a campaign."""
        return (await self.quote_snapshot((campaign, 0), customer=customer)).campaigns[campaign.number]

    async def field(self, campaign, name):
        """A field of a campaign's record as it is stored."""
        return await self.redis.hget(self.house.key(f"campaign:{campaign.number}"), name)

    def named(self, request, content):
        """Who revokes, and by which request."""
        request = digest(request or f"revoke-{next(_numbers)}", 10)
        return RequestIdentity(PRINCIPAL, request, digest(content, 8))

    async def revoke(self, campaign, first, count=1, *, request=None, content="revoke", reason=""):
        """Revoke serials."""
        identity = self.named(request, content)
        return await self.ledger.revocation.revoke_serials(
            self.program, campaign.number, first, count, identity=identity, reason=reason
        )

    async def revoke_customer(self, campaign, customer, *, request=None, content="revoke", reason=""):
        """Revoke what a customer has."""
        identity = self.named(request, content)
        who = customer_digest(customer)
        await self.ledger.revocation.revoke_customer(
            self.program, campaign.number, who, identity=identity, reason=reason
        )

    async def tomorrow(self, campaign):
        """Move the ledger's clock to the next day of a campaign."""
        day = local_day(campaign.time_zone, self.ledger.now_ms())
        await self.house.set_clock(day.ends_at_ms)
        await self.quote_snapshot((campaign, 0))


ALIKE = ("rules_version", "checks", "since_ms", "until_ms", "hold_seconds", "terms", "tokens")
"""What an order has besides what it is made of."""


def changed(order, /, **fields):
    """The same order once more, with changes."""
    digests = (order.request, order.content, order.order, order.customer)
    made_of = (order.program, order.caller, order.on_reply, digests)
    if isinstance(order, ConfirmItem):
        about = {name: getattr(order, name) for name in ("terms", "reserved_until", "reacquires", "generations")}
        again = ConfirmItem(*made_of, **about)
    else:
        again = RedeemItem(*made_of)
    for name, value in ({name: getattr(order, name) for name in ALIKE} | fields).items():
        setattr(again, name, value)
    return again


def ranks_of(order, reply):
    """The ranks of an order's tokens, or the kind of another reply."""
    if isinstance(reply, Refused):
        return [token.rank for token in reply.tokens]
    name = type(reply).__name__
    return [Outcome.APPROVED] * len(order.tokens) if name in ("Approved", "Held") else name
