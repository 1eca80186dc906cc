"""Well-formed requests of the contract and answers of the use cases, each field with a value of its own."""

from dataclasses import replace

from builders.full_campaign import CAMPAIGN, OFFERS
from builders.rules import velocity_rule
from builders.times import NOW
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.domain.campaign.change_warnings import ChangeWarning, WarningReason
from redemption.domain.decision import Allocation, Decision, Detail, Verdict
from redemption.domain.order import Checkout, Customer, Line, Order, RiskContext, Shipping
from redemption.domain.outcome import Outcome
from redemption.domain.ports.campaigns import OfferCounters
from redemption.domain.risk.assessment import ActiveRules
from redemption.domain.risk.attempts import Tried
from redemption.domain.risk.lists import ListEntry, ListKind, Lists
from redemption.domain.risk.network import Range
from redemption.domain.risk.rules import RuleMode, Rules
from redemption.domain.risk.subject_counts import SubjectCount
from redemption.domain.risk.subjects import Subject, SubjectKind, range_subject
from redemption.domain.risk.warnings import RiskWarning, RiskWarningReason
from redemption.domain.signed.receipt import Receipt
from redemption.rpc.convert.offers import offer_of
from redemption.service.campaigns import Page, Stats, Updated
from redemption.service.decisions import Redeemed
from redemption.service.quoter import Quote
from redemption.service.risk_lists import EntriesAdded, EntriesPage
from redemption.service.risk_rules import RiskStats, RuleStats
from redemption.service.risk_subjects import SubjectKnown
from redemption.v1 import (
    campaign_pb2,
    campaign_service_pb2,
    issuance_service_pb2,
    order_pb2,
    outcome_pb2,
    redemption_service_pb2,
    risk_service_pb2,
    rules_pb2,
)

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
            allocations=(Allocation("line-1", 600, 180), Allocation("line-2", 300)),
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
        Verdict(Outcome.DAY_LIMIT, 8, detail=Detail(12, 13, try_after_ms=NOW * 1000 + 1, conflicts=(0, 4))),
    ),
    decided_at=NOW,
)

LEFT_OUT = Verdict(Outcome.EXCLUSIVE_CONFLICT, 8, detail=Detail(conflicts=(0,)))

REDEEMED = Redeemed("receipt-1", Receipt(key_id=1, campaign=7, serial=9, generation=0, redeemed_at=NOW), 900)

QUOTED = Quote(
    together=replace(APPROVAL, settlement=b""),
    alone=(Verdict(Outcome.APPROVED, 7, discount_minor=900, allocations=(Allocation("line-1", 900, 270),)), LEFT_OUT),
    chosen=(0, 5),
    exhaustive=True,
)

STATS = Stats(
    as_of_ms=NOW * 1000,
    issued=10,
    redeemed=8,
    redeemed_today=6,
    discount_minor=4_000,
    merchant_minor=1_000,
    order_value_minor=90_000,
    offers=(OfferCounters(6, 5, 3_000), OfferCounters(4, 3, 1_000)),
    refusals=((60, 2), (150, 9)),
    claimed=70,
    budget_left_minor=0,
    reserved=2,
    warnings=(
        RiskWarning(7, RiskWarningReason.REFUSAL_SHARE, 150, NOW - 60, 2500, 0, 30, 90),
        RiskWarning(7, RiskWarningReason.BUDGET_GONE_SOON, 0, NOW, 3600, 5_000, 10, NOW + 600),
    ),
)
UPDATED = Updated(
    CAMPAIGN, (ChangeWarning("campaign.end_time", WarningReason.ISSUED_EXPIRE_AS_BEFORE, "is later than before"),)
)
PAGE = Page([CAMPAIGN], 51)

ENTRY = ListEntry(ListKind.DENY, Subject(SubjectKind.CUSTOMER, bytes(range(8))), "resale", NOW + 60, NOW, "operator")
RANGE = ListEntry(ListKind.ALLOW, range_subject(Range(b"4", 24, b"\xc0\x00\x02\x00")), "", 0, NOW, "operator")
ADDED = EntriesAdded([ENTRY, RANGE], 7)
ENTRIES = EntriesPage([ENTRY, RANGE], b"\x01\x02", 7)
ACTIVE = ActiveRules(9, 5, Rules(velocity=(velocity_rule("five"),)).numbered(), Lists())
RISK_STATS = RiskStats(
    NOW * 1000,
    (RuleStats("five", RuleMode.SHADOW, 1, 2, 3),),
    RuleStats("lock_out", RuleMode.ENFORCE, 4, 5, 0),
    STATS.warnings,
    failures_last_minute=6,
    locked_out=7,
    code_budget_spent=True,
)
TOP = [(ENTRY.subject, Tried(3, 4))]
KNOWN = SubjectKnown(
    ENTRY.subject, [ENTRY], [SubjectCount("five", 0, NOW * 1000, (b"12345678",))], Tried(3, 4), NOW * 1000
)


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


