"""Whatever rule of the server a campaign breaks, a person reads it in the words of the file."""

import re
from dataclasses import replace

import pytest
from builders.campaign_strategies import CAMPAIGNS
from builders.failed_call import FailedCall
from cli.campaign_file.contract_fields import all_leaves
from domain.campaign.test_campaign_checks import BEFORE, FESTIVAL, WRONG
from hypothesis import given

from redemption.cli.campaign_file.contents import CampaignPart
from redemption.cli.campaign_file.field_names import number_text
from redemption.cli.campaign_file.violations import _SENTENCES, file_problem
from redemption.cli.input.source_file import dotted
from redemption.client import FieldViolation, OtherField, failure_of
from redemption.domain.campaign.benefit import Tiers
from redemption.domain.campaign.campaign import Sizing
from redemption.domain.campaign.campaign_checks import campaign_violations, change_violations
from redemption.domain.errors import InvalidRequest, ViolationReason
from redemption.rpc.convert.campaigns import campaign_from, campaign_of
from redemption.v1 import campaign_pb2 as v1

ENUMS = (v1.Measure, v1.Weekday, v1.Stage, v1.DiscountBase, v1.ExclusivityReach, v1.RiskSignal)


def received(violation):
    """What the client makes of a violation that the server finds."""
    (told,) = failure_of(FailedCall(violation)).violations
    return told


def file_names(part=CampaignPart):
    """Every name that can stand in a file."""
    names = set(part.names())
    schema = part.model_json_schema()
    for definition in schema.get("$defs", {}).values():
        names |= set(definition.get("properties", ()))
    return names


def contract_only():
    """Words of the contract that a file does not have: names of fields with an underscore, and of enum values."""
    paths = [re.split(r"[.]", path) for path in all_leaves(v1.Campaign.DESCRIPTOR)]
    fields = {name for path in paths for name in path if "_" in name} - file_names()
    values = {name for enum in ENUMS for name in enum.keys()}  # noqa: SIM118 - it is no dict
    prefixes = tuple(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.DESCRIPTOR.name).upper() + "_" for enum in ENUMS)
    words = {value.removeprefix(prefix) for value in values for prefix in prefixes}
    return fields | words


CONTRACT_ONLY = contract_only()


def require_file_words(violation, campaign):
    """No word that only the contract has is shown, and each number has the unit of a file."""
    path, text = file_problem(violation, campaign)
    own_words = re.sub(r"'[^']*'|\"[^\"]*\"", "''", text)  # without values that are quoted
    assert not set(re.findall(r"\w+", f"{dotted(path)} {own_words}")) & CONTRACT_ONLY
    assert "campaign." not in own_words
    assert "{" not in own_words
    numbers = [(number, violation.field) for number in (violation.least, violation.most, violation.given)]
    numbers += [(other.value, other.field) for other in violation.others]
    written = {number_text(number, field, campaign): number for number, field in numbers if number is not None}
    with_unit = {told for told, number in written.items() if told != f"{number:,}"}
    assert all(told in text for told in with_unit)


def message_of(campaign):
    """As much of the contract's campaign as its file's words depend on; tables have what no message can hold."""
    message = v1.Campaign(currency_code="CNY")
    for offer in campaign.offers:
        benefit = offer.benefit
        message.offers.add().tiers.measure = benefit.measure.value if isinstance(benefit, Tiers) else 0
    return message


def changed_violations():
    after = replace(FESTIVAL, currency_code="USD", time_zone="UTC", sizing=Sizing(7), offers=())
    return change_violations(FESTIVAL, after, minted=True)


def unreadable(**said):
    """The errors of the conversion, for campaigns that never reach the checks."""
    with pytest.raises(InvalidRequest) as refused:
        campaign_from(v1.Campaign(**said))
    return refused.value.violations


TIME = {"start_time": {"seconds": 1}, "end_time": {"seconds": 2}}
EVERY = [
    *((campaign, violation) for campaign, _, _ in WRONG for violation in campaign_violations(campaign)),
    *((FESTIVAL, violation) for violation in changed_violations()),
    *((BEFORE, violation) for violation in unreadable()),
    *((BEFORE, violation) for violation in unreadable(**TIME, validity={})),
    *((BEFORE, violation) for violation in unreadable(**TIME, offers=[{}])),
    *((BEFORE, violation) for violation in unreadable(**TIME, offers=[{"tiers": {"tiers": [{}]}}])),
]


def test_every_reason_is_met_and_every_sentence_is_told():
    """So that the next test covers all of them."""
    assert {violation.reason for _, violation in EVERY} == {None, *ViolationReason}
    assert set(_SENTENCES) <= set(ViolationReason)
    told = {
        violation.reason
        for campaign, violation in EVERY
        if file_problem(received(violation), message_of(campaign)).text != violation.problem
    }
    assert set(_SENTENCES) == told


