"""A campaign is edited ten times a second while two servers redeem it: are all decisions right, and what is the cost?

The use cases of two servers share one ledger. Each order has a coupon of the edited ("hot") campaign, 10 % off, and a
coupon of another one, 50.00 off. The discount of the first depends on which of the two is applied first, so it shows by
which definition the order was judged. The outbox shows which definition was in force (see ``audit.py``). Refusals are
compared with the definitions that may have been in force between call and answer. Run it with ``make bench-editing``;
it needs no running server and leaves nothing behind.
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

import command
import uvloop
from audit import Audit, digest_of
from private import PROGRAM, Server, another_server, calling, mint, open_campaign, private_services, redeem
from redis.asyncio import Redis
from report import Report
from shop import GateError

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
"""Orders that are in flight when the campaign changes are judged twice, so the ratio cannot be 1."""
RACES = 20

Over = Callable[[], bool]
"""Returns whether a sale is over."""


@dataclass(frozen=True, slots=True)
class Change:
    """A definition, and the interval (event loop time) in which it came into force."""

    began: float
    answered: float
    campaign: Campaign


@dataclass(frozen=True, slots=True)
class Answered:
    """The outcome of an order's hot coupon, and the interval in which the order was decided."""

    sent: float
    answered: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """Why an order was not decided, and the interval in which that was found."""

    sent: float
    answered: float
    reason: str


