"""Well-formed requests of the contract and answers of the use cases, each field with a value of its own."""

from google.protobuf.timestamp_pb2 import Timestamp

from redemption.domain.campaign import (
    AmountOff,
    Campaign,
    CampaignState,
    Limits,
    Offer,
    PercentOff,
    Sizing,
    Stacking,
    Stage,
)
from redemption.domain.decision import Allocation, Decision, Detail, Verdict
from redemption.domain.order import Checkout, Customer, Line, Order, RiskContext, Shipping
from redemption.domain.outcome import Outcome
from redemption.domain.receipt import Receipt
from redemption.service.answer import Redeemed
from redemption.service.campaigns import Page, Stats
from redemption.v1 import (
    campaign_pb2,
    campaign_service_pb2,
    issuance_service_pb2,
    order_pb2,
    redemption_service_pb2,
)

NOW = 1_800_000_000

CHECKOUT = Checkout(
    program="shop",
    tokens=("token-a", "token-b"),
    order=Order(
        order_id="order-1",
        currency_code="CNY",
        lines=(
            Line("line-1", 2, 2_000, 2_500, "sku-1", "merchant-1", "brand-1", ("category-1", "category-2")),
            Line("line-2", 1, 700, 700),
        ),
        shipping=(Shipping("fee-1", 300, "merchant-2", "region-1"),),
        channel="app",
        store_id="store-1",
        payment_method="card",
        group_size=4,
    ),
    customer=Customer("customer-1", "gold", ("segment-1", "segment-2"), is_new=False, person_id="person-1"),
    risk=RiskContext("device-1", "192.0.2.7", "fingerprint-1"),
)

APPROVAL = Decision(
    outcome=Outcome.APPROVED,
    verdicts=(
        Verdict(
            Outcome.APPROVED,
            campaign=7,
            redemption_id="receipt-1",
            discount_minor=900,
            allocations=(Allocation("line-1", 600), Allocation("line-2", 300)),
        ),
        Verdict(Outcome.APPROVED, campaign=8, redemption_id="receipt-2", discount_minor=50),
    ),
    decided_at=NOW,
    discount_minor=950,
    settlement=b"signed",
)

REFUSAL = Decision(
    outcome=Outcome.ALREADY_REDEEMED,
    verdicts=(
        Verdict(Outcome.ALREADY_REDEEMED, 7, "receipt-1", detail=Detail(same_order=True, redeemed_at=NOW - 60)),
        Verdict(Outcome.DAY_LIMIT, 8, detail=Detail(missing_minor=12, try_after_ms=NOW * 1000 + 1, conflicts=(0, 4))),
    ),
    decided_at=NOW,
)

REDEEMED = Redeemed("receipt-1", Receipt(key_id=1, campaign=7, serial=9, generation=0, redeemed_at=NOW), 900)

CAMPAIGN = Campaign(
    program="shop",
    name="Spring",
    currency_code="CNY",
    time_zone="Asia/Shanghai",
    starts_at_ms=NOW * 1000 + 1,
    ends_at_ms=NOW * 1000 + 86_400_002,
    offers=(Offer(AmountOff(20_000, 5_000), "50 off 200", 300), Offer(PercentOff(2_000, 4_000))),
    limits=Limits(1, 2, 3, 4, 5, 6),
    stacking=Stacking(Stage.MERCHANT, 9, 2),
    sizing=Sizing(500, 9_000),
    state=CampaignState.PAUSED,
    number=7,
    version=5,
    created_at_ms=NOW * 1000 - 3,
    updated_at_ms=NOW * 1000 - 2,
)

STATS = Stats(as_of_ms=NOW * 1000, issued=10, redeemed=8, redeemed_today=6, discount_minor=4_000, budget_left_minor=0)
PAGE = Page([CAMPAIGN], 51)