def full_message() -> campaign_pb2.Campaign:
    """Return a definition that says something in every part."""
    message = campaign_message(
        campaign_pb2.Offer(
            name="two for 99",
            tiers={
                "measure": campaign_pb2.MEASURE_UNITS,
                "tiers": [{"threshold": 2, "percent_off_basis_points": 2_500, "cap_minor": 9_000}],
            },
            conditions={
                "min_spend_minor": 1,
                "min_quantity": 1,
                "include": {"skus": ["sku-1"]},
                "exclude": {"brands": ["brand-1"]},
                "min_group_size": 2,
                "windows": [{"weekdays": [1], "start_minute": 1_200, "end_minute": 1_320}],
            },
            funding={"merchant_basis_points": 3_000},
            issue_quota=600,
        )
    )
    message.MergeFrom(
        campaign_pb2.Campaign(
            limits={"issued": 1, "slots": {"slots": [{"start_minute": 1, "end_minute": 2, "redemptions": 1}]}},
            validity={"from_claim": {"wait": Duration(seconds=60), "days": 7}},
            stacking={"exclusivity_groups": ["group-1"]},
            return_window=Duration(seconds=60),
            required_risk_signals=[campaign_pb2.RISK_SIGNAL_PERSON],
        )
    )
    return message


def absolute_message() -> campaign_pb2.Campaign:
    """Return a definition whose coupons are valid between two instants."""
    message = campaign_message(percent_offer())
    message.validity.absolute.not_before.seconds = NOW
    message.validity.absolute.expire_time.seconds = NOW + 60
    return message


def update_message() -> campaign_pb2.Campaign:
    message = campaign_message()
    message.number = 7
    message.etag = "v5"
    return message


def rules_message(**changes) -> rules_pb2.Rules:
    """Return rules that say something in every part."""
    parts = {
        "velocity": [
            {"name": "five", "subject": rules_pb2.SUBJECT_KIND_CUSTOMER, "limit": 5, "period": Duration(seconds=60)}
        ],
        "accounts": [
            {"name": "shared", "subject": rules_pb2.SUBJECT_KIND_DEVICE, "customers": 2, "window": Duration(seconds=60)}
        ],
        "lock_out": {"period": Duration(seconds=61), "wait": Duration(seconds=62), "wait_max": Duration(seconds=63)},
        "warnings": {
            "refusal_shares": [{"outcome": outcome_pb2.OUTCOME_TOKEN_INVALID, "basis_points": 5_000}],
            "budget_gone_within": Duration(seconds=60),
        },
    }
    return rules_pb2.Rules(program="shop", etag="v5", **parts | changes)


SUBJECTS = [
    {"customer_id": "customer-1"},
    {"person_id": "person-1"},
    {"device_id": "device-1"},
    {"network": "192.0.2.0/24"},
    {"payment_fingerprint": "fingerprint-1"},
    {"coupon": {"campaign": 7, "serial": 42}},
]

