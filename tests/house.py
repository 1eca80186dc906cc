"""The use cases wired on a real ledger, and short ways to say what a test is about."""

import asyncio
import itertools
import secrets
import time
from dataclasses import replace

from redis.asyncio import Redis
from waiting import SECONDS_MAX

from redemption.domain.call_info import CallInfo
from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.campaign import Campaign, Limits, Offer
from redemption.domain.errors import ServiceError
from redemption.domain.judging.claiming import Claim, CodeGiven, OfferWanted
from redemption.domain.order import GUEST, NO_RISK_CONTEXT, Checkout, Customer, Line, Order
from redemption.domain.signed.keyset import Keyset
from redemption.ledger.endpoint import Endpoint
from redemption.ledger.ledger import RedisLedger
from redemption.ledger.trust.fence import Fence
from redemption.service.issuer import MintRequest
from redemption.service.pending_order import RedeemRequest
from redemption.service.use_cases import UseCases

DAY_MS = 86_400_000
PRINCIPAL = "checkout"
CLOCK_APART_SECONDS_MAX = 10 * 366 * 86_400
"""So that tests may set the clock that a ledger remembers."""


def calling(principal=PRINCIPAL, *, deadline=None, gone=False):
    """What a use case is told about its call; without a deadline it has an hour."""
    return CallInfo(principal, "/a.test/Calls", "127.0.0.1:1", deadline or time.monotonic() + 3600, gone)


def new_keyset():
    """A fresh development keyset."""
    return Keyset.generate(
        environment="development", development=True, now=int(time.time()), random=secrets.token_bytes
    )


class House:
    """One server's worth of use cases."""

    def __init__(self, url, fence_path, *, program, keyset=None, births_allowed=True):
        self.url = url
        self.program = program
        self.keyset = keyset or new_keyset()
        self.fence = Fence(fence_path, self.keyset.id)
        endpoint = Endpoint(url, "strict", clock_apart_seconds_max=CLOCK_APART_SECONDS_MAX)
        self.ledger = RedisLedger(endpoint, fence=self.fence, births_allowed=births_allowed)
        self.use(self.keyset)
        self.redis = Redis.from_url(url, protocol=2)
        self.ids = itertools.count()

    def use(self, keyset):
        """Go on with another state of the keys."""
        self.services_keyset = keyset
        self.use_cases = UseCases(keyset, self.ledger)
        self.redeemer = self.use_cases.redeemer
        self.finder = self.use_cases.finder
        self.quoter = self.use_cases.quoter
        self.issuer = self.use_cases.issuer
        self.claimer = self.use_cases.claimer
        self.revoker = self.use_cases.revoker
        self.campaigns = self.use_cases.campaigns

    async def start(self):
        await self.ledger.start()

    async def stop(self):
        await self.ledger.stop()
        await self.redis.aclose()

    def key(self, rest):
        """A key of this program."""
        return f"{{{self.program}}}:{rest}"

    async def campaign(self, **changes):
        """Create 满200减50 with changes."""
        return await self.campaigns.create(calling(), secrets.token_hex(8), self.definition(**changes))

    def definition(self, **changes):
        now = self.ledger.now_ms()
        limits = {name: changes.pop(name) for name in tuple(changes) if hasattr(Limits(), name)}
        base = Campaign(
            program=self.program,
            name=f"满200减50 {next(self.ids)}",
            currency_code="CNY",
            time_zone="Asia/Shanghai",
            starts_at_ms=now - DAY_MS,
            ends_at_ms=now + 30 * DAY_MS,
            offers=(Offer(amount_off(200_00, 50_00)),),
            limits=Limits(**limits),
        )
        return replace(base, **changes)

    async def mint(self, campaign, count=1, **changes):
        """Mint tokens and return their texts."""
        order = MintRequest(self.program, secrets.token_hex(8), campaign.number, 0, count)
        order = replace(order, **changes)
        return [minted.token async for chunk in await self.issuer.mint(calling(), order) for minted in chunk]

    async def mint_codes(self, campaign, count=1, **changes):
        """Mint exchange codes and return them as they are handed out."""
        order = MintRequest(self.program, secrets.token_hex(8), campaign.number, 0, count)
        order = replace(order, **changes)
        return [minted.code async for chunk in await self.issuer.mint_codes(calling(), order) for minted in chunk]

    async def claim(self, source, customer="ann", *, request_id=None, risk=NO_RISK_CONTEXT, seconds=SECONDS_MAX, **who):
        """Claim a coupon of a campaign's first offer, or for a code; every try is new unless an id is given."""
        source = CodeGiven(source) if isinstance(source, str) else source
        source = OfferWanted(source.number, 0) if isinstance(source, Campaign) else source
        claim = Claim(self.program, request_id or f"claim-{next(self.ids)}", source, Customer(customer, **who), risk)
        deadline = asyncio.get_running_loop().time() + seconds
        return await self.claimer.claim(calling(deadline=deadline), claim)

    def attempt(self, *tokens, request_id=None, order_id=None, spend=238_00, customer=None, lines=None, currency="CNY"):
        """An attempt to redeem an order; every one is new unless ids are given."""
        number = next(self.ids)
        order = Order(
            order_id=order_id or f"order-{number}",
            currency_code=currency,
            lines=lines or (Line("1", 1, spend, spend),),
        )
        buyer = Customer(customer_id=customer) if customer else GUEST
        return RedeemRequest(request_id or f"request-{number}", Checkout(self.program, tokens, order, buyer))

    async def redeem(self, *tokens, principal=PRINCIPAL, **order):
        """Redeem one order."""
        return await self.send(self.attempt(*tokens, **order), principal=principal)

    async def send(self, attempt, *, principal=PRINCIPAL, seconds=SECONDS_MAX):
        """Send an attempt."""
        deadline = asyncio.get_running_loop().time() + seconds
        (result,) = await self.redeemer.redeem_all(calling(principal, deadline=deadline), [attempt])
        if isinstance(result, ServiceError):
            raise result
        return result

    async def send_all(self, attempts, seconds=SECONDS_MAX):
        """Send a batch."""
        deadline = asyncio.get_running_loop().time() + seconds
        return await self.redeemer.redeem_all(calling(deadline=deadline), attempts)

    async def stats(self, campaign):
        return await self.campaigns.stats(calling(), self.program, campaign.number)
