"""Prepares a server under test: campaigns, minted tokens, and serialised requests that are all different.

Also checks each run: the number of approvals that clients got must be what the ledger counted.
"""

import random
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import grpc
from generator import Run
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.client import RedemptionClient
from redemption.v1 import campaign_pb2 as v1
from redemption.v1.campaign_service_pb2 import CreateCampaignRequest, GetCampaignStatsRequest
from redemption.v1.issuance_service_pb2 import ClaimOffer, ClaimRequest, MintRequest
from redemption.v1.order_pb2 import Customer
from redemption.v1.outcome_pb2 import OUTCOME_APPROVED
from redemption.v1.redemption_service_pb2 import (
    BatchRedeemRequest,
    BatchRedeemResponse,
    RedeemRequest,
    RedeemResponse,
)

PROGRAM = "bench"
STAGES = (v1.STAGE_PLATFORM, v1.STAGE_MERCHANT, v1.STAGE_ITEM)
THRESHOLD_MINOR, OFF_MINOR = 200_00, 50_00
SPEND_MINOR = 338_00
"""The amount of a line: enough for all three coupons, one after the other."""
DAY_SECONDS = 86_400
MINT_MAX = 1_000_000
MINT_SECONDS_MAX = 60.0
REDEEM = "/redemption.v1.RedemptionService/Redeem"
BATCH_REDEEM = "/redemption.v1.RedemptionService/BatchRedeem"
QUOTE = "/redemption.v1.RedemptionService/Quote"
CLAIM = "/redemption.v1.IssuanceService/Claim"


class GateError(Exception):
    """The ledger and the client counted different numbers: the measurement is void."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of an order: how many tokens and how many lines it has."""

    tokens: int = 1
    lines: int = 1


SIMPLE = Shape()


class Shop:
    """One program of a server, with a campaign for each token that an order can have."""

    def __init__(self, authority: str, *, campaigns: int = len(STAGES)) -> None:
        self._channel = grpc.insecure_channel(authority, options=[("grpc.use_local_subchannel_pool", 1)])
        self._client = RedemptionClient(self._channel)
        self.campaigns = [self._create(index) for index in range(campaigns)]
        self._counted = self.counted()
        self._orders = 0

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def requests(self, count: int, shape: Shape = SIMPLE) -> list[RedeemRequest]:
        """Mint, and return ``count`` requests, each of another customer for another order.

        They are not in the order of minting: real customers do not redeem in that order, in which neighbours share a
        key of the ledger.
        """
        minted = [self.mint(campaign, count) for campaign in self.campaigns[: shape.tokens]]
        for tokens in minted:
            random.Random(count).shuffle(tokens)  # noqa: S311 - the same order in every run
        return [self._request(tokens, shape.lines) for tokens in zip(*minted, strict=True)]

    def claims(self, count: int) -> list[bytes]:
        """Return serialised claims, each of another customer, for one coupon each."""
        run = secrets.token_hex(4)
        offer = ClaimOffer(campaign=self.campaigns[0])
        return [
            ClaimRequest(
                program=PROGRAM,
                request_id=f"claim-{run}-{number}",
                offer=offer,
                customer=Customer(customer_id=f"customer-{run}-{number}"),
            ).SerializeToString()
            for number in range(count)
        ]

    def mint(self, campaign: int, count: int) -> list[str]:
        """Mint tokens of a campaign."""
        tokens: list[str] = []
        while len(tokens) < count:
            asked = MintRequest(
                program=PROGRAM,
                request_id=secrets.token_hex(8),
                campaign=campaign,
                count=min(count - len(tokens), MINT_MAX),
            )
            for part in self._client.mint(asked, timeout=MINT_SECONDS_MAX):
                tokens += [each.token for each in part.tokens]
        return tokens

    def counted(self) -> int:
        """Return how many redemptions the ledger has counted in all campaigns."""
        stats = [
            self._client.get_campaign_stats(GetCampaignStatsRequest(program=PROGRAM, number=number)).stats
            for number in self.campaigns
        ]
        return sum(each.redeemed for each in stats)

    def require_counted(self, approved: int, *, unknown: int = 0, besides: str = "") -> None:
        """Compare the approvals that clients got since the last check with what the ledger counted.

        Args:
            approved: How many approvals clients got.
            unknown: How many more redemptions are in doubt.
            besides: More text for the message.

        Raises:
            GateError: They differ.
        """
        before, self._counted = self._counted, self.counted()
        counted = self._counted - before
        require_same(max(approved, min(counted, approved + unknown)), counted, besides=besides)

    def _create(self, index: int) -> int:
        limits = v1.Limits(
            redemptions=10**9,
            redemptions_per_customer=5,
            redemptions_per_customer_per_day=5,
            redemptions_per_day=10**9,
            budget_minor=10**15,
        )
        name = f"bench {index} {secrets.token_hex(4)}"
        return open_campaign(self._client, PROGRAM, name, limits, stage=STAGES[index % len(STAGES)])

    def _request(self, tokens: Sequence[str], lines: int) -> RedeemRequest:
        self._orders += 1
        return order_request(f"{self._orders:06}-{secrets.token_hex(4)}", tokens, lines)


