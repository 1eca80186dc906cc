"""A message that cannot be converted as a whole is refused with the path of the field, at almost no cost."""

import pytest
from rpc.examples import campaign_message, full_message

from redemption.domain.campaign.benefit_checks import TIERS_MAX
from redemption.domain.campaign.campaign_checks import ALL_TIERS_MAX, ALL_WINDOWS_MAX, OFFERS_MAX, SLOTS_MAX
from redemption.domain.campaign.condition_checks import WINDOWS_MAX
from redemption.domain.errors import VIOLATIONS_MAX, InvalidRequest, NotBuilt, Violation
from redemption.rpc.message_limits import (
    MESSAGES_MAX,
    PARTS_AT_ONCE,
    PARTS_MAX,
    TEXTS_MAX,
    VALUES_MAX,
    _looked_at,
    require_shape,
    shape_steps,
)
from redemption.v1 import campaign_pb2

FIELD_99 = b"\x98\x06\x01"


def refused_by(message):
    with pytest.raises(InvalidRequest) as refused:
        require_shape(message, "campaign")
    return [violation.field for violation in refused.value.violations]


def changed(**more):
    message = campaign_message()
    message.MergeFrom(campaign_pb2.Campaign(**more))
    return message


def test_message_of_known_fields_is_taken():
    require_shape(full_message(), "campaign")


def test_empty_message_is_taken():
    require_shape(campaign_pb2.Campaign(), "campaign")


@pytest.mark.parametrize(
    ("reach", "path"),
    [
        (lambda campaign: campaign, "campaign"),
        (lambda campaign: campaign.stacking, "campaign.stacking"),
        (lambda campaign: campaign.offers[0], "campaign.offers[0]"),
        (lambda campaign: campaign.offers[0].tiers.tiers[0], "campaign.offers[0].tiers.tiers[0]"),
        (lambda campaign: campaign.offers[0].conditions.include, "campaign.offers[0].conditions.include"),
        (lambda campaign: campaign.limits.slots.slots[0], "campaign.limits.slots.slots[0]"),
        (lambda campaign: campaign.validity.from_claim.wait, "campaign.validity.from_claim.wait"),
    ],
)
def test_field_of_a_later_contract_is_refused_wherever_it_stands(reach, path):
    """Protobuf would keep it silently; the server must not accept what it does not understand."""
    message = full_message()
    reach(message).MergeFromString(FIELD_99)
    with pytest.raises(NotBuilt) as refused:
        require_shape(message, "campaign")
    assert refused.value.message.startswith(f"{path}: field number 99 ")


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"state": 9}, "campaign.state"),
        ({"return_policy": -1}, "campaign.return_policy"),
        ({"stacking": {"stage": 9}}, "campaign.stacking.stage"),
        ({"stacking": {"base": 9}}, "campaign.stacking.base"),
        ({"stacking": {"exclusivity_reach": 9}}, "campaign.stacking.exclusivity_reach"),
        ({"required_risk_signals": [1, 9]}, "campaign.required_risk_signals[1]"),
        ({"required_risk_signals": [0]}, "campaign.required_risk_signals[0]"),
        ({"offers": [{"tiers": {"measure": 9}}]}, "campaign.offers[1].tiers.measure"),
        (
            {"offers": [{"conditions": {"windows": [{}, {"weekdays": [7, 0]}]}}]},
            "campaign.offers[1].conditions.windows[1].weekdays[1]",
        ),
        (
            {"offers": [{"conditions": {"windows": [{"weekdays": [8]}]}}]},
            "campaign.offers[1].conditions.windows[0].weekdays[0]",
        ),
    ],
)
def test_enum_value_that_says_nothing_is_refused(more, path):
    assert refused_by(changed(**more)) == [path]


