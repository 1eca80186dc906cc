"""Checks the texts of a campaign: a currency that exists, and names and ids that are what people see.

These checks came later than the first campaigns. So they are made of what is new in a definition: a campaign that was
stored before is still read and judged, and can be changed.
"""

import unicodedata
from collections.abc import Iterator

from redemption.domain.campaign.benefit_checks import benefit_lists
from redemption.domain.campaign.campaign import Campaign, Offer
from redemption.domain.campaign.condition_checks import condition_lists
from redemption.domain.campaign.names import unseen_character
from redemption.domain.campaign.value_checks import has_control_character
from redemption.domain.currency import currency_violations
from redemption.domain.errors import Violation

_BLANK = "has a blank at an end"
_NEVER_EQUAL = "no order has it like that, so it would never match"


def text_form_violations(campaign: Campaign) -> Iterator[Violation]:
    """Yield what is wrong with the currency and with the form of names and ids; their lengths are checked elsewhere."""
    yield from currency_violations(campaign.currency_code, "campaign.currency_code")
    yield from _name_violations(campaign.name, "campaign.name")
    for index, offer in enumerate(campaign.offers):
        yield from _name_violations(offer.name, f"campaign.offers[{index}].name")
        for field, values in offer_lists(offer, f"campaign.offers[{index}]"):
            yield from _id_violations(values, field)
    yield from _id_violations(campaign.stacking.exclusivity_groups, "campaign.stacking.exclusivity_groups")
    yield from _id_violations(campaign.paused_merchant_ids, "campaign.paused_merchant_ids")
    yield from _id_violations(campaign.paused_skus, "campaign.paused_skus")


def offer_lists(offer: Offer, field: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each list of values of an offer, after the path of its field."""
    yield from benefit_lists(offer.benefit, field)
    yield from condition_lists(offer.conditions, f"{field}.conditions")


def _name_violations(name: str, field: str) -> Iterator[Violation]:
    if has_control_character(name):  # which is another violation, and may be a blank as well
        return
    stripped = name.strip()
    if stripped and stripped != name:
        yield Violation(field, f"{_BLANK}; write {stripped!r}")
    elif not unicodedata.is_normalized("NFC", name):
        yield Violation(
            field, "is not in Unicode's normal form NFC, so it may look the same as another; send it in NFC"
        )
    yield from _unseen_violations(name, field)


def _id_violations(values: tuple[str, ...], field: str) -> Iterator[Violation]:
    for index, value in enumerate(values):
        if has_control_character(value):
            continue
        stripped = value.strip()
        if stripped != value:
            hint = f"; write {stripped!r}" if stripped else "; take it out"
            yield Violation(f"{field}[{index}]", f"{_BLANK}: {_NEVER_EQUAL}{hint}")
        yield from _unseen_violations(value, f"{field}[{index}]")


def _unseen_violations(text: str, field: str) -> Iterator[Violation]:
    found = unseen_character(text)
    if found:
        place, code_point = found
        yield Violation(field, f"has a character that nobody sees, {code_point}, in place {place}; take it out")
