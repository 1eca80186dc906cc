"""The use cases wired on a real ledger, and short ways to say what a test is about."""

import itertools
import secrets
import time
from dataclasses import replace

import msgpack
from builders.calls import PRINCIPAL, calling
from builders.campaigns import campaign_of
from builders.keysets import keyset_of
from builders.orders import line_of, order_of
from builders.times import DAY_MS
from builders.tokens import forged_token
from redis.asyncio import Redis
from waiting import SECONDS_MAX

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.campaign import Campaign, Offer
from redemption.domain.errors import ServiceError
from redemption.domain.judging.claiming import Claim, CodeGiven, OfferWanted
from redemption.domain.order import GUEST, NO_RISK_CONTEXT, Checkout, Customer
from redemption.domain.risk.given_subjects import GivenSubject
from redemption.domain.risk.lists import ListKind
from redemption.domain.risk.rules import Rules
from redemption.domain.risk.subjects import SubjectKind
from redemption.domain.signed.check_values import check_values
from redemption.ledger.endpoint import Endpoint
from redemption.ledger.ledger import RedisLedger
from redemption.ledger.trust.fence import Fence
from redemption.service.campaigns import etag
from redemption.service.issuer import MintRequest
from redemption.service.pending_order import RedeemRequest, ReserveRequest
from redemption.service.quoter import QuoteRequest
from redemption.service.reserver import ConfirmRequest, ReleaseRequest
from redemption.service.reverser import ReverseRequest
from redemption.service.revoker import RevokeRequest
from redemption.service.risk_lists import EntriesUnwanted, EntriesWanted
from redemption.service.risk_rules import etag as risk_etag
from redemption.service.use_cases import UseCases

TEN_YEARS_SECONDS = 10 * 366 * 86_400


def given(subject):
    """A subject as a request names it, made of its kind and its text, or of a coupon's campaign and serial."""
    what, named = subject
    if isinstance(what, SubjectKind):
        return GivenSubject(what, named)
    return GivenSubject(SubjectKind.COUPON, campaign=what, serial=named)


