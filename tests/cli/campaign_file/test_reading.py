"""Campaigns as files: what they mean, and the error for every kind of mistake."""
# ruff: noqa: E501 - each mistake is one line of the table.

import datetime as dt
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.cli.campaign_file.reading import read_campaign
from redemption.cli.exits import BadFile
from redemption.v1 import campaign_pb2 as v1

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "programs").glob("*/*.yaml"))
GOOD = (Path(__file__).parent / "campaign.yaml").read_text()


def write(tmp_path, text):
    file = tmp_path / "campaign.yaml"
    file.write_text(text)
    return file


def problems(tmp_path, text):
    file = write(tmp_path, text)
    with pytest.raises(BadFile) as caught:
        read_campaign(file)
    return [line.removeprefix(f"{file}:") for line in caught.value.told]


def test_a_file_means_a_campaign(tmp_path):
    campaign = read_campaign(write(tmp_path, GOOD)).campaign
    assert json_format.MessageToDict(campaign, preserving_proto_field_name=True) == {
        "name": "618 满200减50",
        "currency_code": "CNY",
        "time_zone": "Asia/Shanghai",
        "start_time": "2026-05-31T16:00:00Z",
        "end_time": "2026-06-20T15:00:00.500Z",
        "offers": [
            {
                "name": "满200减50",
                "tiers": {
                    "measure": "MEASURE_SPEND",
                    "tiers": [{"threshold": "20000", "amount_off_minor": "5000"}],
                },
            },
            {
                "percent_off": {"basis_points": 1250, "cap_minor": "10000"},
                "conditions": {"min_spend_minor": "29"},
            },
        ],
        "limits": {"redemptions": "1000", "budget_minor": "50000000"},
        "stacking": {"stage": "STAGE_PAYMENT", "priority": -5},
        "sizing": {"expected_redemption_rate_basis_points": 5000},
    }


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_examples_can_be_read(file):
    assert read_campaign(file).campaign.name


