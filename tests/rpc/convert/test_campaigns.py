"""A campaign is converted as a whole, or refused with the name of the field."""

from dataclasses import replace

import pytest
from builders.campaign_strategies import CAMPAIGNS
from builders.full_campaign import CAMPAIGN
from builders.times import NOW
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from rpc.examples import STATS, absolute_message, campaign_message, percent_offer

from redemption.domain.campaign.benefit import Measure, PercentOff, Tier, Tiers
from redemption.domain.campaign.campaign import (
    AbsoluteValidity,
    CampaignState,
    ClaimValidity,
    DiscountBase,
    ExclusivityReach,
    Limits,
    Offer,
    ReturnPolicy,
    Sizing,
    Slot,
    SlotLimits,
    Stacking,
    Stage,
)
from redemption.domain.campaign.campaign_checks import campaign_violations
from redemption.domain.campaign.conditions import Conditions, Scope, Window
from redemption.domain.errors import InvalidRequest, NotBuilt, ViolationValues
from redemption.domain.order import MINOR_MAX
from redemption.rpc.convert.campaigns import BYTES_MAX, campaign_from, campaign_of, new_campaign_from, stats_of
from redemption.v1 import campaign_pb2, campaign_service_pb2


def changed(**more):
    message = campaign_message()
    message.MergeFrom(campaign_pb2.Campaign(**more))
    return message


def refused_by(message):
    with pytest.raises(InvalidRequest) as refused:
        campaign_from(message)
    return [violation.field for violation in refused.value.violations]


@given(CAMPAIGNS)
def test_what_was_told_can_be_told_back(campaign):
    """Read, change one thing, write: nothing else changes."""
    assert campaign_from(campaign_pb2.Campaign.FromString(campaign_of(campaign).SerializeToString())) == campaign


@given(CAMPAIGNS)
def test_telling_what_was_read_says_nothing_new(campaign):
    told = campaign_of(campaign)
    assert campaign_of(campaign_from(told)) == told


def test_example_is_told_field_by_field():
    """Each field has a value of its own, so a mix-up of two shows. Offers have their own test."""
    assert campaign_of(replace(CAMPAIGN, offers=())) == campaign_pb2.Campaign(
        program="shop",
        number=7,
        name="Spring",
        currency_code="CNY",
        time_zone="Asia/Shanghai",
        start_time={"seconds": NOW, "nanos": 1_000_000},
        end_time={"seconds": NOW + 86_400, "nanos": 2_000_000},
        limits={
            "issued": 1,
            "issued_per_day": 2,
            "claims_per_customer": 3,
            "claims_per_person": 4,
            "redemptions": 5,
            "redemptions_per_customer": 6,
            "redemptions_per_customer_per_day": 7,
            "redemptions_per_day": 8,
            "slots": {
                "slots": [
                    {"start_minute": 600, "end_minute": 720, "redemptions": 9},
                    {"start_minute": 720, "end_minute": 840, "redemptions": 10},
                ],
                "carry_over": True,
            },
            "budget_minor": 11,
            "budget_per_day_minor": 12,
        },
        validity={"from_claim": {"wait": {"seconds": 3_600}, "days": 7, "end_of_day": True}},
        stacking={
            "stage": "STAGE_MERCHANT",
            "priority": 9,
            "base": "DISCOUNT_BASE_LIST",
            "exclusivity_groups": ["group-1", "group-2"],
            "exclusivity_reach": "EXCLUSIVITY_REACH_MERCHANT",
            "stop_after": True,
            "max_tokens_per_order": 2,
        },
        return_policy="RETURN_POLICY_ON_FULL_RETURN",
        return_window={"seconds": 864_000},
        max_reservation_ttl={"seconds": 1_200},
        required_risk_signals=["RISK_SIGNAL_DEVICE", "RISK_SIGNAL_PERSON"],
        sizing={"expected_redemptions": 500, "expected_redemption_rate_basis_points": 9_000},
        state="CAMPAIGN_STATE_PAUSED",
        etag="v5",
        create_time={"seconds": NOW - 1, "nanos": 997_000_000},
        update_time={"seconds": NOW - 1, "nanos": 998_000_000},
        paused_merchant_ids=["merchant-7", "merchant-8"],
        paused_skus=["sku-7"],
        paused_offers=[1, 4],
        honoured_until={"seconds": NOW + 43_200, "nanos": 1_000_000},
    )


def test_offers_are_told_in_their_order():
    assert [offer.WhichOneof("benefit") for offer in campaign_of(CAMPAIGN).offers] == [
        "tiers",
        "tiers",
        "every_full",
        "percent_off",
        "free_shipping",
        "fixed_price",
        "buy_get",
        "cash_voucher",
    ]


