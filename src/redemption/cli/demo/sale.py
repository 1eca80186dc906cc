"""The flash sale of the demo: the buyers, the failures on purpose, and the checks at the end."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from redemption.cli.exits import FAILED, Stop
from redemption.cli.output.decision import outcome_name
from redemption.cli.output.screen import stderr
from redemption.client import (
    AsyncRedemptionClient,
    CallFailed,
    Checkout,
    Customer,
    Decision,
    Line,
    MintRequest,
    Order,
    RedeemRequest,
    connect_aio,
    new_request_id,
)
from redemption.v1 import campaign_pb2 as campaigns
from redemption.v1 import outcome_pb2 as outcomes
from redemption.v1.campaign_service_pb2 import CreateCampaignRequest, GetCampaignStatsRequest

PROGRAM = "demo"
AT_ONCE = 64
"""Buyers who are served at the same time; the others wait."""
TRIES_MAX = 5
LOST_AFTER_SECONDS_MAX = 0.02
_DAY = 86_400
_SECONDS_MAX_BASE, _BUYERS_A_SECOND_MIN = 60, 100

# How many of a hundred buyers do this.
DOUBLE_CLICKS = 10
LOST_ANSWERS = 5
GREEDY = 3
REPLAYS = 10
FORGERS = 5


@dataclass(slots=True)
class Result:
    """What happened.

    Attributes:
        answers: For each request id its answers, in no particular order.
        users: For each coupon the request ids that were approved for it.
        lost: Calls that the buyer cancelled before the answer.
        unanswered: Requests that never got an answer.
        redeemed: How many redemptions the ledger counted.
    """

    buyers: int
    coupons: int
    seed: int
    answers: dict[str, list[Decision]] = field(default_factory=lambda: defaultdict(list))
    users: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    latencies_seconds: list[float] = field(default_factory=list)
    lost: int = 0
    unanswered: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    redeemed: int = 0
    redeems_per_ledger_call: float | None = None

    @property
    def approved(self) -> int:
        """Requests that were approved."""
        return sum(1 for found in self.answers.values() if found[0].outcome == outcomes.OUTCOME_APPROVED)

    @property
    def refused(self) -> dict[str, int]:
        """Requests that were refused, by outcome, the most frequent first."""
        counted = Counter(found[0].outcome for found in self.answers.values())
        del counted[outcomes.OUTCOME_APPROVED]
        return {outcome_name(outcome): count for outcome, count in counted.most_common()}

    @property
    def repeated(self) -> int:
        """Requests that got more than one answer."""
        return sum(1 for found in self.answers.values() if len(found) > 1)

    @property
    def alike(self) -> int:
        """Repeated requests with equal answers: approvals in every field, refusals in the outcome."""
        return sum(1 for found in self.answers.values() if len(found) > 1 and _alike(found))

    @property
    def used_twice(self) -> int:
        """Coupons that were approved under more than one request id."""
        return sum(1 for requests in self.users.values() if len(requests) > 1)

    @property
    def over_redeemed(self) -> int:
        """How many approvals exceed the limit: by the answers or by the ledger, the larger number."""
        return max(self.approved - self.coupons, self.redeemed - self.coupons, 0)

    @property
    def passed(self) -> bool:
        """Whether everything adds up."""
        return (
            self.approved == self.redeemed == min(self.coupons, self.buyers)
            and self.alike == self.repeated
            and not (self.used_twice or self.over_redeemed or self.unanswered)
        )


class Sale:
    """One sale against one server."""

    def __init__(self, address: str, *, buyers: int, coupons: int, seed: int) -> None:
        self._address = address
        self._dice = random.Random(seed)  # noqa: S311 - the same seed must give the same sale
        self._result = Result(buyers, coupons, seed)
        self._done = 0

    def play(self) -> Result:
        """Run the sale.

        Raises:
            Stop: It could not be prepared, or took too long.
        """
        return asyncio.run(self._play())

    async def _play(self) -> Result:
        seconds_max = _SECONDS_MAX_BASE + self._result.buyers / _BUYERS_A_SECOND_MIN
        try:
            async with asyncio.timeout(seconds_max), connect_aio(self._address, deadline_seconds=10.0) as channel:
                self._client = AsyncRedemptionClient(channel)
                number = await self._campaign()
                tokens = await self._tokens(number)
                begun = time.perf_counter()
                await self._serve(tokens)
                self._result.seconds = time.perf_counter() - begun
                request = GetCampaignStatsRequest(program=PROGRAM, number=number)
                self._result.redeemed = (await self._client.get_campaign_stats(request)).stats.redeemed
        except TimeoutError as error:
            raise Stop(FAILED, f"the sale was not over after {seconds_max:.0f} s; is this machine busy?") from error
        except CallFailed as error:
            raise Stop(FAILED, f"the private server failed: {error}") from error
        return self._result

    async def _campaign(self) -> int:
        now = int(time.time())
        tier = campaigns.Tier(threshold=200_00, amount_off_minor=50_00)
        campaign = campaigns.Campaign(
            program=PROGRAM,
            name="flash sale",
            currency_code="CNY",
            time_zone="Asia/Shanghai",
            start_time=Timestamp(seconds=now - 60),
            end_time=Timestamp(seconds=now + _DAY),
            offers=[campaigns.Offer(name="满200减50", tiers=campaigns.Tiers(tiers=[tier]))],
            limits=campaigns.Limits(redemptions=self._result.coupons, redemptions_per_customer=1),
        )
        request = CreateCampaignRequest(request_id=new_request_id(), campaign=campaign)
        return (await self._client.create_campaign(request)).campaign.number

    async def _tokens(self, number: int) -> list[str]:
        # Two coupons for each buyer, because some buyers try a second one.
        request = MintRequest(
            program=PROGRAM, request_id=new_request_id(), campaign=number, count=2 * self._result.buyers
        )
        return [token.token async for part in self._client.mint(request) for token in part.tokens]

    async def _serve(self, tokens: list[str]) -> None:
        buyers = iter(self._dice.sample(range(self._result.buyers), self._result.buyers))

        async def till() -> None:
            for buyer in buyers:
                await self._visit(buyer, tokens)
                self._done += 1

        async with asyncio.TaskGroup() as tills:
            watch = tills.create_task(self._watch())
            served = [tills.create_task(till()) for _ in range(min(AT_ONCE, self._result.buyers))]
            await asyncio.gather(*served)
            watch.cancel()

    async def _visit(self, buyer: int, tokens: list[str]) -> None:
        """Let one buyer redeem a coupon: once, twice, with a lost answer, or with another one, by chance."""
        token, customer = tokens[2 * buyer], f"buyer-{buyer}"
        request = _request(f"click-{buyer}", token, f"order-{buyer}", customer)
        chance = self._dice.randrange(100)
        if chance < DOUBLE_CLICKS:
            await asyncio.gather(self._ask(token, request), self._ask(token, request))
        elif chance < DOUBLE_CLICKS + LOST_ANSWERS:
            await self._ask_and_give_up(request)
            await self._ask(token, request)
        else:
            await self._ask(token, request)
        if self._dice.randrange(100) < GREEDY:
            second = tokens[2 * buyer + 1]
            await self._ask(second, _request(f"greedy-{buyer}", second, f"greedy-{buyer}", customer))
        if self._dice.randrange(100) < REPLAYS:
            await self._ask(token, _request(f"replay-{buyer}", token, f"stolen-{buyer}", f"thief-{buyer}"))
        if self._dice.randrange(100) < FORGERS:
            forged = token[:-1] + ("A" if token[-1] != "A" else "B")
            await self._ask(forged, _request(f"forged-{buyer}", forged, f"forged-{buyer}", customer))

    async def _ask(self, token: str, request: RedeemRequest) -> None:
        """Call until there is an answer, always with the same request id, and store the answer."""
        for _ in range(TRIES_MAX):
            begun = time.perf_counter()
            try:
                decision = (await self._client.redeem(request)).decision
            except CallFailed as error:
                self._result.failures[error.code.name] += 1
                continue
            self._result.latencies_seconds.append(time.perf_counter() - begun)
            self._result.answers[request.request_id].append(decision)
            if decision.outcome == outcomes.OUTCOME_APPROVED:
                self._result.users[token].add(request.request_id)
            return
        self._result.unanswered += 1

    async def _ask_and_give_up(self, request: RedeemRequest) -> None:
        """Call, and cancel within 20 ms: before or after it was done."""
        call = asyncio.ensure_future(self._client.redeem(request))
        await asyncio.wait([call], timeout=self._dice.random() * LOST_AFTER_SECONDS_MAX)
        self._result.lost += call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    async def _watch(self) -> None:
        """Show the progress, if stderr is a terminal."""
        if not stderr().is_terminal:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=stderr(), transient=True) as progress:
            served = progress.add_task("buyers served", total=self._result.buyers)
            won = progress.add_task("coupons won", total=self._result.coupons)
            while True:
                progress.update(served, completed=self._done)
                progress.update(won, completed=len(self._result.users))
                await asyncio.sleep(0.1)


def _request(request_id: str, token: str, order_id: str, customer: str) -> RedeemRequest:
    order = Order(
        order_id=order_id,
        currency_code="CNY",
        lines=[Line(line_id="1", quantity=1, amount_minor=238_00)],
    )
    checkout = Checkout(program=PROGRAM, tokens=[token], order=order, customer=Customer(customer_id=customer))
    return RedeemRequest(request_id=request_id, checkout=checkout)


def _alike(answers: list[Decision]) -> bool:
    first = answers[0]
    if first.outcome == outcomes.OUTCOME_APPROVED:
        return all(answer == first for answer in answers)
    return all(answer.outcome == first.outcome for answer in answers)
