"""What a dry run prints of a new campaign: one sentence for each thing it promises."""
# ruff: noqa: E501 - each sentence is one line of the table.

from pathlib import Path

import pytest

from redemption.cli.campaign_file.reading import read_campaign
from redemption.cli.output.campaign_summary import summary
from redemption.v1 import campaign_pb2 as v1

EVERY_FIELD = Path(__file__).parents[1] / "campaign_file" / "every_field.yaml"


def told(campaign, *about):
    """The sentences about something; those without a heading go with the one before."""
    sentences, heading = [], ""
    for each, text in summary(campaign):
        heading = each or heading
        if heading in about:
            sentences.append(text.strip())
    return sentences


def campaign(**fields):
    return v1.Campaign(currency_code="CNY", time_zone="Asia/Shanghai", **fields)


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        ({"tiers": {"tiers": [{"threshold": 20000, "amount_off_minor": 5000}]}}, "¥50.00 off from ¥200.00 on"),
        ({"tiers": {"tiers": [{"threshold": 1, "amount_off_minor": 1}, {"threshold": 2, "percent_off_basis_points": 2000, "cap_minor": 3}]}}, "¥0.01 off from ¥0.01 on; 20% off from ¥0.02 on, at most ¥0.03"),
        ({"tiers": {"measure": 2, "tiers": [{"threshold": 3, "percent_off_basis_points": 2000, "cap_minor": 10000}]}}, "20% off from 3 units on, at most ¥100.00"),
        ({"tiers": {"measure": 2, "tiers": [{"threshold": 3, "price_minor": 9900}]}}, "3 units for ¥99.00"),
        ({"every_full": {"threshold_minor": 30000, "amount_off_minor": 4000}}, "¥40.00 off for every full ¥300.00"),
        ({"every_full": {"threshold_minor": 30000, "amount_off_minor": 4000, "cap_minor": 20000}}, "¥40.00 off for every full ¥300.00, at most ¥200.00"),
        ({"percent_off": {"basis_points": 1250, "cap_minor": 10000}}, "12.5% off, at most ¥100.00"),
        ({"free_shipping": {}}, "free shipping"),
        ({"free_shipping": {"cap_minor": 1500, "regions": ["CN-31", "CN-32"]}}, "free shipping to CN-31 or CN-32, at most ¥15.00"),
        ({"fixed_price": {"price_minor": 9900}}, "¥99.00 for each unit"),
        ({"fixed_price": {"price_minor": 9900, "max_units": 1}}, "¥99.00 for each unit, at most 1 unit"),
        ({"buy_get": {"buy_units": 1, "get_units": 1, "percent_off_basis_points": 10000}}, "buy 1, get 1 free"),
        ({"buy_get": {"buy_units": 1, "get_units": 1, "percent_off_basis_points": 5000, "max_repeats": 3}}, "buy 1, get 1 at 50% off, up to 3 times"),
        ({"buy_get": {"buy_units": 2, "get_units": 1, "percent_off_basis_points": 10000, "discounted": {"skus": ["a", "b"]}}}, "buy 2, get 1 of article a or b free"),
        ({"cash_voucher": {"face_minor": 5000}}, "¥50.00 off, the rest is forfeited"),
        ({"name": "满减", "cash_voucher": {"face_minor": 5000}}, "满减: ¥50.00 off, the rest is forfeited"),
        ({}, "nothing that this version knows"),
    ],
)  # fmt: skip
def test_each_benefit_is_one_sentence(offer, expected):
    assert told(campaign(offers=[offer]), "gives") == [expected]


def test_everything_that_narrows_an_offer_is_told():
    assert told(read_campaign(EVERY_FIELD).campaign, "gives")[1:15] == [
        "for ¥10.00 or more",
        "for 2 units or more",
        "only article a or b and category shoes and brand Meihua and merchant 7",
        "not article c, nor category gold, nor brand x, nor merchant y",
        "only channel app",
        "only store 0012",
        "only region CN-31 or NO",
        "only paid with card",
        "only tier gold",
        "only segment loyal",
        "only new customers",
        "only groups of 3 or more",
        "only friday, sunday 20:00\N{EN DASH}24:00",
        "33.33% paid by the merchant",
    ]


def test_when_how_much_and_with_what_is_told():
    every = read_campaign(EVERY_FIELD).campaign
    assert summary(every)[-10:] == [
        ("when", "2026-10-20 20:00 to 2027-11-12 00:00, Asia/Shanghai"),
        ("valid", "from 12 hours after the claim for 7 days, to the end of the last day"),
        ("honoured", "until 2026-11-03 12:00, also if a coupon expires earlier"),
        ("paused", "merchant quay, 0012"),
        ("paused", "article soap"),
        ("paused", "offer 1, 4"),
        ("issued", "100; 10 a day; 2 a customer; 1 a person"),
        ("used", "90; 3 a customer; 1 a customer and day; 9 a day; 5 20:00\N{EN DASH}20:30; 4 21:00\N{EN DASH}22:00; what a slot leaves goes to the next"),
        ("budget", "¥5,000.00; ¥500.00 a day"),
        ("together", "stage merchant; computed on the list price; one of big or small for each merchant; up to 2 in an order; nothing after it"),
    ]  # fmt: skip


def test_a_campaign_without_limits_says_so():
    expected = ["without limit", "without limit", "without limit", "stage platform"]
    assert told(campaign(), "issued", "used", "budget", "together") == expected


@pytest.mark.parametrize(
    ("validity", "expected"),
    [
        ({"from_claim": {"days": 7}}, "from the claim for 7 days"),
        ({"from_claim": {"days": 1, "wait": {"seconds": 0}}}, "from the claim for 1 day"),
        ({"absolute": {"not_before": {"seconds": 1_791_993_600}, "expire_time": {"seconds": 1_792_080_000}}}, "from 2026-10-15 00:00 to 2026-10-16 00:00"),
    ],
)  # fmt: skip
def test_when_a_coupon_is_valid_is_told_if_it_is_not_the_campaigns_own_time(validity, expected):
    assert told(campaign(validity=validity), "valid") == [expected]
    assert told(campaign(), "valid") == []