def test_everything_that_is_wrong_is_told():
    message = changed(state=9, stacking={"stage": 9})
    assert refused_by(message) == ["campaign.stacking.stage", "campaign.state"]


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"offers": [{}] * MESSAGES_MAX}, "campaign.offers"),
        ({"offers": [{"tiers": {"tiers": [{}] * (MESSAGES_MAX + 1)}}]}, "campaign.offers[1].tiers.tiers"),
        ({"required_risk_signals": [1] * (VALUES_MAX + 1)}, "campaign.required_risk_signals"),
        (
            {"offers": [{"conditions": {"include": {"skus": ["a"] * (VALUES_MAX + 1)}}}]},
            "campaign.offers[1].conditions.include.skus",
        ),
    ],
)
def test_list_that_is_too_long_is_refused(more, path):
    assert refused_by(changed(**more)) == [path]


@pytest.mark.parametrize("most", [TIERS_MAX, WINDOWS_MAX, SLOTS_MAX])
def test_no_list_is_cut_short_that_the_domain_allows(most):
    assert most <= MESSAGES_MAX


def test_lists_as_long_as_they_can_be_are_taken():
    skus = {"conditions": {"include": {"skus": ["a"] * VALUES_MAX}}}
    require_shape(changed(offers=[skus, *[{}] * (MESSAGES_MAX - 2)]), "campaign")


def test_two_million_entries_are_counted_and_not_looked_at():
    """A message of the largest size that gRPC takes; looking at each of them would take seconds."""
    empty_offers = b"\x42\x00" * (2 * 1024 * 1024)
    message = campaign_pb2.Campaign.FromString(empty_offers)
    assert refused_by(message) == ["campaign.offers"]
    parts = [found for found in _looked_at(message, "campaign") if not isinstance(found, Violation)]
    assert len(parts) == 1


WINDOWS = {"conditions": {"windows": [{}] * MESSAGES_MAX}}
DAYS = {"conditions": {"windows": [{"weekdays": [1] * (PARTS_MAX // MESSAGES_MAX)}] * MESSAGES_MAX}}
TIERS = {"tiers": {"tiers": [{}] * MESSAGES_MAX}}
TEXTS = {"conditions": {"include": {"skus": ["a"] * VALUES_MAX, "brands": ["b"] * VALUES_MAX}}}


@pytest.mark.parametrize(
    ("offer", "count"),
    [(WINDOWS, PARTS_MAX // MESSAGES_MAX), (DAYS, 1), (TIERS, PARTS_MAX // MESSAGES_MAX), (TEXTS, TEXTS_MAX // 2_000)],
    ids=["windows", "days", "tiers", "texts"],
)
def test_many_short_lists_are_too_much_together(offer, count):
    """Each list is short enough; to convert and to check all of them would take a tenth of a second and more."""
    assert refused_by(changed(offers=[offer] * (count + 1))) == ["campaign"]


def test_the_largest_campaign_has_few_enough_parts():
    """All seven messages in each offer, and as many tiers and windows as the domain allows."""
    everything = {"include": {}, "exclude": {}, "windows": [{"weekdays": [1, 2, 3, 4, 5, 6, 7]}] * 5}
    full = {"buy_get": {"discounted": {}}, "conditions": everything, "funding": {}}
    assert OFFERS_MAX * 5 == ALL_WINDOWS_MAX
    tiered = {"tiers": {"tiers": [{}] * TIERS_MAX}, "conditions": everything, "funding": {}}
    with_tiers = ALL_TIERS_MAX // TIERS_MAX
    message = changed(limits={"slots": {"slots": [{}] * SLOTS_MAX}}, validity={"from_claim": {"wait": {}}}, sizing={})
    del message.offers[:]
    message.MergeFrom(campaign_pb2.Campaign(offers=[tiered] * with_tiers + [full] * (OFFERS_MAX - with_tiers)))
    assert len(list(shape_steps(message, "campaign"))) > 4_000 // PARTS_AT_ONCE


def test_mistakes_are_not_collected_without_end():
    message = changed(offers=[{"conditions": {"windows": [{"weekdays": [0] * VALUES_MAX}]}}])
    assert len(refused_by(message)) == VIOLATIONS_MAX
