"""A definition comes back from the ledger exactly as it was written."""

import dataclasses
import json
import typing
from dataclasses import replace

import pytest
from builders.campaign_strategies import BENEFITS, CAMPAIGNS
from builders.campaigns import offer_of
from builders.full_campaign import CAMPAIGN
from builders.orders import line_of
from hypothesis import given

from redemption.domain.campaign.benefit import Benefit, PercentOff, Tier
from redemption.domain.campaign.campaign import Campaign, Offer
from redemption.domain.campaign.conditions import Conditions, Scope
from redemption.domain.errors import LedgerRefused
from redemption.ledger.stores.catalog import ENTRY_BYTES, Catalog, pack_campaign, unpack_campaign

LINE = line_of(100, sku="sku-1", categories=("category-1",))


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


def test_a_field_that_was_added_later_is_written_only_where_it_is_used():
    """So servers of the version before read every definition that does not use one."""
    later = {"paused_merchant_ids": (), "paused_skus": (), "paused_offers": (), "honoured_until_ms": None}
    written = json.loads(pack_campaign(replace(CAMPAIGN, **later))[1:])
    assert set(written) == {field.name for field in dataclasses.fields(Campaign)} - set(later)
    for name in later:
        alone = replace(CAMPAIGN, **{**later, name: getattr(CAMPAIGN, name)})
        assert set(json.loads(pack_campaign(alone)[1:])) == {*written, name}
        assert read_again(alone) == alone


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
    """Only their fields say which class it is."""
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


def test_the_sets_that_a_scope_keeps_are_neither_written_nor_compared():
    asked, fresh = Scope(skus=("sku-1",)), Scope(skus=("sku-1",))
    assert asked.all_match(LINE)
    assert len(vars(asked)) > len(vars(fresh))  # it keeps its sets
    campaigns = [replace(CAMPAIGN, offers=(offer_of(PercentOff(1, 2), include=scope),)) for scope in (asked, fresh)]
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


@pytest.mark.parametrize(
    "definition",
    [
        b"",
        b"2",
        b"2null",
        b"2[]",
        b"2{}",
        b"1" + pack_campaign(CAMPAIGN)[1:],
        b"3" + pack_campaign(CAMPAIGN)[1:],
        pack_campaign(CAMPAIGN)[1:],
    ],
)
def test_what_is_no_definition_is_refused(definition):
    with pytest.raises(LedgerRefused, match="campaign 7"):
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


def test_a_definition_of_the_same_version_is_not_replaced():
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


def test_a_definition_that_may_be_damaged_is_read_again_once_in_a_while():
    seconds = [100.0]
    catalog = Catalog(now=lambda: seconds[0])
    found = []
    for passed in (0, 0.5, 0.499, 0.001, 5):
        seconds[0] += passed
        catalog.put(CAMPAIGN, 0)
        catalog.forget("shop", 7)
        found.append(catalog.get("shop", 7) is not None)
    assert found == [False, True, True, False, False]