def test_what_is_left_unset_means_what_the_contract_says():
    campaign = new_campaign_from(campaign_message(percent_offer()))
    assert campaign.offers == (Offer(PercentOff(2_000, 4_000)),)
    assert campaign.limits == Limits()
    assert campaign.stacking == Stacking(Stage.PLATFORM, 0, 1, DiscountBase.REMAINING, (), ExclusivityReach.ORDER)
    assert campaign.sizing == Sizing(100_000, 10_000)
    assert campaign.state is CampaignState.ACTIVE
    assert campaign.validity is None
    assert campaign.return_window_seconds == 30 * 86_400
    assert campaign.return_policy is ReturnPolicy.NEVER
    assert campaign.reservation_seconds_max == 86_400
    assert campaign.required_risk_signals == ()


@pytest.mark.parametrize(
    "told",
    [
        {"stacking": {}},
        {"stacking": {"stage": "STAGE_PLATFORM"}},
        {"stacking": {"base": "DISCOUNT_BASE_REMAINING"}},
        {"stacking": {"exclusivity_reach": "EXCLUSIVITY_REACH_ORDER"}},
        {"stacking": {"max_tokens_per_order": 1}},
        {"return_policy": "RETURN_POLICY_NEVER"},
        {"return_window": Duration(seconds=30 * 86_400)},
        {"sizing": {"expected_redemptions": 100_000, "expected_redemption_rate_basis_points": 10_000}},
        {"limits": {}},
        {"state": "CAMPAIGN_STATE_ACTIVE"},
    ],
    ids=str,
)
def test_telling_what_is_meant_anyway_reads_the_same(told):
    assert campaign_from(changed(**told)) == campaign_from(campaign_message())


@pytest.mark.parametrize(
    ("told", "name", "expected"),
    [
        ({"return_window": Duration()}, "return_window_seconds", 0),
        ({"limits": {"redemptions": 0}}, "limits", Limits(redemptions=0)),
        ({"limits": {"slots": {}}}, "limits", Limits(slots=SlotLimits(()))),
        ({"stacking": {"max_tokens_per_order": 0}}, "stacking", Stacking(max_tokens_per_order=0)),
        ({"validity": {"from_claim": {}}}, "validity", ClaimValidity(days=0)),
    ],
    ids=str,
)
def test_zero_is_not_the_same_as_unset(told, name, expected):
    """The domain refuses most of these, with a reason; here they are not lost."""
    assert getattr(campaign_from(changed(**told)), name) == expected


def test_validity_between_two_instants_is_read():
    assert campaign_from(absolute_message()).validity == AbsoluteValidity(NOW * 1000, (NOW + 60) * 1000)


@pytest.mark.parametrize("field", ["start_time", "end_time"])
def test_time_is_required(field):
    message = campaign_message()
    message.ClearField(field)
    assert refused_by(message) == [f"campaign.{field}"]


@pytest.mark.parametrize(
    ("validity", "fields"),
    [
        ({}, [""]),
        ({"absolute": {}}, [".absolute.not_before", ".absolute.expire_time"]),
        ({"absolute": {"not_before": Timestamp(seconds=NOW)}}, [".absolute.expire_time"]),
        (
            {"absolute": {"not_before": Timestamp(seconds=NOW, nanos=1_000_000), "expire_time": Timestamp()}},
            [".absolute.not_before"],
        ),
        (
            {"absolute": {"not_before": Timestamp(), "expire_time": Timestamp(seconds=NOW, nanos=500_000_000)}},
            [".absolute.expire_time"],
        ),
        ({"from_claim": {"wait": Duration(seconds=-1)}}, [".from_claim.wait"]),
        ({"from_claim": {"wait": Duration(nanos=1)}}, [".from_claim.wait"]),
    ],
)
def test_validity_that_cannot_be_is_refused(validity, fields):
    assert refused_by(changed(validity=validity)) == [f"campaign.validity{field}" for field in fields]


@pytest.mark.parametrize("window", [Duration(seconds=-1), Duration(nanos=1), Duration(seconds=2**62)], ids=str)
def test_return_window_that_cannot_be_is_refused(window):
    assert refused_by(changed(return_window=window)) == ["campaign.return_window"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", 7),
        ("state", 1),
        ("etag", "v1"),
        ("create_time", Timestamp()),
        ("update_time", Timestamp()),
    ],
)
def test_output_only_field_is_refused_on_create(field, value):
    with pytest.raises(InvalidRequest) as refused:
        new_campaign_from(changed(**{field: value}))
    assert [violation.field for violation in refused.value.violations] == [f"campaign.{field}"]


def test_what_must_be_set_is_told_as_data():
    with pytest.raises(InvalidRequest) as refused:
        campaign_from(changed(validity={}))
    (violation,) = refused.value.violations
    others = (("campaign.validity.absolute", None), ("campaign.validity.from_claim", None))
    assert (violation.reason, violation.values) == ("ONE_OF", ViolationValues(others=others))
    with pytest.raises(InvalidRequest) as refused:
        campaign_from(changed(validity={"absolute": {}}))
    assert [violation.reason for violation in refused.value.violations] == ["REQUIRED", "REQUIRED"]


