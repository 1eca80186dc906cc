"""Editing a campaign ten times a second while it sells at two servers: is every decision right, and what does it cost?

Two servers' use cases share one ledger. Every order has a coupon of the hot campaign, 10 % off, and one of another,
50.00 off. What the first takes off depends on which of them goes first, so it tells by which definition it was judged;
the outbox tells which one was in force (see ``audit.py``). Refusals are compared with the definitions that can have
been in force between question and answer. Run it with ``make bench-editing``; it needs no running server and leaves
nothing behind.
"""

import argparse
import asyncio
import itertools
import secrets
import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import uvloop
from audit import Audit, digest_of
from private import PROGRAM, Server, another_server, calling, mint, open_campaign, private_services, redeem
from redis.asyncio import Redis
from report import machine_line
from rich.console import Console
from rich.table import Table

from redemption.domain.campaign.benefit import BASIS_POINTS, PercentOff, amount_off
from redemption.domain.campaign.campaign import Campaign, CampaignState, Limits, Offer, Stacking
from redemption.domain.errors import Conflict, InvalidRequest, LedgerUnavailable, ServiceError
from redemption.domain.order import Checkout, Line, Order
from redemption.domain.outcome import Outcome
from redemption.service.campaigns import etag
from redemption.service.judging_rounds import ROUNDS_MAX
from redemption.service.pending_order import RedeemRequest

SPEND, STEADY_OFF = 238_00, 50_00
OFFERS_MAX = 90
BUYERS = 64
ROUNDS = 6
SECONDS = 1.3
EDITS_PER_SECOND = 10
ORDERS_PER_SECOND_MAX = 20_000
SOLD_OUT_AFTER = 20
RATIO_MIN = 0.6
"""Every order that is on its way when the campaign changes is judged twice, so it cannot be 1."""
RACES = 20

Over = Callable[[], bool]
"""Tells whether a sale is over."""


@dataclass(frozen=True, slots=True)
class Change:
    """A definition, and between which moments of the event loop's time it came into force."""

    began: float
    answered: float
    campaign: Campaign


@dataclass(frozen=True, slots=True)
class Seen:
    """What an order was told of its hot coupon, and between which moments it was decided."""

    sent: float
    answered: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """Why an order was not decided, and between which moments that was found out."""

    sent: float
    answered: float
    reason: str


