"""A campaign's promise is converted whole, or refused by the name of the field."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from rpc.examples import CAMPAIGN, STATS, campaign_message, percent_offer

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
from redemption.domain.errors import InvalidRequest, NotBuilt
from redemption.rpc.campaign_convert import campaign_from, campaign_of, new_campaign_from, stats_of
from redemption.v1 import campaign_pb2, campaign_service_pb2

COUNTS = st.integers(0, 2**40 - 1)
MINOR = st.integers(0, 2**53 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
TIMES = st.integers(0, 2**42)
OFFERS = st.builds(
    Offer,
    benefit=st.builds(AmountOff, MINOR, MINOR) | st.builds(PercentOff, INT32, MINOR),
    name=st.text(max_size=8),
    min_spend_minor=st.none() | MINOR,
)
CAMPAIGNS = st.builds(
    Campaign,
    program=st.text(max_size=8),
    name=st.text(max_size=8),
    currency_code=st.text(max_size=3),
    time_zone=st.text(max_size=8),
    starts_at_ms=TIMES,
    ends_at_ms=TIMES,
    offers=st.lists(OFFERS, max_size=3).map(tuple),
    limits=st.builds(Limits, *[st.none() | COUNTS] * 6),
    stacking=st.builds(Stacking, st.sampled_from(Stage), INT32, INT32),
    sizing=st.builds(Sizing, COUNTS, INT32),
    state=st.sampled_from(CampaignState),
    number=st.integers(0, 2**32 - 1),
    created_at_ms=TIMES,
    updated_at_ms=TIMES,
)


@given(CAMPAIGNS)
def test_what_was_told_can_be_told_back(campaign):
    """Read, change one thing, write: nothing else changes."""
    assert campaign_from(campaign_pb2.Campaign.FromString(campaign_of(campaign).SerializeToString())) == campaign


def test_example_is_told_field_by_field():
    message = campaign_of(CAMPAIGN)
    assert (message.number, message.etag, message.state) == (7, "v5", campaign_pb2.CAMPAIGN_STATE_PAUSED)
    assert (message.start_time.seconds, message.start_time.nanos) == (1_800_000_000, 1_000_000)
    assert message.offers[0].tiers.tiers[0] == campaign_pb2.Tier(threshold=20_000, amount_off_minor=5_000)
    assert message.offers[1].percent_off == campaign_pb2.PercentOff(basis_points=2_000, cap_minor=4_000)
    assert message.limits.redemptions_per_customer_per_day == 4
    assert message.stacking.stage == campaign_pb2.STAGE_MERCHANT


def test_what_is_left_unset_means_what_the_contract_says():
    campaign = new_campaign_from(campaign_message(percent_offer()))
    assert campaign.limits == Limits()
    assert campaign.stacking == Stacking(Stage.PLATFORM, 0, 1)
    assert campaign.sizing == Sizing(100_000, 10_000)
    assert campaign.state is CampaignState.ACTIVE
    assert campaign.offers == (Offer(PercentOff(2_000, 4_000), "", None),)


@pytest.mark.parametrize("field", ["start_time", "end_time"])
def test_time_is_required(field):
    message = campaign_message()
    message.ClearField(field)
    with pytest.raises(InvalidRequest) as refused:
        new_campaign_from(message)
    assert refused.value.violations[0].field == f"campaign.{field}"


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
    message = campaign_message()
    message.MergeFrom(campaign_pb2.Campaign(**{field: value}))
    with pytest.raises(InvalidRequest) as refused:
        new_campaign_from(message)
    assert [violation.field for violation in refused.value.violations] == [f"campaign.{field}"]


OFFER = "campaign.offers[0]"


@pytest.mark.parametrize(
    ("offer", "field"),
    [
        ({}, OFFER),
        ({"tiers": {}}, f"{OFFER}.tiers.tiers"),
        ({"tiers": {"tiers": [{"threshold": 1}]}}, f"{OFFER}.tiers.tiers[0]"),
        ({"tiers": {"tiers": [{"amount_off_minor": 1, "cap_minor": 1}]}}, f"{OFFER}.tiers.tiers[0].cap_minor"),
        ({"tiers": {"measure": 9, "tiers": [{"amount_off_minor": 1}]}}, f"{OFFER}.tiers.measure"),
    ],
)
def test_offer_that_cannot_be_is_invalid(offer, field):
    with pytest.raises(InvalidRequest) as refused:
        new_campaign_from(campaign_message(campaign_pb2.Offer(**offer)))
    assert refused.value.violations[0].field == field


@pytest.mark.parametrize(
    ("offer", "field"),
    [
        ({"every_full": {"threshold_minor": 1}}, f"{OFFER}.every_full"),
        ({"free_shipping": {}}, f"{OFFER}.free_shipping"),
        ({"fixed_price": {}}, f"{OFFER}.fixed_price"),
        ({"buy_get": {}}, f"{OFFER}.buy_get"),
        ({"cash_voucher": {}}, f"{OFFER}.cash_voucher"),
        ({"tiers": {"measure": 2, "tiers": [{"amount_off_minor": 1}]}}, f"{OFFER}.tiers.measure"),
        ({"tiers": {"tiers": [{"amount_off_minor": 1}] * 2}}, f"{OFFER}.tiers.tiers[1]"),
        (
            {"tiers": {"tiers": [{"percent_off_basis_points": 1, "cap_minor": 1}]}},
            f"{OFFER}.tiers.tiers[0].percent_off_basis_points",
        ),
        ({"tiers": {"tiers": [{"price_minor": 1}]}}, f"{OFFER}.tiers.tiers[0].price_minor"),
        ({"percent_off": {}, "conditions": {"new_customer_only": True}}, f"{OFFER}.conditions.new_customer_only"),
        ({"percent_off": {}, "conditions": {"include": {}}}, f"{OFFER}.conditions.include"),
        ({"percent_off": {}, "funding": {}}, f"{OFFER}.funding"),
        ({"percent_off": {}, "issue_quota": 1}, f"{OFFER}.issue_quota"),
    ],
)
def test_offer_that_is_not_built_is_refused_by_name(offer, field):
    with pytest.raises(NotBuilt) as refused:
        new_campaign_from(campaign_message(campaign_pb2.Offer(**offer)))
    assert refused.value.message.startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"limits": {"slots": {}}}, "campaign.limits.slots"),
        ({"limits": {"budget_per_day_minor": 1}}, "campaign.limits.budget_per_day_minor"),
        ({"validity": {}}, "campaign.validity"),
        ({"stacking": {"base": 2}}, "campaign.stacking.base"),
        ({"stacking": {"exclusivity_groups": ["a"]}}, "campaign.stacking.exclusivity_groups"),
        ({"stacking": {"exclusivity_reach": 2}}, "campaign.stacking.exclusivity_reach"),
        ({"stacking": {"stop_after": True}}, "campaign.stacking.stop_after"),
        ({"return_policy": 3}, "campaign.return_policy"),
        ({"return_window": {}}, "campaign.return_window"),
        ({"required_risk_signals": [1]}, "campaign.required_risk_signals"),
    ],
)
def test_campaign_that_is_not_built_is_refused_by_name(more, field):
    message = campaign_message()
    message.MergeFrom(campaign_pb2.Campaign(**more))
    with pytest.raises(NotBuilt) as refused:
        new_campaign_from(message)
    assert refused.value.message.startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"stacking": {"stage": 9}}, "campaign.stacking.stage"),
        ({"stacking": {"base": 9}}, "campaign.stacking.base"),
        ({"stacking": {"exclusivity_reach": 9}}, "campaign.stacking.exclusivity_reach"),
        ({"return_policy": 9}, "campaign.return_policy"),
        ({"state": 9}, "campaign.state"),
    ],
)
def test_enum_value_of_a_later_contract_is_invalid(more, field):
    message = campaign_message()
    message.MergeFrom(campaign_pb2.Campaign(**more))
    with pytest.raises(InvalidRequest) as refused:
        campaign_from(message)
    assert refused.value.violations[0].field == field


def test_field_of_a_later_contract_is_refused():
    """Protobuf would carry it along unseen; a promise that is not understood must not be made."""
    field_99 = b"\x98\x06\x01"
    message = campaign_pb2.Campaign.FromString(campaign_message().SerializeToString() + field_99)
    with pytest.raises(NotBuilt, match="99"):
        new_campaign_from(message)


def test_statistics_tell_what_is_counted_and_nothing_else():
    assert stats_of(STATS) == campaign_service_pb2.CampaignStats(
        issued=10,
        redeemed=8,
        redeemed_today=6,
        discount_minor=4_000,
        budget_left_minor=0,
        as_of={"seconds": 1_800_000_000},
    )
