"""Campaigns for tests: what a test does not set is simple and valid."""

from dataclasses import fields

from redemption.domain.campaign.benefit import amount_off
from redemption.domain.campaign.campaign import Campaign, Limits, Offer
from redemption.domain.campaign.conditions import Conditions

ENDS_AT_MS = 4_000_000_000_000
"""In 2096: time decides nothing, unless a test gives other times."""

_LIMITS = {field.name for field in fields(Limits)}
_CONDITIONS = {field.name for field in fields(Conditions)}


def campaign_of(number=1, **changes):
    """A campaign that runs always and takes 1.00 off anything; a limit may be given by its own name."""
    plain = {
        "program": "shop",
        "number": number,
        "version": 1,
        "name": f"campaign {number}",
        "currency_code": "CNY",
        "time_zone": "Asia/Shanghai",
        "starts_at_ms": 0,
        "ends_at_ms": ENDS_AT_MS,
        "offers": (offer_of(amount_off(0, 1_00)),),
    }
    limits = {name: changes.pop(name) for name in tuple(changes) if name in _LIMITS}
    return Campaign(**plain | {"limits": Limits(**limits)} | changes)


def offer_of(benefit, **changes):
    """An offer of a benefit without conditions; a condition may be given by its own name."""
    conditions = {name: changes.pop(name) for name in tuple(changes) if name in _CONDITIONS}
    return Offer(benefit, conditions=Conditions(**conditions), **changes)