def checkout_message(checkout: Checkout = CHECKOUT) -> order_pb2.Checkout:
    """Return the contract's checkout of a domain's."""
    order, customer, risk = checkout.order, checkout.customer, checkout.risk
    return order_pb2.Checkout(
        program=checkout.program,
        tokens=checkout.tokens,
        order=order_pb2.Order(
            order_id=order.order_id,
            currency_code=order.currency_code,
            lines=[
                order_pb2.Line(
                    line_id=line.line_id,
                    sku=line.sku,
                    merchant_id=line.merchant_id,
                    brand=line.brand,
                    categories=line.categories,
                    quantity=line.quantity,
                    amount_minor=line.amount_minor,
                    list_amount_minor=line.list_amount_minor,
                )
                for line in order.lines
            ],
            shipping=[
                order_pb2.Shipping(
                    line_id=fee.line_id, merchant_id=fee.merchant_id, region=fee.region, amount_minor=fee.amount_minor
                )
                for fee in order.shipping
            ],
            channel=order.channel,
            store_id=order.store_id,
            payment_method=order.payment_method,
            group_size=order.group_size,
        ),
        customer=order_pb2.Customer(
            customer_id=customer.customer_id,
            tier=customer.tier,
            segments=customer.segments,
            is_new=customer.is_new,
            person_id=customer.person_id,
        ),
        risk=order_pb2.RiskContext(
            device_id=risk.device_id,
            network_address=risk.network_address,
            payment_fingerprint=risk.payment_fingerprint,
        ),
    )


def redeem_request(request_id: str = "attempt-1") -> redemption_service_pb2.RedeemRequest:
    return redemption_service_pb2.RedeemRequest(request_id=request_id, checkout=checkout_message())


def batch_request(*requests: redemption_service_pb2.RedeemRequest) -> redemption_service_pb2.BatchRedeemRequest:
    return redemption_service_pb2.BatchRedeemRequest(program="shop", requests=requests or [redeem_request()])


def campaign_message(*offers: campaign_pb2.Offer) -> campaign_pb2.Campaign:
    """Return the least that can be created, giving an amount unless told otherwise."""
    amount = campaign_pb2.Offer(
        tiers=campaign_pb2.Tiers(tiers=[campaign_pb2.Tier(threshold=20_000, amount_off_minor=5_000)])
    )
    return campaign_pb2.Campaign(
        program="shop",
        name="Spring",
        currency_code="CNY",
        time_zone="Asia/Shanghai",
        start_time=Timestamp(seconds=NOW),
        end_time=Timestamp(seconds=NOW + 86_400),
        offers=offers or [amount],
    )


def percent_offer() -> campaign_pb2.Offer:
    return campaign_pb2.Offer(percent_off=campaign_pb2.PercentOff(basis_points=2_000, cap_minor=4_000))


def update_message() -> campaign_pb2.Campaign:
    message = campaign_message()
    message.number = 7
    message.etag = "v5"
    return message


# For every method that is built, by its full name: requests that work.
REQUESTS = {
    "RedemptionService.Redeem": [redeem_request()],
    "RedemptionService.BatchRedeem": [batch_request(redeem_request("a"), redeem_request("b"))],
    "RedemptionService.GetRedemption": [
        redemption_service_pb2.GetRedemptionRequest(program="shop", request_id="attempt-1"),
        redemption_service_pb2.GetRedemptionRequest(program="shop", redemption_id="receipt-1"),
    ],
    "IssuanceService.Mint": [
        issuance_service_pb2.MintRequest(
            program="shop",
            request_id="mint-1",
            campaign=7,
            count=20,
            not_before=Timestamp(seconds=NOW),
            expire_time=Timestamp(seconds=NOW + 60),
        )
    ],
    "IssuanceService.InspectToken": [issuance_service_pb2.InspectTokenRequest(program="shop", token="token-a")],
    "CampaignService.CreateCampaign": [
        campaign_service_pb2.CreateCampaignRequest(request_id="create-1", campaign=campaign_message()),
        campaign_service_pb2.CreateCampaignRequest(request_id="create-1", campaign=campaign_message(percent_offer())),
    ],
    "CampaignService.GetCampaign": [campaign_service_pb2.GetCampaignRequest(program="shop", number=7)],
    "CampaignService.ListCampaigns": [campaign_service_pb2.ListCampaignsRequest(program="shop")],
    "CampaignService.UpdateCampaign": [campaign_service_pb2.UpdateCampaignRequest(campaign=update_message())],
    "CampaignService.PauseCampaign": [campaign_service_pb2.PauseCampaignRequest(program="shop", number=7)],
    "CampaignService.ResumeCampaign": [campaign_service_pb2.ResumeCampaignRequest(program="shop", number=7)],
    "CampaignService.EndCampaign": [campaign_service_pb2.EndCampaignRequest(program="shop", number=7)],
    "CampaignService.GetCampaignStats": [campaign_service_pb2.GetCampaignStatsRequest(program="shop", number=7)],
}
