"""A campaign in the words of a file: nothing is left out, and defaults are not mentioned."""
# ruff: noqa: E501 - each difference is one line of the table.

from pathlib import Path

import pytest
from cli.campaign_file.contract_fields import change, echo, set_leaves

from redemption.cli.campaign_file.field_names import file_path
from redemption.cli.campaign_file.reading import read_campaign
from redemption.cli.campaign_file.text import Change, changes, definition
from redemption.cli.input.source_file import dotted
from redemption.v1 import campaign_pb2 as v1

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "programs").glob("*/*.yaml"))
EVERY_FIELD = Path(__file__).parent / "every_field.yaml"
FILES = pytest.mark.parametrize("file", [EVERY_FIELD, *EXAMPLES], ids=lambda file: file.name)


def copy_of(campaign):
    made = v1.Campaign()
    made.CopyFrom(campaign)
    return made


@FILES
def test_every_value_of_a_file_is_told(file):
    campaign = read_campaign(file).campaign
    told = definition(campaign)
    expected = {
        dotted(file_path(path, campaign)) for path, _, _ in set_leaves(campaign) if not path.endswith(".measure")
    } - {"number"}  # it says which campaign, and is no part of what is said of it
    if file != EVERY_FIELD:  # examples may write a default out, which then goes without saying all the same
        expected -= {"stacking.base"}
        told.pop("stacking.base", None)
    assert expected <= set(told)


@FILES
def test_a_campaign_does_not_differ_from_itself_nor_from_what_the_server_makes_of_it(file):
    campaign = read_campaign(file).campaign
    told = copy_of(campaign)
    echo(told)
    assert told != campaign
    assert changes(campaign, campaign) == []
    assert changes(campaign, told) == []
    assert changes(told, campaign) == []
    assert definition(told) == definition(campaign)


ALL = read_campaign(EVERY_FIELD).campaign
PATHS = [path for path, _, _ in set_leaves(ALL) if path not in ("number", "currency_code", "time_zone")]


@pytest.mark.parametrize("path", PATHS)
def test_no_difference_goes_unseen(path):
    """Whatever changes in one value, the difference is shown for that field."""
    other = copy_of(ALL)
    ((message, field),) = [(message, field) for each, message, field in set_leaves(other) if each == path]
    change(message, field)
    fields = {found.field for found in changes(ALL, other)}
    if path.endswith(".measure"):  # told by the names of the thresholds
        offer = path.removesuffix(".tiers.measure")
        assert {f"{offer}.tiers[0].spend", f"{offer}.tiers[0].units"} <= fields
    else:
        assert fields == {dotted(file_path(path, ALL))}


@pytest.mark.parametrize("path", PATHS)
def test_a_value_that_is_taken_out_is_told(path):
    other = copy_of(ALL)
    ((message, field),) = [(message, field) for each, message, field in set_leaves(other) if each == path]
    message.ClearField(field.name)
    # Of a list of tiers, spend is what the contract says an unset measure means.
    assert (changes(ALL, other) == []) == (path == "offers[0].tiers.measure")


def test_values_are_told_as_a_file_writes_them():
    told = definition(ALL)
    expected = {
        "start_time": "2026-10-20 20:00 +08:00",
        "offers[0].tiers[0].spend": "¥300.00",
        "offers[0].tiers[1].percent": "20%",
        "offers[0].conditions.windows[0].weekdays": "friday, sunday",
        "offers[0].conditions.windows[0].from": "20:00",
        "offers[0].conditions.windows[0].to": "24:00",
        "offers[0].conditions.new_customer_only": "true",
        "offers[0].funding.merchant": "33.33%",
        "offers[0].issue_quota": "1,000",
        "offers[1].tiers[0].units": "3",
        "offers[1].tiers[0].price": "¥99.00",
        "offers[4].free_shipping.regions": "CN-31, CN-32",
        "offers[6].buy_get.percent": "50%",
        "limits.slots[0].to": "20:30",
        "limits.slots_carry_over": "true",
        "validity.from_claim.wait": "12 hours",
        "max_reservation_ttl": "20 minutes",
        "return_policy": "on_full_return",
        "return_window": "15 days",
        "stacking.base": "list",
        "required_risk_signals": "device, network, payment, person",
    }
    assert {field: told.get(field) for field in expected} == expected