def test_offer_that_gives_nothing_is_refused_by_its_place():
    message = campaign_message(percent_offer(), campaign_pb2.Offer(tiers={"tiers": [{"threshold": 1}]}))
    assert refused_by(message) == ["campaign.offers[1].tiers.tiers[0]"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"return_policy": 9}, "campaign.return_policy"),
        ({"required_risk_signals": [9]}, "campaign.required_risk_signals[0]"),
    ],
)
def test_enum_value_of_a_later_contract_is_refused(more, field):
    assert refused_by(changed(**more)) == [field]


def test_field_of_a_later_contract_is_refused():
    field_99 = b"\x98\x06\x01"
    with pytest.raises(NotBuilt, match="99"):
        new_campaign_from(campaign_pb2.Campaign.FromString(campaign_message().SerializeToString() + field_99))


def test_largest_definition_is_taken_and_a_larger_one_refused():
    message = campaign_message()
    message.name = "a" * (BYTES_MAX - message.ByteSize() + len(message.name))
    while message.ByteSize() > BYTES_MAX:  # the name's own length takes two bytes more
        message.name = message.name[:-1]
    assert message.ByteSize() == BYTES_MAX
    campaign_from(message)
    message.name += "a"
    assert refused_by(message) == ["campaign"]


def largest_campaign():
    """Return the definition that takes most room of those that the domain allows."""
    windows = tuple(Window(minute, minute + 1, tuple(range(1, 8))) for minute in range(1_000, 1_005))
    tiers = tuple(
        Tier(threshold=MINOR_MAX - 20 + index, percent_off_basis_points=9_000 + index, cap_minor=MINOR_MAX - 20 + index)
        for index in range(20)
    )
    offers = [
        Offer(
            Tiers(Measure.SPEND, tiers) if index < 25 else PercentOff(10_000, MINOR_MAX),
            f"{index:0128}",
            Conditions(
                min_spend_minor=MINOR_MAX,
                min_quantity=1_000_000,
                include=Scope(skus=tuple(f"{index:07}{value:08}" for value in range(100))),
                new_customer_only=True,
                min_group_size=1_000_000,
                windows=windows,
            ),
            10_000,
            2**40 - 1,
        )
        for index in range(100)
    ]
    slots = tuple(Slot(15 * index, 15 * index + 15, 2**40 - 1) for index in range(96))
    base = campaign_from(campaign_message())
    return replace(base, offers=tuple(offers), limits=Limits(slots=SlotLimits(slots)))


def test_whatever_the_domain_allows_is_small_enough_also_when_it_is_told_back():
    campaign = largest_campaign()
    assert campaign_violations(campaign) == []
    told = campaign_of(campaign)
    assert BYTES_MAX // 2 < told.ByteSize() < BYTES_MAX * 0.95
    assert campaign_from(told) == campaign


def test_definition_of_as_many_parts_as_fit_is_refused_before_it_is_converted(monkeypatch):
    """Other calls would wait: to convert it takes 50 ms, and to check it as long again."""
    monkeypatch.setattr("redemption.rpc.convert.campaigns.offer_from", None)
    offer = {
        "tiers": {"tiers": [{"amount_off_minor": 0}] * 100},
        "conditions": {"windows": [{}] * 100, "channels": [""] * 900},
    }
    message = changed(offers=[offer] * 99)
    assert BYTES_MAX * 0.9 < message.ByteSize() <= BYTES_MAX
    with pytest.raises(InvalidRequest, match="campaign: has more than"):
        campaign_from(message)


def test_statistics_tell_what_is_counted_and_nothing_else():
    assert stats_of(STATS) == campaign_service_pb2.CampaignStats(
        issued=10,
        redeemed=8,
        redeemed_today=6,
        reserved=2,
        discount_minor=4_000,
        merchant_minor=1_000,
        order_value_minor=90_000,
        offers=[
            {"offer_index": 0, "issued": 6, "redeemed": 5, "discount_minor": 3_000},
            {"offer_index": 1, "issued": 4, "redeemed": 3, "discount_minor": 1_000},
        ],
        refusals=[
            {"outcome": "OUTCOME_TOKEN_EXPIRED", "count": 2},
            {"outcome": "OUTCOME_ALREADY_REDEEMED", "count": 9},
        ],
        claimed=70,
        budget_left_minor=0,
        as_of={"seconds": 1_800_000_000},
        warnings=[
            {
                "campaign": 7,
                "reason": "REFUSAL_SHARE",
                "outcome": "OUTCOME_ALREADY_REDEEMED",
                "description": "30 of the 90 answers of a minute were ALREADY_REDEEMED; the threshold is 25 %",
                "raise_time": {"seconds": 1_799_999_940},
            },
            {
                "campaign": 7,
                "reason": "BUDGET_GONE_SOON",
                "description": "at the pace of the last five minutes, the budget is gone at 2027-01-15T08:10:00Z; the "
                "threshold is 1 hour before",
                "raise_time": {"seconds": 1_800_000_000},
                "gone_time": {"seconds": 1_800_000_600},
            },
        ],
    )
