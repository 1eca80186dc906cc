"""A message that cannot be converted as a whole is refused with the path of the field, at almost no cost."""

import time

import pytest
from rpc.examples import campaign_message, full_message

from redemption.domain.campaign.benefit_checks import TIERS_MAX
from redemption.domain.campaign.campaign_checks import SLOTS_MAX
from redemption.domain.campaign.condition_checks import WINDOWS_MAX
from redemption.domain.errors import InvalidRequest, NotBuilt
from redemption.rpc.message_limits import MESSAGES_MAX, VALUES_MAX, require_shape
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
    begun = time.process_time()
    assert refused_by(message) == ["campaign.offers"]
    assert time.process_time() - begun < 0.1