@pytest.mark.parametrize(("campaign", "violation"), EVERY, ids=[f"{each.field}: {each.problem}" for _, each in EVERY])
def test_each_is_told_in_the_words_of_a_file(campaign, violation):
    require_file_words(received(violation), message_of(campaign))


@given(CAMPAIGNS)
def test_so_is_what_is_wrong_with_any_campaign_that_can_be_sent(campaign):
    message = campaign_of(replace(campaign, currency_code="CNY", time_zone="UTC"))
    for violation in campaign_violations(campaign_from(message)):
        require_file_words(received(violation), message)


def test_the_words_that_must_not_be_told_are_those_of_the_contract():
    some = {"threshold_minor", "cap_minor", "basis_points", "merchant_basis_points", "start_minute", "carry_over"}
    assert some | {"MEASURE_UNITS", "MERCHANT", "LIST", "DEVICE"} <= CONTRACT_ONLY
    assert not CONTRACT_ONLY & {"expected_redemptions", "max_tokens_per_order", "start_time", "cap", "spend", "CNY"}


CAMPAIGN = v1.Campaign(currency_code="CNY", offers=[{"tiers": {"measure": "MEASURE_SPEND"}}, {"tiers": {"measure": 2}}])


@pytest.mark.parametrize(
    ("violation", "field", "text"),
    [
        (
            FieldViolation("campaign.limits.budget_minor", "…", "OUT_OF_RANGE", least=1, most=900, given=0),
            "limits.budget",
            "must be ¥0.01 to ¥9.00; it is ¥0.00",
        ),
        (
            FieldViolation("campaign.return_window", "…", "OUT_OF_RANGE", least=0, most=864_000, given=864_001),
            "return_window",
            "must be 0 days to 10 days; it is 864001 seconds",
        ),
        (
            FieldViolation(
                "campaign.limits.budget_per_day_minor",
                "…",
                "MORE_THAN_OTHER",
                given=200,
                others=(OtherField("campaign.limits.budget_minor", 100),),
            ),
            "limits.budget_per_day",
            "must be at most the ¥1.00 of budget; it is ¥2.00",
        ),
        (
            FieldViolation(
                "campaign.offers[1].issue_quota",
                "…",
                "MORE_THAN_OTHER",
                given=2000,
                others=(OtherField("campaign.limits.issued", 1000),),
            ),
            "offers[1].issue_quota",
            "must be at most the 1,000 of limits.issued; it is 2,000",
        ),
        (
            FieldViolation(
                "campaign.offers[1].tiers.tiers[2].threshold",
                "…",
                "NOT_RISING",
                given=3,
                others=(OtherField("campaign.offers[1].tiers.tiers[1].threshold", 5),),
            ),
            "offers[1].tiers[2].units",
            "must be more than the 5 of tiers[1].units, because tiers rise; it is 3",
        ),
        (
            FieldViolation(
                "campaign.stacking.exclusivity_groups[3]",
                "…",
                "DUPLICATE",
                others=(OtherField("campaign.stacking.exclusivity_groups[1]"),),
            ),
            "stacking.exclusivity_groups[3]",
            "is the same as exclusivity_groups[1]; name each only once",
        ),
        (
            FieldViolation(
                "campaign.validity",
                "…",
                "ONE_OF",
                others=(OtherField("campaign.validity.absolute"), OtherField("campaign.validity.from_claim")),
            ),
            "validity",
            "must have one of absolute or from_claim",
        ),
    ],
)
def test_what_is_wrong_is_told_as_a_file_writes_it(violation, field, text):
    path, told = file_problem(violation, CAMPAIGN)
    assert (dotted(path), told) == (field, text)


@pytest.mark.parametrize(
    "violation",
    [
        FieldViolation("campaign.name", "the server's own words"),
        FieldViolation("campaign.name", "the server's own words", "OF_A_LATER_VERSION", given=1),
        FieldViolation("campaign.limits.issued", "the server's own words", "OUT_OF_RANGE"),
        FieldViolation("campaign.limits.issued", "the server's own words", "MORE_THAN_OTHER", given=1),
        FieldViolation("campaign.limits.issued", "the server's own words", "DUPLICATE"),
        FieldViolation("campaign.sizing", "the server's own words", "IMMUTABLE", others=(OtherField("", 1),)),
    ],
)
def test_the_servers_own_words_stand_where_there_are_no_others(violation):
    """From an older server, from a later one, or when there was no room for more."""
    assert file_problem(violation, CAMPAIGN).text == "the server's own words"
