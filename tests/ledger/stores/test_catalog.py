"""A definition comes back from the ledger exactly as it was written, also one that an older version wrote."""

import dataclasses
import typing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from rpc.campaign_strategies import BENEFITS, CAMPAIGNS
from rpc.examples import CAMPAIGN, OFFERS

from redemption.domain.campaign.benefit import Benefit, PercentOff, Tier, Tiers, amount_off
from redemption.domain.campaign.campaign import Campaign, CampaignState, Limits, Offer, Sizing, Stacking, Stage
from redemption.domain.campaign.conditions import Conditions, Scope
from redemption.domain.errors import LedgerRefused
from redemption.domain.order import Line
from redemption.ledger.stores.catalog import ENTRY_BYTES, Catalog, pack_campaign, unpack_campaign

FORMAT_1 = (Path(__file__).parent.parent / "format_1.txt").read_bytes().strip()
"""Written by the last version of this service that wrote format 1."""

LINE = Line("1", 1, 100, 100, sku="sku-1", categories=("category-1",))


def read_again(campaign):
    return unpack_campaign(pack_campaign(campaign), number=campaign.number, version=campaign.version)


def dataclasses_within(kind):
    """Return every dataclass that a type can hold, however deep."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return {kind}.union(*(dataclasses_within(hints[field.name]) for field in dataclasses.fields(kind)))
    return set().union(*(dataclasses_within(part) for part in typing.get_args(kind)))


@given(CAMPAIGNS)
def test_definition_comes_back_as_it_was_written(campaign):
    again = read_again(campaign)
    assert again == campaign
    assert repr(again) == repr(campaign)  # also the class of each part and each number


@pytest.mark.parametrize("benefit", BENEFITS, ids=lambda kind: kind.__name__)
def test_every_benefit_comes_back_as_exactly_its_class(benefit):
    @given(BENEFITS[benefit])
    def comes_back(written):
        (offer,) = read_again(replace(CAMPAIGN, offers=(Offer(written),))).offers
        assert (type(offer.benefit), offer.benefit) == (benefit, written)

    comes_back()


def test_there_is_a_strategy_for_every_benefit():
    assert set(BENEFITS) == set(typing.get_args(Benefit))


def test_no_two_benefits_are_written_with_the_same_fields():
    """They are told apart by their fields: nothing else says which one it is."""
    written = [frozenset(field.name for field in dataclasses.fields(kind)) for kind in typing.get_args(Benefit)]
    assert len(set(written)) == len(written)


def test_field_of_a_newer_version_is_refused_in_every_part():
    parts = dataclasses_within(Campaign)
    assert {Scope, Tier, Conditions, *BENEFITS} < parts
    assert {part for part in parts if getattr(part, "__pydantic_config__", {}).get("extra") != "forbid"} == set()


@pytest.mark.parametrize(
    ("place", "more"),
    [
        ('"stop_after":true', '"stop_after":true,"later":1'),
        ('"carry_over":true', '"carry_over":true,"later":1'),
        ('"face_minor":10000', '"face_minor":10000,"later":1'),
        ('"face_minor":10000', '"later_minor":10000'),
        ('"days":7', '"days":7,"later":1'),
        ('"brands":["brand-1"]', '"brands":["brand-1"],"later":[]'),
    ],
)
def test_definition_that_says_more_than_is_known_is_refused(place, more):
    text = pack_campaign(CAMPAIGN).decode()
    assert place in text
    with pytest.raises(LedgerRefused, match=r"definition of campaign 7 .* newer version"):
        unpack_campaign(text.replace(place, more).encode(), number=7, version=5)


def test_what_a_scope_has_looked_up_is_neither_written_nor_compared():
    asked, fresh = Scope(skus=("sku-1",)), Scope(skus=("sku-1",))
    assert asked.all_match(LINE)
    assert len(vars(asked)) > len(vars(fresh))  # it keeps its sets
    campaigns = [
        replace(CAMPAIGN, offers=(Offer(PercentOff(1, 2), conditions=Conditions(include=scope)),))
        for scope in (asked, fresh)
    ]
    assert campaigns[0] == campaigns[1]
    assert hash(asked) == hash(fresh)
    assert pack_campaign(campaigns[0]) == pack_campaign(campaigns[1])


def test_scope_that_was_read_works():
    scope = read_again(CAMPAIGN).offers[0].conditions.exclude
    assert scope.any_matches(replace(LINE, brand="brand-9"))
    assert not scope.any_matches(LINE)


def test_definition_is_written_in_format_2():
    assert pack_campaign(CAMPAIGN).startswith(b'2{"program":"shop"')


def test_number_and_version_are_those_that_stand_beside_it():
    again = unpack_campaign(pack_campaign(CAMPAIGN), number=70, version=50)
    assert again == replace(CAMPAIGN, number=70, version=50)


def test_format_1_is_read_as_what_it_meant():
    assert unpack_campaign(FORMAT_1, number=7, version=5) == Campaign(
        program="shop",
        name="双11 满200减50",
        currency_code="CNY",
        time_zone="Asia/Shanghai",
        starts_at_ms=1_800_000_000_001,
        ends_at_ms=1_800_086_400_000,
        offers=(
            Offer(amount_off(20_000, 5_000), "50 off 200", Conditions(min_spend_minor=30_000)),
            Offer(PercentOff(2_000, 4_000)),
            Offer(amount_off(0, 500)),
        ),
        limits=Limits(
            issued=1,
            redemptions=2,
            redemptions_per_customer=3,
            redemptions_per_customer_per_day=4,
            redemptions_per_day=5,
            budget_minor=6,
        ),
        stacking=Stacking(Stage.MERCHANT, -9, 2),
        sizing=Sizing(500, 9_000),
        state=CampaignState.PAUSED,
        number=7,
        version=5,
        created_at_ms=1_799_999_999_997,
        updated_at_ms=1_799_999_999_998,
    )


def test_what_was_read_from_format_1_has_the_very_types_of_a_new_one():
    old = unpack_campaign(FORMAT_1, number=7, version=5)
    assert repr(read_again(old)) == repr(old)
    assert isinstance(old.offers, tuple)
    assert isinstance(old.offers[0].benefit, Tiers)


@pytest.mark.parametrize(
    ("place", "other"),
    [
        (b'"min_spend_minor":30000', b'"min_spend_minor":30000,"later":1'),
        (b'"threshold_minor":20000', b'"threshold_minor":20000,"later":1'),
        (b'"amount_off_minor":5000', b'"off_minor":5000'),
        (b'"min_spend_minor":30000', b'"minimum":30000'),
        (b'{"basis_points":2000,"cap_minor":4000}', b'"threshold_minor"'),
        (b'{"basis_points":2000,"cap_minor":4000}', b"null"),
        (b'"offers":[', b'"offered":['),
        (b'"offers":[', b'"offers":[7,'),
        (b'"budget_minor":6', b'"budget_minor":"much"'),
    ],
)
def test_format_1_that_is_damaged_is_refused(place, other):
    assert place in FORMAT_1
    with pytest.raises(LedgerRefused):
        unpack_campaign(FORMAT_1.replace(place, other), number=7, version=5)


@pytest.mark.parametrize(
    "definition",
    [
        b"",
        b"2",
        b"1",
        b"2null",
        b"1null",
        b"1[]",
        b"2{}",
        b"3" + pack_campaign(CAMPAIGN)[1:],
        pack_campaign(CAMPAIGN)[1:],
    ],
)
def test_what_is_no_definition_is_refused(definition):
    with pytest.raises(LedgerRefused, match="campaign 7"):
        unpack_campaign(definition, number=7, version=5)


def test_new_text_is_not_taken_for_old_nor_old_for_new():
    new = pack_campaign(replace(CAMPAIGN, offers=OFFERS[:1]))
    for definition in (b"1" + new[1:], b"2" + FORMAT_1[1:]):
        with pytest.raises(LedgerRefused):
            unpack_campaign(definition, number=7, version=5)


def test_catalog_takes_over_what_is_in_force():
    catalog = Catalog()
    catalog.redefined("shop", 7, 5, pack_campaign(CAMPAIGN))
    assert catalog.get("shop", 7) == CAMPAIGN
    catalog.redefined("shop", 7, 0, b"")
    assert catalog.get("shop", 7) is None


def test_definition_that_cannot_be_read_is_not_kept_from_before():
    catalog = Catalog()
    catalog.put(CAMPAIGN, 0)
    with pytest.raises(LedgerRefused):
        catalog.redefined("shop", 7, 6, b"9{}")
    assert catalog.get("shop", 7) is None


def test_what_another_answer_brought_meanwhile_is_kept():
    """By its identity, under which others remember what they found out about it."""
    catalog = Catalog()
    catalog.put(CAMPAIGN, 0)
    catalog.redefined("shop", 7, CAMPAIGN.version, pack_campaign(CAMPAIGN))
    assert catalog.get("shop", 7) is CAMPAIGN
    catalog.redefined("shop", 7, CAMPAIGN.version + 1, pack_campaign(CAMPAIGN))
    assert catalog.get("shop", 7).version == CAMPAIGN.version + 1


def test_only_so_many_bytes_are_kept_and_those_that_were_used_last():
    catalog = Catalog(bytes_max=3 * (ENTRY_BYTES + 10_000))
    campaigns = [replace(CAMPAIGN, number=number) for number in range(1, 1001)]
    for campaign in campaigns:
        catalog.put(campaign, 10_000)
        assert catalog.get("shop", 1)
    assert [campaign.number for campaign in campaigns if catalog.get("shop", campaign.number)] == [1, 999, 1000]
    catalog.put(campaigns[5], 10**9)
    assert len(catalog) == 1, "one is kept however large it is"
    assert catalog.get("shop", 6)


def test_replacing_and_dropping_give_their_room_back():
    catalog = Catalog(bytes_max=2 * (ENTRY_BYTES + 10_000))
    for _ in range(10):
        catalog.put(CAMPAIGN, 10_000)
        catalog.put(replace(CAMPAIGN, number=8), 10_000)
        assert len(catalog) == 2
        catalog.drop("shop", 8)
        catalog.drop("shop", 9)
    catalog.clear()
    assert (len(catalog), catalog._bytes) == (0, 0)


def test_what_may_be_damaged_is_read_again_but_not_each_time_that_somebody_stumbles_over_it():
    seconds = [100.0]
    catalog = Catalog(now=lambda: seconds[0])
    found = []
    for passed in (0, 0.5, 0.499, 0.001, 5):
        seconds[0] += passed
        catalog.put(CAMPAIGN, 0)
        catalog.forget("shop", 7)
        found.append(catalog.get("shop", 7) is not None)
    assert found == [False, True, True, False, False]