# For every method that is built, by its full name: requests that work.
REQUESTS = {
    "RedemptionService.Redeem": [redeem_request()],
    "RedemptionService.BatchRedeem": [batch_request(redeem_request("a"), redeem_request("b"))],
    "RedemptionService.Quote": [redemption_service_pb2.QuoteRequest(checkout=checkout_message())],
    "RedemptionService.Reserve": [
        redemption_service_pb2.ReserveRequest(
            request_id="hold-1", checkout=checkout_message(), ttl=Duration(seconds=60)
        )
    ],
    "RedemptionService.Confirm": [
        redemption_service_pb2.ConfirmRequest(program="shop", request_id="confirm-1", reservation_id="reservation-1")
    ],
    "RedemptionService.Release": [
        redemption_service_pb2.ReleaseRequest(program="shop", request_id="release-1", reservation_id="reservation-1")
    ],
    "RedemptionService.Reverse": [
        redemption_service_pb2.ReverseRequest(
            program="shop",
            request_id="reverse-1",
            order_id="order-1",
            redemption_id="receipt-1",
            settlement=b"settlement",
            lines=[redemption_service_pb2.ReverseLine(line_id="1", amount_minor=50_00)],
            unpaid=True,
        )
    ],
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
    "IssuanceService.Claim": [
        issuance_service_pb2.ClaimRequest(
            program="shop", request_id="claim-1", customer={"customer_id": "customer-1"}, **source
        )
        for source in ({"offer": {"campaign": 7, "offer_index": 1}}, {"code": "0123456789ABCDEF"})
    ],
    "IssuanceService.Revoke": [
        issuance_service_pb2.RevokeRequest(program="shop", request_id="revoke-1", campaign=7, **target)
        for target in ({"token": "token-a"}, {"serials": {"first": 1, "count": 9}}, {"customer_id": "customer-1"})
    ],
    "IssuanceService.InspectToken": [issuance_service_pb2.InspectTokenRequest(program="shop", token="token-a")],
    "CampaignService.CreateCampaign": [
        campaign_service_pb2.CreateCampaignRequest(request_id="create-1", campaign=message)
        for message in (
            campaign_message(),
            full_message(),
            absolute_message(),
            *(campaign_message(offer_of(offer)) for offer in OFFERS),
        )
    ]
    + [
        campaign_service_pb2.CreateCampaignRequest(
            request_id="create-1", campaign=campaign_message(), validate_only=True
        )
    ],
    "CampaignService.GetCampaign": [campaign_service_pb2.GetCampaignRequest(program="shop", number=7)],
    "CampaignService.ListCampaigns": [campaign_service_pb2.ListCampaignsRequest(program="shop")],
    "CampaignService.UpdateCampaign": [
        campaign_service_pb2.UpdateCampaignRequest(campaign=update_message(), validate_only=validate_only)
        for validate_only in (False, True)
    ],
    "CampaignService.PauseCampaign": [campaign_service_pb2.PauseCampaignRequest(program="shop", number=7)],
    "CampaignService.ResumeCampaign": [campaign_service_pb2.ResumeCampaignRequest(program="shop", number=7)],
    "CampaignService.EndCampaign": [campaign_service_pb2.EndCampaignRequest(program="shop", number=7)],
    "CampaignService.ArchiveCampaign": [campaign_service_pb2.ArchiveCampaignRequest(program="shop", number=7)],
    "CampaignService.GetCampaignStats": [campaign_service_pb2.GetCampaignStatsRequest(program="shop", number=7)],
    "RiskService.GetRules": [risk_service_pb2.GetRulesRequest(program="shop")],
    "RiskService.UpdateRules": [
        risk_service_pb2.UpdateRulesRequest(rules=rules_message(), validate_only=validate_only)
        for validate_only in (False, True)
    ],
    "RiskService.TightenRule": [
        risk_service_pb2.TightenRuleRequest(program="shop", rule=rules_pb2.TightenedRule(name="five", limit=1))
    ],
    "RiskService.LoosenRule": [risk_service_pb2.LoosenRuleRequest(program="shop", name="five")],
    "RiskService.FreezeClaims": [risk_service_pb2.FreezeClaimsRequest(program="shop")],
    "RiskService.ThawClaims": [risk_service_pb2.ThawClaimsRequest(program="shop")],
    "RiskService.AddListEntries": [
        risk_service_pb2.AddListEntriesRequest(
            program="shop",
            list=rules_pb2.LIST_KIND_DENY,
            subjects=[subject],
            refs=[{"kind": rules_pb2.SUBJECT_KIND_CUSTOMER, "id": "0123456789abcdef"}],
            expire_time=Timestamp(seconds=NOW),
        )
        for subject in SUBJECTS
    ],
    "RiskService.RemoveListEntries": [
        risk_service_pb2.RemoveListEntriesRequest(
            program="shop",
            list=rules_pb2.LIST_KIND_DENY,
            subjects=[subject],
            refs=[{"kind": rules_pb2.SUBJECT_KIND_CUSTOMER, "id": "0123456789abcdef"}],
        )
        for subject in SUBJECTS
    ],
    "RiskService.ListListEntries": [risk_service_pb2.ListListEntriesRequest(program="shop")],
    "RiskService.GetRiskStats": [risk_service_pb2.GetRiskStatsRequest(program="shop")],
    "RiskService.ListTopSubjects": [risk_service_pb2.ListTopSubjectsRequest(program="shop")],
    "RiskService.GetSubject": [
        *(risk_service_pb2.GetSubjectRequest(program="shop", subject=subject) for subject in SUBJECTS),
        risk_service_pb2.GetSubjectRequest(
            program="shop", ref={"kind": rules_pb2.SUBJECT_KIND_DEVICE, "id": "0123456789abcdef"}
        ),
    ],
}