def open_campaign(
    client: RedemptionClient, program: str, name: str, limits: v1.Limits, *, stage: v1.Stage = v1.STAGE_PLATFORM
) -> int:
    """Create a campaign, 50 off from 200 on, and return its number.

    Args:
        client: Of the server.
        program: The program.
        name: Its name, which nothing else of the program has.
        limits: Its limits.
        stage: When it is applied.

    Raises:
        CallFailed: The server refused it.
    """
    now = int(time.time())
    tier = v1.Tier(threshold=THRESHOLD_MINOR, amount_off_minor=OFF_MINOR)
    campaign = v1.Campaign(
        program=program,
        name=name,
        currency_code="CNY",
        time_zone="Asia/Shanghai",
        start_time=Timestamp(seconds=now - DAY_SECONDS),
        end_time=Timestamp(seconds=now + 30 * DAY_SECONDS),
        offers=[v1.Offer(name="满200减50", tiers=v1.Tiers(measure=v1.MEASURE_SPEND, tiers=[tier]))],
        stacking=v1.Stacking(stage=stage),
        limits=limits,
    )
    request = CreateCampaignRequest(request_id=name, campaign=campaign)
    return client.create_campaign(request).campaign.number


def order_request(name: str, tokens: Sequence[str], lines: int) -> RedeemRequest:
    """Return a request for an order of that name; the part before its first hyphen is also in the ids of its lines."""
    number = name.partition("-")[0]
    request = RedeemRequest(request_id=f"request-{name}")
    checkout = request.checkout
    checkout.program = PROGRAM
    checkout.tokens.extend(tokens)
    checkout.customer.customer_id = f"customer-{name}"
    order = checkout.order
    order.order_id = f"order-{name}"
    order.currency_code = "CNY"
    for line in range(lines):
        order.lines.add(line_id=f"{number}.{line + 1}", quantity=1, amount_minor=SPEND_MINOR, sku=f"sku-{line}")
    return request


def require_same(approved: int, counted: int, *, besides: str = "") -> None:
    """Compare the approvals with the ledger's count.

    Raises:
        GateError: They differ.
    """
    if approved != counted:
        more = f" ({besides})" if besides else ""
        raise GateError(f"{approved} redemptions were approved, the ledger counted {counted}{more}")


def require_own(messages: Sequence[bytes], run: Run, *, batched: bool) -> None:
    """Check that each approval belongs to its request: no two orders have lines with the same ids.

    Args:
        messages: The requests, as they were distributed over the connections in turn.
        run: The run in which they were sent.
        batched: Whether they are batches.

    Raises:
        GateError: An approval has lines of another order.
    """
    for index, answer in zip(run.asked, run.answers, strict=True):
        if batched:
            orders = [each.checkout.order for each in BatchRedeemRequest.FromString(messages[index]).requests]
            decisions = [each.decision for each in BatchRedeemResponse.FromString(answer).results]
        else:
            orders = [RedeemRequest.FromString(messages[index]).checkout.order]
            decisions = [RedeemResponse.FromString(answer).decision]
        for order, decision in zip(orders, decisions, strict=True):
            own = {line.line_id for line in order.lines}
            foreign = {part.line_id for verdict in decision.verdicts for part in verdict.allocations} - own
            if foreign or (_approved(decision) and not decision.verdicts[0].allocations):
                raise GateError(f"{order.order_id} was answered with another order's lines: {sorted(foreign)}")


def batches(requests: Sequence[RedeemRequest], size: int) -> Iterator[bytes]:
    """Serialise requests in batches of a size; requests that do not fill a batch are left out."""
    for start in range(0, len(requests) - size + 1, size):
        yield BatchRedeemRequest(program=PROGRAM, requests=requests[start : start + size]).SerializeToString()


def approvals(answers: Sequence[bytes], *, batched: bool) -> int:
    """Count the approvals in serialised answers."""
    if not batched:
        return sum(_approved(RedeemResponse.FromString(answer).decision) for answer in answers)
    return sum(
        _approved(result.decision) for answer in answers for result in BatchRedeemResponse.FromString(answer).results
    )


def _approved(decision: object) -> int:
    return len(decision.verdicts) if decision.outcome == OUTCOME_APPROVED else 0  # type: ignore[attr-defined]