def test_what_goes_without_saying_is_not_told():
    campaign = v1.Campaign(
        name="x",
        currency_code="CNY",
        time_zone="UTC",
        offers=[{"buy_get": {"buy_units": 1}}],
        limits={"slots": {"slots": [{}]}},
        validity={"from_claim": {"days": 7, "wait": {"seconds": 0}}},
    )
    echo(campaign)
    assert set(definition(campaign)) == {
        *("name", "currency_code", "time_zone"),
        *("offers[0].buy_get.buy", "offers[0].buy_get.get", "offers[0].buy_get.percent"),
        *("limits.slots[0].from", "limits.slots[0].to", "limits.slots[0].redemptions", "validity.from_claim.days"),
        *("stacking.stage", "stacking.max_tokens_per_order"),
        *("sizing.expected_redemptions", "sizing.expected_redemption_rate"),
    }


def offer(**benefit):
    return v1.Campaign(currency_code="CNY", time_zone="UTC", offers=[benefit])


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (offer(buy_get={"buy_units": 1}), offer(buy_get={"buy_units": 1, "max_repeats": 3}), ("offers[0].buy_get.max_repeats", "1", "3")),
        (offer(free_shipping={}), offer(free_shipping={"cap_minor": 1200}), ("offers[0].free_shipping.cap", "all of the fee", "¥12.00")),
        (offer(buy_get={"buy_units": 1}), offer(buy_get={"buy_units": 1, "discounted": {}}), ("offers[0].buy_get.discounted", "not set", "all goods")),
        (v1.Campaign(time_zone="UTC", validity={"from_claim": {"days": 7}}), v1.Campaign(time_zone="UTC", validity={"from_claim": {"days": 7, "wait": {"seconds": 86_400}}}), ("validity.from_claim.wait", "0 days", "1 day")),
        (offer(), offer(funding={"merchant_basis_points": 6000}), ("offers[0].funding.merchant", "0%", "60%")),
        (offer(), offer(conditions={"channels": ["app", "live"]}), ("offers[0].conditions.channels", "not set", "app, live")),
        (offer(conditions={"channels": ["a, b"]}), offer(conditions={"channels": ["a", "b"]}), ("offers[0].conditions.channels", '"a, b"', "a, b")),
        (offer(conditions={"channels": ["a, b"]}), offer(conditions={"channels": ['"a', 'b"']}), ("offers[0].conditions.channels", '"a, b"', '"\\"a", "b\\""')),
        (v1.Campaign(time_zone="UTC"), v1.Campaign(time_zone="UTC", return_window={"seconds": 7 * 86_400}), ("return_window", "30 days", "7 days")),
        (v1.Campaign(time_zone="UTC"), v1.Campaign(time_zone="UTC", stacking={"base": 2}), ("stacking.base", "remaining", "list")),
        (v1.Campaign(time_zone="UTC"), v1.Campaign(time_zone="UTC", stacking={"stage": 9}), ("stacking.stage", "platform", "9")),
        (v1.Campaign(time_zone="UTC", start_time={"seconds": 0}), v1.Campaign(time_zone="UTC", start_time={"nanos": 5_000_000}), ("start_time", "1970-01-01 00:00 +00:00", "1970-01-01 00:00 +00:00 and 5 ms")),
    ],
)  # fmt: skip
def test_a_difference_is_told_with_what_was_and_what_will_be(before, after, expected):
    assert changes(before, after) == [Change(*expected)]


def test_a_window_from_midnight_is_told():
    """0 is the contract's default for a number, but here 0 has a meaning."""
    campaign = offer(conditions={"windows": [{"end_minute": 1440}]})
    told = {field: text for field, text in definition(campaign).items() if "windows" in field}
    assert told == {"offers[0].conditions.windows[0].from": "00:00", "offers[0].conditions.windows[0].to": "24:00"}
