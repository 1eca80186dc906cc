"""What a run sells: its own campaigns with limits that the run reaches, and who wants which of them."""

import math
import random
import secrets
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from shop import OFF_MINOR, open_campaign

from redemption.client import MintRequest, RedemptionClient
from redemption.v1.campaign_pb2 import Limits
from sale.scenario import Scenario

SPEND_MINOR = 238_00
SPEND_TOO_LITTLE_MINOR = 99_00
ISSUED_PART = 1.2
"""So many coupons are given out for each that can be redeemed: so the limit of redemptions is reached, too."""
LOOSE = 5
"""So many more redemptions the looser one of both limits allows."""
MINT_SECONDS_MAX = 120.0


@dataclass(frozen=True, slots=True)
class OnSale:
    """A campaign of a run, and its limits.

    Attributes:
        number: The campaign.
        share: The part of the buyers who want it.
        redemptions: So many coupons can be redeemed.
        issued: So many are given out.
        budget_minor: So much can be taken off in total.
    """

    number: int
    share: float
    redemptions: int
    issued: int
    budget_minor: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What all processes of a run know.

    Attributes:
        run: A name of its own, in all its request ids.
        program: The program.
        campaigns: What is sold, the hot campaign first.
        printed: The campaign whose coupons are minted before, for those who do not claim; 0: there is none.
    """

    run: str
    program: str
    campaigns: tuple[OnSale, ...]
    printed: int = 0

    def message(self) -> dict[str, Any]:
        """Return it as locust sends it to its workers."""
        return asdict(self)

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "Plan":
        """Return what ``message`` made."""
        campaigns = tuple(OnSale(**each) for each in message["campaigns"])
        return cls(message["run"], message["program"], campaigns, message["printed"])


class Wishes:
    """Draws which campaign a buyer wants."""

    def __init__(self, campaigns: Iterable[OnSale], draw: random.Random) -> None:
        self._campaigns = tuple(campaigns)
        self._sums = [*accumulate(each.share for each in self._campaigns)]
        self._draw = draw

    def next(self) -> OnSale:
        """Return the next buyer's campaign."""
        at = bisect(self._sums, self._draw.random() * self._sums[-1])
        return self._campaigns[min(at, len(self._campaigns) - 1)]


def shares(scenario: Scenario) -> list[float]:
    """Return the part of the buyers who want each campaign."""
    goods = scenario.part.goods
    if goods.campaigns == 1:
        return [1.0]
    weights = [rank**-goods.zipf for rank in range(1, goods.campaigns)]
    return [goods.hot, *((1 - goods.hot) * weight / sum(weights) for weight in weights)]


def open_sale(
    client: RedemptionClient,
    scenario: Scenario,
    program: str,
    *,
    minted: int,
    prebuilt: int = 0,
    brought: bool = False,
) -> Plan:
    """Create the campaigns of a run.

    Args:
        client: Of a server.
        scenario: What is played.
        program: The program.
        minted: How many coupons are minted besides those that are claimed.
        prebuilt: How many more, of the hot campaign, the prebuilt-frame generator redeems.
        brought: Shoppers have coupons already, so there is nothing to claim.

    Raises:
        CallFailed: The server refused it.
    """
    run = secrets.token_hex(4)
    claiming = ("claimer",) if brought else ("shopper", "claimer")
    claimers = sum(scenario.part.buyers.get(kind, 0.0) for kind in claiming)
    campaigns = []
    part = scenario.part.goods.stock
    for index, share in enumerate(shares(scenario) if claimers else [1.0] if prebuilt else ()):
        claimed = max(1, math.ceil(scenario.buyers.expected * claimers * share * part))
        besides = 0 if index else prebuilt
        stock = claimed + math.ceil(besides * part)
        # Either the limit of redemptions is reached first, or the budget.
        of_limit, of_budget = (stock, stock + LOOSE) if index % 2 == 0 else (stock + LOOSE, stock)
        issued = math.ceil(claimed * ISSUED_PART) + besides
        limits = {"redemptions": of_limit, "issued": issued, "budget": of_budget}
        campaigns.append(_on_sale(client, program, f"bench {run} {index}", share=share, **limits))
    if not minted:
        return Plan(run, program, tuple(campaigns))
    name = f"bench {run} printed"
    printed = _on_sale(client, program, name, share=0.0, redemptions=minted, issued=minted, budget=minted)
    return Plan(run, program, (*campaigns, printed), printed.number)


def mint(client: RedemptionClient, plan: Plan, count: int) -> list[str]:
    """Mint coupons for those who do not claim, and return their tokens."""
    request = MintRequest(program=plan.program, request_id=f"{plan.run}-{secrets.token_hex(6)}")
    request.campaign, request.count = plan.printed, count
    return [each.token for part in client.mint(request, timeout=MINT_SECONDS_MAX) for each in part.tokens]


def part_of(things: Sequence[str], index: int, workers: int) -> list[str]:
    """Return the part of one of several workers; no two have the same."""
    return list(things[index::workers])


def _on_sale(
    client: RedemptionClient, program: str, name: str, *, share: float, redemptions: int, issued: int, budget: int
) -> OnSale:
    """Create a campaign; its budget is told in redemptions."""
    limits = {"redemptions": redemptions, "issued": issued, "budget_minor": budget * OFF_MINOR}
    number = open_campaign(client, program, name, Limits(claims_per_customer=1, redemptions_per_customer=1, **limits))
    return OnSale(number=number, share=share, **limits)