def test_there_are_examples():
    assert len(EXAMPLES) >= 20


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("name: 618 满200减50\n", "", "1: name: is missing"),
        ("name: 618 满200减50", "name:", "1: name: is empty: give it a value, or take the line out"),
        ("stacking:\n", "paused_skus:\nstacking:\n", "19: paused_skus: is empty: write [] if nothing is paused, or take the line out to leave what is paused as it is"),
        ("stacking:\n", "paused_offers: [-1]\nstacking:\n", "19: paused_offers[0]: must be the number of an offer, counted from 0; it is -1"),
        ("name: 618 满200减50", "name: [a]", "1: name: must be a single value"),
        ("offers:", "ofers:", "6: ofers: is not a known field; did you mean offers?"),
        ("budget:", "budgets:", "18: limits.budgets: is not a known field; did you mean budget?"),
        ("  budget: 500000.00", "  budget_minor: 5", "18: limits.budget_minor: is called budget in a file, and written as people write it"),
        ("spend: 200.00", "threshold: 200.00", "9: offers[0].tiers[0].threshold: is called spend or units in a file, and written as people write it"),
        ("percent: 12.5%", "basis_points: 1250", "12: offers[1].percent_off.basis_points: is called percent in a file, and written as people write it"),
        ("limits:\n", "return_policy: always\nlimits:\n", "16: return_policy: must be one of never, if_unpaid, on_full_return; it is 'always'"),
        ("percent: 12.5%", "percent: 12.5\uff05", "12: offers[1].percent_off.percent: must be a percentage with its sign, such as 20% or 12.5%; it is '12.5\uff05'; it has the full-width '\uff05' (U+FF05); write '%'"),
        ("spend: 200.00", "spend: \uff12\uff10\uff10", "9: offers[0].tiers[0].spend: must be a sum such as 238.00; it is '\uff12\uff10\uff10'; it has the full-width '\uff12' (U+FF12); write '2'"),
        ("start_time: 2026-06-01 00:00", "start_time: 2026-06-01 00\uff1a00", "4: start_time: must be a date and a time such as 2026-06-18 20:00, or with an offset 2026-06-18T20:00+08:00; it is '2026-06-01 00\uff1a00'; it has the full-width '\uff1a' (U+FF1A); write ':'"),
        ("  budget: 500000.00", "  budget\uff1a 500000.00", "18: has the full-width '\uff1a' (U+FF1A); write ':'"),
        ("currency_code: CNY", "currency_code:", "2: currency_code: is empty: give it a value, or take the line out"),
        ("time_zone: Asia/Shanghai", "time_zone: Asia/Shangai", "3: time_zone: must be an IANA zone such as Asia/Shanghai; it is 'Asia/Shangai'"),
        ("time_zone: Asia/Shanghai", "time_zone: ../../etc/passwd", "3: time_zone: must be an IANA zone such as Asia/Shanghai; it is '../../etc/passwd'"),
        ("start_time: 2026-06-01 00:00", "start_time: 20:00", "4: start_time: must be a date and a time such as 2026-06-18 20:00, or with an offset 2026-06-18T20:00+08:00; 20:00 is a time of day alone"),
        ("start_time: 2026-06-01 00:00", "start_time: 2026-02-30", "4: start_time: must be a date and a time such as 2026-06-18 20:00, or with an offset 2026-06-18T20:00+08:00; '2026-02-30' is not in the calendar"),
        ("start_time: 2026-06-01 00:00", "start_time: 2026-06-01", "4: start_time: needs a time of day as well, since days end at midnight: 2026-06-01 00:00"),
        ("start_time: 2026-06-01 00:00", "start_time: 2026-06-31 00:00", "4: start_time: must be a date and a time such as 2026-06-18 20:00, or with an offset 2026-06-18T20:00+08:00; '2026-06-31 00:00' is not in the calendar"),
        ("spend: 200.00", "spend: 200.005", "9: offers[0].tiers[0].spend: has too many decimals: CNY has 2 decimals; it is '200.005'"),
        ("spend: 200.00", "spend: 2e2", "9: offers[0].tiers[0].spend: must be a sum such as 238.00; it is '2e2'"),
        ("spend: 200.00", "spend: ¥200", "9: offers[0].tiers[0].spend: must be a sum such as 238.00; it is '¥200'"),
        ("spend: 200.00", "spend: -1", "9: offers[0].tiers[0].spend: must be a sum such as 238.00; it is '-1'"),
        ("spend: 200.00", "spend: .inf", "9: offers[0].tiers[0].spend: must be a sum such as 238.00; it is '.inf'"),
        ("percent: 12.5%", "percent: 2000", "12: offers[1].percent_off.percent: must be a percentage with its sign, such as 20% or 12.5%; it is '2000'"),
        ("percent: 12.5%", "percent: 8折", "12: offers[1].percent_off.percent: must be a percentage with its sign, such as 20% or 12.5%; it is '8折'"),
        ("percent: 12.5%", "percent: 12.555%", "12: offers[1].percent_off.percent: must have at most 2 decimals, such as 12.25%; it is '12.555%'"),
        ("      cap: 100.00\n", "", "11: offers[1].percent_off.cap: is missing"),
        ("  redemptions: 1000", "  redemptions: 1_000", "17: limits.redemptions: must be a whole number; it is '1_000'"),
        ("  redemptions: 1000", "  redemptions: 1e3", "17: limits.redemptions: must be a whole number; it is '1e3'"),
        ("  redemptions: 1000", "  redemptions:", "17: limits.redemptions: is empty: give it a value, or take the line out"),
        ("  stage: payment", "  stage: STAGE_PAYMENT", "20: stacking.stage: must be one of item, merchant, platform, payment; it is 'STAGE_PAYMENT'"),
        ("stacking:\n  stage: payment\n  priority: -5\n", "stacking:\n", "19: stacking: is empty: give it a value, or take the line out"),
        ("stacking:\n  stage: payment\n  priority: -5\n", "stacking: payment\n", "19: stacking: must be a group of fields"),
        ("      - spend: 200.00\n        amount_off: 50\n", "        spend: 200.00\n        amount_off: 50\n", "8: offers[0].tiers: must be a list, each entry beginning with a hyphen"),
        ("    tiers:\n      - spend: 200.00\n        amount_off: 50\n", "", "7: offers[0]: must have one benefit: tiers, every_full, percent_off, free_shipping, fixed_price, buy_get or cash_voucher; it has none"),
        ("    tiers:\n", "    cash_voucher: {face: 5}\n    tiers:\n", "7: offers[0]: must have one benefit: tiers, every_full, percent_off, free_shipping, fixed_price, buy_get or cash_voucher; it has tiers and cash_voucher"),
        ("      - spend: 200.00\n", "      - units: 2\n        spend: 200.00\n", "9: offers[0].tiers[0]: must have one threshold: spend or units; it has spend and units"),
        ("      - spend: 200.00\n        amount_off: 50\n", "      - spend: 200.00\n", "9: offers[0].tiers[0]: must have one benefit: amount_off, percent or price; it has none"),
        ("        amount_off: 50\n", "        amount_off: 50\n      - units: 3\n        amount_off: 60\n", "8: offers[0].tiers: must have the same kind of threshold in every tier: either spend or units"),
        ("    tiers:\n      - spend: 200.00\n        amount_off: 50\n", "    tiers: []\n", "8: offers[0].tiers: is empty: give it a value, or take the line out"),
        ("    tiers:\n      - spend: 200.00\n        amount_off: 50\n", "    every_full: {spend: 300, amount_of: 40}\n", "8: offers[0].every_full.amount_of: is not a known field; did you mean amount_off?"),
        ("    tiers:\n      - spend: 200.00\n        amount_off: 50\n", "    buy_get: {buy: 1, get: 1}\n", "8: offers[0].buy_get.percent: is missing"),
        ("    tiers:\n      - spend: 200.00\n        amount_off: 50\n", "    free_shipping:\n", "8: offers[0].free_shipping: is empty: give it a value, or take the line out"),
        ("      min_spend: 0.29", "      channels: app", "15: offers[1].conditions.channels: must be a list, each entry beginning with a hyphen"),
        ("      min_spend: 0.29", "      channels: []", "15: offers[1].conditions.channels: is empty: give it a value, or take the line out"),
        ("      min_spend: 0.29", "      new_customer_only: yes", "15: offers[1].conditions.new_customer_only: must be true or false; it is 'yes'"),
        ("      min_spend: 0.29", "      include: [shoes]", "15: offers[1].conditions.include: must be a group of fields"),
        ("      min_spend: 0.29", "      windows: [{from: 20:00, to: 25:00}]", "15: offers[1].conditions.windows[0].to: must be a time of day from 00:00 to 24:00, such as 20:00; it is '25:00'"),
        ("      min_spend: 0.29", "      windows: [{from: 8pm, to: 22:00}]", "15: offers[1].conditions.windows[0].from: must be a time of day from 00:00 to 24:00, such as 20:00; it is '8pm'"),
        ("      min_spend: 0.29", "      windows: [{from: 24:00, to: 22:00}]", "15: offers[1].conditions.windows[0].from: begins at the end of the day; write 00:00 for its beginning"),
        ("      min_spend: 0.29", "      windows: [{from: 20:00, to: 00:00}]", "15: offers[1].conditions.windows[0].to: ends at the beginning of the day; write 24:00 for its end"),
        ("      min_spend: 0.29", "      windows: [{from: 20:00}]", "15: offers[1].conditions.windows[0].to: is missing"),
        ("      min_spend: 0.29", "      windows:\n        - weekdays: [fri]\n          from: 20:00\n          to: 22:00", "16: offers[1].conditions.windows[0].weekdays[0]: must be one of monday, tuesday, wednesday, thursday, friday, saturday, sunday; it is 'fri'"),
        ("    conditions:\n", "    funding: {merchant: 60}\n    conditions:\n", "14: offers[1].funding.merchant: must be a percentage with its sign, such as 20% or 12.5%; it is '60'"),
        ("  redemptions: 1000", "  slots: [{from: 20:00, to: 22:00}]", "17: limits.slots[0].redemptions: is missing"),
        ("  priority: -5", "  priority: 99999999999", "21: stacking.priority: must be a whole number of at most 2147483647; it is 99999999999"),
        ("  priority: -5", "  base: price", "21: stacking.base: must be one of remaining, list; it is 'price'"),
        ("  priority: -5", "  exclusivity_reach: shop", "21: stacking.exclusivity_reach: must be one of order, merchant; it is 'shop'"),
        ("limits:\n", "validity: {}\nlimits:\n", "16: validity: must have one kind: absolute or from_claim; it has none"),
        ("limits:\n", "validity:\n  from_claim: {wait: 24, days: 7}\nlimits:\n", "17: validity.from_claim.wait: must be a duration such as 30 days, 12 hours or 24h; it is '24'"),
        ("limits:\n", "validity:\n  absolute: {not_before: 2026-11-11, expire_time: 2026-11-12 00:00}\nlimits:\n", "17: validity.absolute.not_before: needs a time of day as well, since days end at midnight: 2026-11-11 00:00"),
        ("limits:\n", "return_window: a month\nlimits:\n", "16: return_window: must be a duration such as 30 days, 12 hours or 24h; it is 'a month'"),
        ("limits:\n", "required_risk_signals: [phone]\nlimits:\n", "16: required_risk_signals[0]: must be one of device, network, payment, person; it is 'phone'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line_and_field(tmp_path, before, after, expected):
    assert before in GOOD
    found = problems(tmp_path, GOOD.replace(before, after, 1))
    assert expected in found


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path):
    text = (
        GOOD.replace("spend: 200.00", "spend: x")
        .replace("priority: -5", "priority: high")
        .replace("name: 618", "nam: 618")
    )
    assert problems(tmp_path, text) == [
        "1: name: is missing",
        "1: nam: is not a known field; did you mean name?",
        "9: offers[0].tiers[0].spend: must be a sum such as 238.00; it is 'x'",
        "21: stacking.priority: must be a whole number; it is 'high'",
    ]