class House:
    """One server's worth of use cases."""

    def __init__(
        self,
        url,
        fence_path,
        *,
        program,
        keyset=None,
        may_create_ledger=True,
        clock_apart_seconds_max=TEN_YEARS_SECONDS,
        durability="strict",
        learns=True,
    ):
        """Build it; the clocks may be far apart, so that a test may set the one that a ledger remembers."""
        self.url = url
        self.program = program
        self.keyset = keyset or keyset_of(environment="development", development=True, now=int(time.time()))
        self.fence = Fence(
            fence_path, self.keyset.id, check_values(self.keyset), trails=durability == "fast", learns=learns
        )
        endpoint = Endpoint(url, durability, clock_apart_seconds_max=clock_apart_seconds_max)
        self.ledger = RedisLedger(endpoint, fence=self.fence, may_create_ledger=may_create_ledger)
        self.use(self.keyset)
        self.redis = Redis.from_url(url, protocol=2)
        self.ids = itertools.count()

    def use(self, keyset):
        """Go on with another state of the keys."""
        self.services_keyset = keyset
        self.use_cases = UseCases(keyset, self.ledger)
        self.redeemer = self.use_cases.redeemer
        self.finder = self.use_cases.finder
        self.reserver = self.use_cases.reserver
        self.reverser = self.use_cases.reverser
        self.quoter = self.use_cases.quoter
        self.issuer = self.use_cases.issuer
        self.claimer = self.use_cases.claimer
        self.revoker = self.use_cases.revoker
        self.campaigns = self.use_cases.campaigns
        self.risk_rules = self.use_cases.risk_rules
        self.risk_lists = self.use_cases.risk_lists

    def another(self, fence_path, **changes):
        """Another server, of the same program and with the same keys unless told otherwise; it has to be started."""
        other = House(self.url, fence_path, **{"program": self.program, "keyset": self.keyset} | changes)
        other.ids = self.ids
        return other

    async def start(self):
        await self.ledger.start()

    async def stop(self):
        await self.ledger.stop()
        await self.redis.aclose()

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.stop()

    # Campaigns

    async def campaign(self, **changes):
        """Create 满200减50 with changes; have the program's rules in memory, as a server that serves it has."""
        campaign = await self.campaigns.create(calling(), secrets.token_hex(8), self.definition(**changes))
        await self.ledger.rules.load(self.program)
        return campaign

    def definition(self, **changes):
        now = self.ledger.now_ms()
        plain = {
            "program": self.program,
            "name": f"满200减50 {next(self.ids)}",
            "version": 0,
            "starts_at_ms": now - DAY_MS,
            "ends_at_ms": now + 30 * DAY_MS,
            "offers": (Offer(amount_off(200_00, 50_00)),),
        }
        return campaign_of(0, **plain | changes)

    async def update(self, campaign, **changes):
        """Change a campaign that was read just now."""
        return (await self.campaigns.update(calling(), replace(campaign, **changes), etag(campaign))).campaign

    async def set_state(self, campaign, state):
        """Pause, resume or end a campaign."""
        return await self.campaigns.set_state(calling(), self.program, campaign.number, state)

    async def stats(self, campaign):
        return await self.campaigns.stats(calling(), self.program, campaign.number)

    # Rules and lists

    async def apply_rules(self, *velocity, accounts=(), **changes):
        """Replace the program's rules."""
        rules = Rules(velocity=velocity, accounts=tuple(accounts), **changes)
        before = await self.risk_rules.get(calling(), self.program)
        return await self.risk_rules.update(calling(), self.program, rules, risk_etag(before))

    async def list_subjects(self, *subjects, kind=ListKind.DENY, reason="", expires_in_ms=None):
        """Add entries to a list: each subject as its kind and its text, or as a coupon's campaign and serial."""
        expires_at_ms = None if expires_in_ms is None else (self.ledger.now_ms() + expires_in_ms) // 1000 * 1000
        wanted = EntriesWanted(kind, [given(subject) for subject in subjects], reason, expires_at_ms)
        return await self.risk_lists.add(calling(), self.program, wanted)

    async def unlist_subjects(self, *subjects, kind=ListKind.DENY):
        """Remove entries from a list, likewise."""
        unwanted = EntriesUnwanted(kind, [given(subject) for subject in subjects])
        return await self.risk_lists.remove(calling(), self.program, unwanted)

    # Coupons

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

    def sign(self, number, serial=0, *, offer_index=0, **times):
        """A genuine token of any campaign and serial, issued or not: what a thief of the key could make."""
        now = self.ledger.now_ms() // 1000
        fields = {"offer_index": offer_index, "serial": serial, "not_before": now - 9, "expires_at": now + 99} | times
        return forged_token(self.keyset, program=self.program, campaign=number, **fields)

    async def claim(self, source, customer="ann", *, request_id=None, risk=NO_RISK_CONTEXT, seconds=SECONDS_MAX, **who):
        """Claim a coupon of a campaign's first offer, or for a code; every try is new unless an id is given."""
        source = CodeGiven(source) if isinstance(source, str) else source
        source = OfferWanted(source.number, 0) if isinstance(source, Campaign) else source
        claim = Claim(self.program, request_id or f"claim-{next(self.ids)}", source, Customer(customer, **who), risk)
        return await self.claimer.claim(calling(seconds=seconds), claim)

    async def inspect(self, token):
        return await self.issuer.inspect(calling(), self.program, token)

    async def revoke(self, target, *, request_id=None, **changes):
        """Take coupons back; every try is new unless an id is given."""
        order = RevokeRequest(self.program, f"revoke-{next(self.ids)}" if request_id is None else request_id, target)
        return await self.revoker.revoke(calling(), replace(order, **changes))

    # Orders

    def attempt(
        self,
        *tokens,
        request_id=None,
        order_id=None,
        spend=238_00,
        customer=None,
        lines=None,
        currency="CNY",
        person="",
        risk=NO_RISK_CONTEXT,
    ):
        """An attempt to redeem an order; every one is new unless ids are given."""
        number = next(self.ids)
        order = order_of(
            order_id=order_id or f"order-{number}", currency_code=currency, lines=lines or (line_of(spend),)
        )
        buyer = Customer(customer_id=customer or "", person_id=person) if customer or person else GUEST
        return RedeemRequest(request_id or f"request-{number}", Checkout(self.program, tokens, order, buyer, risk))

    async def redeem(self, *tokens, principal=PRINCIPAL, **order):
        """Redeem one order."""
        return await self.send(self.attempt(*tokens, **order), principal=principal)

    async def send(self, attempt, *, principal=PRINCIPAL, seconds=SECONDS_MAX):
        """Send an attempt."""
        (result,) = await self.redeemer.redeem_all(calling(principal, seconds=seconds), [attempt])
        if isinstance(result, ServiceError):
            raise result
        return result

    async def reserve(self, *tokens, seconds=900, principal=PRINCIPAL, **order):
        """Hold the coupons of one order."""
        return await self.send(self.reservation(*tokens, seconds=seconds, **order), principal=principal)

    def reservation(self, *tokens, seconds=900, **order):
        """A request to hold the coupons of one order; every one is new unless ids are given."""
        attempt = self.attempt(*tokens, **order)
        return ReserveRequest(attempt.request_id, attempt.checkout, seconds)

    async def confirm(self, reservation_id, *, request_id=None, reacquire=False, principal=PRINCIPAL):
        """Confirm a reservation; every try is new unless an id is given."""
        request = ConfirmRequest(self.program, request_id or f"confirm-{next(self.ids)}", reservation_id, reacquire)
        return await self.reserver.confirm(calling(principal, seconds=SECONDS_MAX), request)

    async def release(self, reservation_id, *, request_id=None):
        """Release a reservation; every try is new unless an id is given."""
        request = ReleaseRequest(self.program, request_id or f"release-{next(self.ids)}", reservation_id)
        return await self.reserver.release(calling(seconds=SECONDS_MAX), request)

    def reversal(self, attempt, decision, *, index=0, request_id=None, with_settlement=True, **changes):
        """A request to give back what an attempt redeemed; every one is new unless an id is given."""
        request = ReverseRequest(
            self.program,
            request_id or f"reverse-{next(self.ids)}",
            attempt.checkout.order.order_id,
            decision.verdicts[index].redemption_id,
            decision.settlement if with_settlement else b"",
        )
        return replace(request, **changes)

    async def reverse(self, request, *, principal=PRINCIPAL):
        """Give a redemption back."""
        return await self.reverser.reverse(calling(principal, seconds=SECONDS_MAX), request)

    async def send_all(self, attempts, seconds=SECONDS_MAX):
        """Send a batch."""
        return await self.redeemer.redeem_all(calling(seconds=seconds), attempts)

    async def quote(self, *tokens, choose_best=False, at_ms=None, with_allocations=False, seconds=SECONDS_MAX, **order):
        """Quote one order."""
        request = QuoteRequest(self.attempt(*tokens, **order).checkout, choose_best, at_ms, with_allocations)
        return await self.quoter.quote(calling(seconds=seconds), request)

    # What the ledger holds

    def key(self, rest):
        """A key of this program."""
        return f"{{{self.program}}}:{rest}"

    async def keys(self, pattern="*"):
        """The program's keys."""
        return [key async for key in self.redis.scan_iter(self.key(pattern))]

    async def delete(self, pattern):
        """Delete keys of the program behind the server's back."""
        for key in await self.keys(pattern):
            await self.redis.delete(key)

    async def dump(self):
        """Everything of the program as it is stored, by its key; the order within a hash has no meaning."""
        return {
            key: await (self.redis.hgetall(key) if await self.redis.type(key) == b"hash" else self.redis.dump(key))
            for key in await self.keys()
        }

    async def records(self, pattern):
        """Every packed record in the hashes of some keys."""
        return [record for key in await self.keys(pattern) for record in await self.redis.hvals(key)]

    async def events(self):
        """Everything in the outbox."""
        entries = await self.redis.xrange(self.key("events"))
        return [event for _, entry in entries for event in msgpack.unpackb(entry[b"e"], raw=True)[2]]

    async def redeemed(self):
        """Campaign, serial and generation of every redemption in the outbox."""
        numbers = [number for event in await self.events() if event[0] == b"redeemed" for number in event[2]]
        return list(zip(*[iter(numbers)] * 3, strict=True))

    async def commands(self):
        """How many commands of each kind the ledger has seen, but for this request."""
        stats = await self.redis.info("commandstats")
        return {name: found["calls"] for name, found in stats.items() if name != "cmdstat_info"}

    async def later(self, seconds):
        """Move the ledger's clock ahead."""
        await self.set_clock(int(await self.redis.hget(self.key("ledger"), "clock_ms")) + 1000 * seconds)

    async def set_clock(self, now_ms):
        """Let the ledger's clock show a moment, of which the server learns with the next answer; it never runs back."""
        await self.redis.hset(self.key("ledger"), "clock_ms", now_ms)