@dataclass(slots=True)
class Sale:
    """A campaign that sells while it is edited.

    Attributes:
        servers: The servers that get orders and edits.
        hot: The campaign that is edited, as it is now.
        steady: The other campaign, which is not edited.
        offers: Serial → offer of hot coupons; a coupon that is not here has the first offer.
        supply: Pairs of a hot and a steady coupon that are not used yet.
        changes: The definitions of the hot campaign, in their order.
        written: The definitions that were written as a whole, by digest.
        answered: The outcomes that buyers got.
        unanswered: The orders that were not decided.
        wrong: The errors that were found, as text.
    """

    program: str
    servers: Sequence[Server]
    hot: Campaign
    steady: Campaign
    offers: dict[int, int] = field(default_factory=dict)
    supply: list[tuple[str, str]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    written: dict[str, Campaign] = field(default_factory=dict)
    answered: list[Answered] = field(default_factory=list)
    unanswered: list[TurnedAway] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def expected(self, in_force: Campaign, serial: int, coupons: int) -> int:
        """Return the discount of a hot coupon by a definition: of the whole amount, or of what the steady one left."""
        index = self.offers.get(serial, 0)
        if index >= len(in_force.offers):
            return -1
        benefit = in_force.offers[index].benefit
        assert isinstance(benefit, PercentOff), "the hot campaign has no other"
        base = SPEND if coupons == 1 or in_force.stacking.priority > 0 else SPEND - STEADY_OFF
        return min((base * benefit.basis_points + BASIS_POINTS // 2) // BASIS_POINTS, benefit.cap_minor)

    async def stock(self, count: int) -> None:
        """Mint enough pairs of coupons."""
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
        """Redeem an order; return the outcome and the discount of its first coupon."""
        order = Order(secrets.token_hex(8), "CNY", (Line("1", 1, SPEND, SPEND),))
        attempt = RedeemRequest(secrets.token_hex(8), Checkout(self.program, tokens, order))
        first = (await redeem(server, attempt)).verdicts[0]
        return first.outcome, first.discount_minor

    async def buy(self, server: Server, over: Over) -> None:
        """Send one order after the other until the sale is over; coupons that were refused are tried again later."""
        loop = asyncio.get_running_loop()
        while not over():
            sent, pair = loop.time(), self.supply.pop()
            try:
                outcome, _ = await self.redeem(server, *pair)
            except ServiceError as error:
                self.unanswered.append(TurnedAway(sent, loop.time(), error.reason))
                continue
            self.answered.append(Answered(sent, loop.time(), outcome))
            if outcome is not Outcome.APPROVED:
                self.supply.append(pair)

    async def change(self, server: Server, **changes: object) -> None:
        """Edit the hot campaign."""
        began = asyncio.get_running_loop().time()
        wanted = replace(self.hot, **changes)
        self.hot = (await server.use_cases.campaigns.update(calling(), wanted, etag(self.hot))).campaign
        self.written[digest_of(self.hot)] = self.hot
        self.changes.append(Change(began, asyncio.get_running_loop().time(), self.hot))

    async def set_state(self, server: Server, state: CampaignState) -> None:
        """Pause or resume the hot campaign."""
        began = asyncio.get_running_loop().time()
        self.hot = await server.use_cases.campaigns.set_state(calling(), self.program, self.hot.number, state)
        self.changes.append(Change(began, asyncio.get_running_loop().time(), self.hot))

    def judge(self) -> None:
        """Compare the outcomes with the definitions that may have been in force."""
        began = [change.began for change in self.changes]
        answered = [change.answered for change in self.changes]
        for order in self.answered:
            first = bisect_left(answered, order.sent, lo=1) - 1
            last = bisect_right(began, order.answered)
            if not any(_may_say(change.campaign, order.outcome) for change in self.changes[first:last]):
                versions = [change.campaign.version for change in self.changes[first:last]]
                self.wrong.append(f"told {order.outcome.name}, which none of the versions {versions} says")
        for away in self.unanswered:
            # In the first round the order may be judged by a definition that was replaced before it was sent.
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
"""Edits the hot campaign of a sale at the first server; the second is another server."""


async def reorder(sale: Sale, server: Server, _: Server) -> None:
    """Change which of the two coupons is applied first."""
    await sale.change(server, stacking=Stacking(priority=-sale.hot.stacking.priority))


async def limit(sale: Sale, server: Server, _: Server) -> None:
    """Change a limit that nobody reaches."""
    await sale.change(server, limits=Limits(budget_minor=(sale.hot.limits.budget_minor or 10**12) + 1))


async def add_offer(sale: Sale, server: Server, other: Server) -> None:
    """Add an offer; its coupons must be valid at every server at once."""
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
    """Set a limit that only a few more orders reach."""
    stats = await server.use_cases.campaigns.stats(calling(), sale.program, sale.hot.number)
    await sale.change(server, limits=Limits(redemptions=stats.redeemed + SOLD_OUT_AFTER))


async def restock(sale: Sale, server: Server, _: Server) -> None:
    """Remove the limit."""
    await sale.change(server, limits=Limits())


async def pause(sale: Sale, server: Server, other: Server) -> None:
    """Pause; after the answer no server may approve a redeem."""
    await sale.set_state(server, CampaignState.PAUSED)
    pair = sale.supply.pop()
    for each in (other, server):
        outcome, _ = await sale.redeem(each, *pair)
        if outcome is not Outcome.CAMPAIGN_PAUSED:
            sale.wrong.append(f"after the pause was answered, an order was answered {outcome.name}")


async def resume(sale: Sale, server: Server, _: Server) -> None:
    """Resume."""
    await sale.set_state(server, CampaignState.ACTIVE)


GENTLE: tuple[Edit, ...] = (reorder, limit, reorder, add_offer)
"""Edits during which all orders must be approved."""
HARSH: tuple[Edit, ...] = (reorder, sell_out, reorder, restock, add_offer, pause, reorder, resume)


async def edit(sale: Sale, edits: Sequence[Edit], rest: Callable[[], Awaitable[None]], over: Over) -> None:
    """Edit the hot campaign until the sale is over, at each server in turn; at the end it is active again.

    Args:
        sale: The sale.
        edits: The edits, which are done in turn, again and again.
        rest: Awaited before each edit.
        over: Returns whether the sale is over.
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
    """Sell while the campaign is edited, until the sale is over; then check the outcomes."""
    sale.changes, sale.answered, sale.unanswered = [Change(0.0, 0.0, sale.hot)], [], []
    servers = itertools.islice(itertools.cycle(sale.servers), buyers)
    editing = [edit(sale, edits, rest, over)] if edits else []
    await asyncio.gather(*editing, *(sale.buy(server, over) for server in servers))
    sale.judge()


async def play(sale: Sale, edits: Sequence[Edit], pause_seconds: float, seconds: float) -> float:
    """Sell for some seconds while the campaign is edited; return the orders decided in a second."""
    await sale.stock(int(seconds * ORDERS_PER_SECOND_MAX))
    loop = asyncio.get_running_loop()
    due = loop.time()
    until = due + seconds

    async def rest() -> None:
        nonlocal due
        due += pause_seconds
        await asyncio.sleep(max(min(due, until) - loop.time(), 0))

    await sell(sale, edits, rest, lambda: loop.time() >= until, BUYERS)
    return len(sale.answered) / seconds


async def open_sale(servers: Sequence[Server], redis: Redis, program: str) -> tuple[Sale, Audit]:
    """Create the campaigns, and the audit of the hot one."""
    hot_offer, steady_offer = Offer(PercentOff(1_000, 100_00)), Offer(amount_off(200_00, STEADY_OFF))
    hot = await open_campaign(servers[0], hot_offer, program=program, stacking=Stacking(priority=1))
    steady = await open_campaign(servers[0], steady_offer, program=program)
    sale = Sale(program, servers, hot, steady)
    return sale, Audit(redis, program, hot.number, sale.expected, sale.written)


async def race(sale: Sale) -> None:
    """Change a campaign's benefit while another server mints its first coupon: one must be before the other."""
    here, there = sale.servers[:2]
    campaign = await open_campaign(here, Offer(amount_off(200_00, 1_00)), program=sale.program)
    await there.use_cases.campaigns.get(calling(), sale.program, campaign.number)

    async def dearer() -> None:
        changed = campaign
        for amount in range(2, 12):
            offer = Offer(amount_off(200_00, amount * 100))
            try:
                wanted = replace(changed, offers=(offer,))
                changed = (await here.use_cases.campaigns.update(calling(), wanted, etag(changed))).campaign
            except (Conflict, InvalidRequest):  # the coupon was minted before
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


async def run(rounds: int, seconds: float) -> Report:
    """Measure; return the report.

    Raises:
        GateError: A decision was wrong, an order was not answered, or the campaign sold too slowly.
    """
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    async with private_services() as first, another_server(first) as second:
        sale, audit = await open_sale((first, second), first.redis, PROGRAM)
        for _ in range(rounds):  # alternating, so that a noisy neighbour disturbs all of them
            for kind, (edits, pause_seconds) in KINDS.items():
                rates[kind].append(await play(sale, edits, pause_seconds, seconds))
                counts[kind]["edits"] += len(sale.changes) - 1
                counts[kind]["approved"] += sum(each.outcome is Outcome.APPROVED for each in sale.answered)
                counts[kind]["refused"] += sum(each.outcome is not Outcome.APPROVED for each in sale.answered)
                counts[kind]["unanswered"] += len(sale.unanswered)
                await audit.read()
        for _ in range(RACES):
            await race(sale)
    # One ratio for each round, so that a noisy neighbour makes only one of them wrong.
    ratios = {
        kind: median(rate / base for rate, base in zip(rates[kind], rates["undisturbed"], strict=True))
        for kind in KINDS
    }
    rows = []
    for kind, counted in counts.items():
        figures = [f"{counted[name]:,}" for name in ("edits", "approved", "refused", "unanswered")]
        rows.append((kind, f"{median(rates[kind]):,.0f}", f"{ratios[kind]:.2f}", *figures))
    wrong = sale.wrong + audit.wrong
    judged = (
        f"{audit.approvals:,} approvals judged again by {audit.definitions:,} definitions in the ledger's own order"
    )
    kinds = list(KINDS)
    unanswered = sum(counts[kind]["unanswered"] for kind in kinds[:3])
    if wrong or unanswered or ratios[kinds[1]] < RATIO_MIN:
        found = (
            f"{len(wrong)} decisions wrong, {unanswered} orders unanswered, {ratios[kinds[1]]:.2f} of the throughput"
        )
        raise GateError("; ".join([found, judged, *wrong[:10]]))
    report = Report("editing", {"servers": "2 in one process", "buyers": str(BUYERS), "rounds": str(rounds)})
    header = ("hot campaign", "orders/s", "ratio", "edits", "approved", "refused", "unanswered")
    races = f"{RACES} races of a mint with changes of the amount; nothing is wrong"
    aim = f"aim at {EDITS_PER_SECOND} edits a second: {RATIO_MIN:.2f} of the undisturbed throughput or more; reached"
    report.add("Selling while a campaign is edited", header, rows, f"{judged}, {races}", aim)
    return report


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and write the results; return the exit code."""

    def measure(arguments: argparse.Namespace) -> tuple[Report, int]:
        return uvloop.run(run(arguments.rounds, arguments.seconds)), 0

    return command.run(__doc__, measure, seconds=SECONDS, rounds=ROUNDS, given=given)


if __name__ == "__main__":
    sys.exit(main())