def test_a_flood_of_mistakes_is_cut_short(tmp_path):
    text = GOOD + "".join(f"x{number}: 1\n" for number in range(100))
    found = problems(tmp_path, text)
    assert len(found) == 21
    assert found[-1] == " and 80 more problems"


@pytest.mark.parametrize(
    ("zone", "local", "expected"),
    [
        ("Europe/Berlin", "2026-03-29 02:30", "does not exist in Europe/Berlin, where clocks are changed then; add an offset"),
        ("Europe/Berlin", "2026-10-25 02:30", "happens twice in Europe/Berlin, where clocks are changed then; add an offset"),
    ],
)  # fmt: skip
def test_a_local_time_that_is_not_one_instant_is_refused(tmp_path, zone, local, expected):
    text = GOOD.replace("Asia/Shanghai", zone).replace("2026-06-01 00:00", local)
    assert problems(tmp_path, text) == [f"4: start_time: {expected}"]


def test_with_an_offset_a_repeated_hour_is_one_instant(tmp_path):
    text = GOOD.replace("Asia/Shanghai", "Europe/Berlin").replace("2026-06-01 00:00", "2026-10-25 02:30+01:00")
    expected = Timestamp()
    expected.FromDatetime(dt.datetime(2026, 10, 25, 1, 30, tzinfo=dt.UTC))
    assert read_campaign(write(tmp_path, text)).campaign.start_time == expected


def test_currencies_have_their_own_decimals(tmp_path):
    text = GOOD.replace("CNY", "JPY")
    assert "9: offers[0].tiers[0].spend" not in " ".join(problems(tmp_path, text))
    assert "15: offers[1].conditions.min_spend: has too many decimals: JPY has no decimals; it is '0.29'" in problems(
        tmp_path, text
    )
    yen = read_campaign(write(tmp_path, text.replace("0.29", "29"))).campaign
    assert yen.offers[0].tiers.tiers[0] == v1.Tier(threshold=200, amount_off_minor=50)