@dataclass(slots=True)
class Sale:
    """A campaign that sells while it is edited.

    Attributes:
        servers: Where orders and edits go.
        hot: The campaign that is edited, as it is now.
        steady: The other one.
        offers: Which offer a hot coupon is of, by its serial; the first if it is not here.
        supply: Pairs of a hot and a steady coupon that are not used.
        changes: The definitions of the hot campaign, one after the other.
        written: Those that were written whole, by their digests.
        seen: What buyers were told.
        unanswered: The orders that were not decided.
        wrong: What is wrong, in words.
    """

    program: str
    servers: Sequence[Server]
    hot: Campaign
    steady: Campaign
    offers: dict[int, int] = field(default_factory=dict)
    supply: list[tuple[str, str]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    written: dict[str, Campaign] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    unanswered: list[TurnedAway] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def expected(self, in_force: Campaign, serial: int, coupons: int) -> int:
        """Return what a hot coupon takes off by a definition: of all, or of what the steady one left."""
        index = self.offers.get(serial, 0)
        if index >= len(in_force.offers):
            return -1
        benefit = in_force.offers[index].benefit
        assert isinstance(benefit, PercentOff), "the hot campaign has no other"
        base = SPEND if coupons == 1 or in_force.stacking.priority > 0 else SPEND - STEADY_OFF
        return min((base * benefit.basis_points + BASIS_POINTS // 2) // BASIS_POINTS, benefit.cap_minor)

    async def stock(self, count: int) -> None:
        """Mint what buyers need."""
        missing = count - len(self.supply)
        if missing > 0:
            hot, steady = [await self.mint(self.servers[0], of, missing) for of in (self.hot, self.steady)]
            self.supply += zip(hot, steady, strict=True)

    async def mint(self, server: Server, of: Campaign, count: int, offer_index: int = 0) -> list[str]:
        """Mint coupons of an offer."""
        minted = await mint(server, of, count, offer_index)
        if offer_index:
            self.offers |= {each.serial: offer_index for each in minted}
        return [each.token for each in minted]

    async def redeem(self, server: Server, *tokens: str) -> tuple[Outcome, int]:
        """Redeem an order; returns the outcome of its first coupon, and what that took off."""
        order = Order(secrets.token_hex(8), "CNY", (Line("1", 1, SPEND, SPEND),))
        attempt = RedeemRequest(secrets.token_hex(8), Checkout(self.program, tokens, order))
        first = (await redeem(server, attempt)).verdicts[0]
        return first.outcome, first.discount_minor

    async def buy(self, server: Server, over: Over) -> None:
        """Order after order until it is over; a coupon that was refused is tried again by somebody."""
        loop = asyncio.get_running_loop()
        while not over():
            sent, pair = loop.time(), self.supply.pop()
            try:
                outcome, _ = await self.redeem(server, *pair)
            except ServiceError as error:
                self.unanswered.append(TurnedAway(sent, loop.time(), error.reason))
                continue
            self.seen.append(Seen(sent, loop.time(), outcome))
            if outcome is not Outcome.APPROVED:
                self.supply.append(pair)

    async def change(self, server: Server, **changes: object) -> None:
        """Edit the hot campaign."""
        began = asyncio.get_running_loop().time()
        self.hot = await server.use_cases.campaigns.update(calling(), replace(self.hot, **changes), etag(self.hot))
        self.written[digest_of(self.hot)] = self.hot
        self.changes.append(Change(began, asyncio.get_running_loop().time(), self.hot))

    async def set_state(self, server: Server, state: CampaignState) -> None:
        """Pause or resume the hot campaign."""
        began = asyncio.get_running_loop().time()
        self.hot = await server.use_cases.campaigns.set_state(calling(), self.program, self.hot.number, state)
        self.changes.append(Change(began, asyncio.get_running_loop().time(), self.hot))

    def judge(self) -> None:
        """Compare what buyers were told with the definitions that can have been in force."""
        began = [change.began for change in self.changes]
        answered = [change.answered for change in self.changes]
        for seen in self.seen:
            first = bisect_left(answered, seen.sent, lo=1) - 1
            last = bisect_right(began, seen.answered)
            if not any(_may_say(change.campaign, seen.outcome) for change in self.changes[first:last]):
                versions = [change.campaign.version for change in self.changes[first:last]]
                self.wrong.append(f"told {seen.outcome.name}, which none of the versions {versions} says")
        for away in self.unanswered:
            # The first time it may be judged by a definition that was replaced before it was sent.
            overtaken = bisect_right(began, away.answered) - bisect_left(answered, away.sent, lo=1)
            if away.reason != LedgerUnavailable.reason or overtaken < ROUNDS_MAX - 1:
                self.wrong.append(f"turned away, {away.reason}, though {overtaken} changes came meanwhile")


def _may_say(campaign: Campaign, outcome: Outcome) -> bool:
    active = campaign.state is CampaignState.ACTIVE
    return {
        Outcome.APPROVED: active,
        Outcome.CAMPAIGN_PAUSED: campaign.state is CampaignState.PAUSED,
        Outcome.CAMPAIGN_LIMIT: active and campaign.limits.redemptions is not None,
    }.get(outcome, False)


# Edits

Edit = Callable[[Sale, Server, Server], Awaitable[None]]
"""Edits the hot campaign of a sale at the first server; the second is another."""


async def reorder(sale: Sale, server: Server, _: Server) -> None:
    """Have the other coupon go first."""
    await sale.change(server, stacking=Stacking(priority=-sale.hot.stacking.priority))


async def limit(sale: Sale, server: Server, _: Server) -> None:
    """Change a limit that nobody reaches."""
    await sale.change(server, limits=Limits(budget_minor=(sale.hot.limits.budget_minor or 10**12) + 1))


async def add_offer(sale: Sale, server: Server, other: Server) -> None:
    """Add an offer; a coupon of it is good at every server at once."""
    index = len(sale.hot.offers)
    if index >= OFFERS_MAX:
        return await limit(sale, server, other)
    await sale.change(server, offers=(*sale.hot.offers, Offer(PercentOff(1_000 + index, 100_00))))
    for minting, redeeming in ((server, other), (other, server)):
        (token,) = await sale.mint(minting, sale.hot, 1, index)
        answer = await sale.redeem(redeeming, token)
        if answer != (Outcome.APPROVED, sale.expected(sale.hot, max(sale.offers), 1)):
            sale.wrong.append(f"a coupon of the new offer {index} was answered {answer}")
    return None


async def sell_out(sale: Sale, server: Server, _: Server) -> None:
    """Leave room for a few more orders."""
    stats = await server.use_cases.campaigns.stats(calling(), sale.program, sale.hot.number)
    await sale.change(server, limits=Limits(redemptions=stats.redeemed + SOLD_OUT_AFTER))


async def restock(sale: Sale, server: Server, _: Server) -> None:
    """Lift the limit."""
    await sale.change(server, limits=Limits())


async def pause(sale: Sale, server: Server, other: Server) -> None:
    """Pause; from the answer on nobody redeems, wherever."""
    await sale.set_state(server, CampaignState.PAUSED)
    pair = sale.supply.pop()
    for each in (other, server):
        outcome, _ = await sale.redeem(each, *pair)
        if outcome is not Outcome.CAMPAIGN_PAUSED:
            sale.wrong.append(f"after the pause was answered, an order was answered {outcome.name}")


async def resume(sale: Sale, server: Server, _: Server) -> None:
    """Go on."""
    await sale.set_state(server, CampaignState.ACTIVE)


GENTLE: tuple[Edit, ...] = (reorder, limit, reorder, add_offer)
"""All orders are approved all the time."""
HARSH: tuple[Edit, ...] = (reorder, sell_out, reorder, restock, add_offer, pause, reorder, resume)


async def edit(sale: Sale, edits: Sequence[Edit], rest: Callable[[], Awaitable[None]], over: Over) -> None:
    """Edit the hot campaign until it is over, at one server after the other, and leave it selling.

    Args:
        sale: The sale.
        edits: Done one after the other, over and over.
        rest: Waited for before each edit.
        over: Whether the sale is.
    """
    turns: Iterator[tuple[Server, Server]] = itertools.cycle(itertools.permutations(sale.servers, 2))
    for step in itertools.cycle(edits):
        await rest()
        if over():
            break
        await step(sale, *next(turns))
    server = sale.servers[0]
    await sale.set_state(server, CampaignState.ACTIVE)
    await sale.change(server, limits=Limits())


async def sell(sale: Sale, edits: Sequence[Edit], rest: Callable[[], Awaitable[None]], over: Over, buyers: int) -> None:
    """Sell while it is edited, until it is over, and judge what buyers were told."""
    sale.changes, sale.seen, sale.unanswered = [Change(0.0, 0.0, sale.hot)], [], []
    servers = itertools.islice(itertools.cycle(sale.servers), buyers)
    editing = [edit(sale, edits, rest, over)] if edits else []
    await asyncio.gather(*editing, *(sale.buy(server, over) for server in servers))
    sale.judge()


async def play(sale: Sale, edits: Sequence[Edit], pause_seconds: float, seconds: float) -> float:
    """Sell for some seconds while it is edited; returns the orders decided a second."""
    await sale.stock(int(seconds * ORDERS_PER_SECOND_MAX))
    loop = asyncio.get_running_loop()
    due = loop.time()
    until = due + seconds

    async def rest() -> None:
        nonlocal due
        due += pause_seconds
        await asyncio.sleep(max(min(due, until) - loop.time(), 0))

    await sell(sale, edits, rest, lambda: loop.time() >= until, BUYERS)
    return len(sale.seen) / seconds


async def open_sale(servers: Sequence[Server], redis: Redis, program: str) -> tuple[Sale, Audit]:
    """Create the campaigns and what watches them."""
    hot_offer, steady_offer = Offer(PercentOff(1_000, 100_00)), Offer(amount_off(200_00, STEADY_OFF))
    hot = await open_campaign(servers[0], hot_offer, program=program, stacking=Stacking(priority=1))
    steady = await open_campaign(servers[0], steady_offer, program=program)
    sale = Sale(program, servers, hot, steady)
    return sale, Audit(redis, program, hot.number, sale.expected, sale.written)


async def race(sale: Sale) -> None:
    """Change what a campaign gives while its first coupon is minted elsewhere: one of them must come first."""
    here, there = sale.servers[:2]
    campaign = await open_campaign(here, Offer(amount_off(200_00, 1_00)), program=sale.program)
    await there.use_cases.campaigns.get(calling(), sale.program, campaign.number)

    async def dearer() -> None:
        changed = campaign
        for amount in range(2, 12):
            offer = Offer(amount_off(200_00, amount * 100))
            try:
                changed = await here.use_cases.campaigns.update(
                    calling(), replace(changed, offers=(offer,)), etag(changed)
                )
            except (Conflict, InvalidRequest):  # minted by now
                return

    async def first_token() -> str:
        await asyncio.sleep(secrets.randbelow(10) / 1000)
        return (await sale.mint(there, campaign, 1))[0]

    _, token = await asyncio.gather(dearer(), first_token())
    in_force = await here.use_cases.campaigns.get(calling(), sale.program, campaign.number)
    amount = in_force.offers[0].benefit.tiers[0].amount_off_minor  # type: ignore[union-attr]
    answer = await sale.redeem(there, token)
    if answer != (Outcome.APPROVED, amount):
        sale.wrong.append(f"a coupon that gives {amount} when it is minted was answered {answer}")


KINDS: dict[str, tuple[Sequence[Edit], float]] = {
    "undisturbed": ((), 0.0),
    f"edited {EDITS_PER_SECOND} times a second": (GENTLE, 1 / EDITS_PER_SECOND),
    "the same, paused and sold out as well": (HARSH, 1 / EDITS_PER_SECOND),
    "edited without a pause": (HARSH, 0.0),
}


async def measure(rounds: int, seconds: float) -> int:
    """Measure and print; returns the exit code."""
    console = Console()
    console.print(f"{machine_line()}; embedded valkey, strict")
    console.print(f"2 servers in one process, {BUYERS} buyers, {rounds} rounds of {seconds:g} s")
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    told: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    async with private_services() as first, another_server(first) as second:
        sale, audit = await open_sale((first, second), first.redis, PROGRAM)
        for _ in range(rounds):  # alternating, so that a noisy neighbour meets all of them
            for kind, (edits, pause_seconds) in KINDS.items():
                rates[kind].append(await play(sale, edits, pause_seconds, seconds))
                told[kind]["edits"] += len(sale.changes) - 1
                told[kind]["approved"] += sum(seen.outcome is Outcome.APPROVED for seen in sale.seen)
                told[kind]["refused"] += sum(seen.outcome is not Outcome.APPROVED for seen in sale.seen)
                told[kind]["unanswered"] += len(sale.unanswered)
                await audit.read()
        for _ in range(RACES):
            await race(sale)
    # Of each round by itself, so that a noisy neighbour spoils one of them and not all.
    ratios = {
        kind: median(rate / base for rate, base in zip(rates[kind], rates["undisturbed"], strict=True))
        for kind in KINDS
    }
    table = Table("hot campaign", "orders/s", "ratio", "edits", "approved", "refused", "unanswered")
    for kind, counted in told.items():
        figures = [f"{counted[name]:,}" for name in ("edits", "approved", "refused", "unanswered")]
        table.add_row(kind, f"{median(rates[kind]):,.0f}", f"{ratios[kind]:.2f}", *figures)
    console.print(table)
    wrong = sale.wrong + audit.wrong
    console.print(
        f"{audit.approvals:,} approvals judged again by {audit.definitions:,} definitions in the ledger's own order, "
        f"{RACES} races of a mint with changes of the amount: {len(wrong)} wrong"
    )
    for problem in wrong[:10]:
        console.print(f"  {problem}")
    kinds = list(KINDS)
    ratio = ratios[kinds[1]]
    unanswered = sum(told[kind]["unanswered"] for kind in kinds[:3])
    passed = not wrong and not unanswered and ratio >= RATIO_MIN
    console.print(
        f"{'PASS' if passed else 'FAIL'}: {len(wrong)} decisions wrong and {unanswered} orders unanswered at "
        f"{EDITS_PER_SECOND} edits a second (aim: 0), {ratio:.2f} of the undisturbed throughput (aim: {RATIO_MIN:.2f} "
        "or more)"
    )
    return 0 if passed else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each kind (default: {ROUNDS})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of a round (default: {SECONDS:g})")
    arguments = parser.parse_args()
    sys.exit(uvloop.run(measure(arguments.rounds, arguments.seconds)))
