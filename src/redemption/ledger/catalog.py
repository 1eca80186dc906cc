"""Campaign definitions at hand, as the ledger keeps them: JSON of the domain's own dataclasses."""

import json
from dataclasses import replace

from pydantic import ConfigDict, TypeAdapter, with_config

from redemption.domain.benefit import (
    BuyGet,
    CashVoucher,
    EveryFull,
    FixedPrice,
    FreeShipping,
    Measure,
    PercentOff,
    Tier,
    Tiers,
)
from redemption.domain.campaign import (
    AbsoluteValidity,
    Campaign,
    ClaimValidity,
    Limits,
    Offer,
    Sizing,
    Slot,
    SlotLimits,
    Stacking,
)
from redemption.domain.errors import LedgerRefused
from redemption.domain.scope import Conditions, Scope, Window

_FORMAT = b"2"
"""Raised when a definition gets fields that an older version would not understand."""
_FORMAT_1 = b"1"

_BENEFITS = (Tiers, EveryFull, PercentOff, FreeShipping, FixedPrice, BuyGet, CashVoucher)
_PARTS = (Offer, Tier, Scope, Window, Conditions, Limits, SlotLimits, Slot, Stacking, Sizing)
# A field that is not known is a promise that is not understood. It also tells benefits and validities apart: each is
# written with all its fields, and no two have the same ones.
for _model in (Campaign, *_PARTS, *_BENEFITS, AbsoluteValidity, ClaimValidity):
    with_config(ConfigDict(extra="forbid"))(_model)
_CODEC = TypeAdapter(Campaign)


class Catalog:
    """The definitions this process has seen. One may be outdated: every decision names the version it went by."""

    def __init__(self) -> None:
        self._campaigns: dict[tuple[str, int], Campaign] = {}

    def get(self, program: str, number: int) -> Campaign | None:
        """Return a definition if it is at hand."""
        return self._campaigns.get((program, number))

    def put(self, campaign: Campaign) -> None:
        """Remember a definition."""
        self._campaigns[campaign.program, campaign.number] = campaign

    def forget(self, program: str, number: int) -> None:
        """Drop a definition."""
        self._campaigns.pop((program, number), None)

    def redefined(self, program: str, number: int, version: int, definition: bytes) -> None:
        """Take over what the ledger says is in force; an empty definition means that there is none."""
        if definition:
            self.forget(program, number)  # also when what is in force cannot be read
            self.put(unpack_campaign(definition, number=number, version=version))
        else:
            self.forget(program, number)


def pack_campaign(campaign: Campaign) -> bytes:
    """Write a definition as the ledger keeps it; number and version stand beside it there."""
    return _FORMAT + _CODEC.dump_json(campaign)


def unpack_campaign(definition: bytes, *, number: int, version: int) -> Campaign:
    """Read a definition.

    Raises:
        LedgerRefused: It is not one that this version can read.
    """
    try:
        campaign = _read(definition[:1], definition[1:])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise LedgerRefused(
            f"the definition of campaign {number} in the ledger cannot be read; "
            "was it written by a newer version of this service?"
        ) from error
    return replace(campaign, number=number, version=version)


def _read(format_byte: bytes, text: bytes) -> Campaign:
    if format_byte == _FORMAT:
        return _CODEC.validate_json(text)
    if format_byte == _FORMAT_1:
        return _CODEC.validate_python(_upgraded(text))
    raise ValueError("its format is not known")


def _upgraded(text: bytes) -> object:
    """Return what format 1 says in the words of format 2.

    An offer gave an amount off from one spend on, or a capped part, and a minimum spend was its only condition. What
    does not belong there is left in place, so that it is refused like any field that is not known.
    """
    campaign = json.loads(text)
    for offer in campaign["offers"]:
        benefit = offer["benefit"]
        if "threshold_minor" in benefit:
            tier = {
                "threshold": benefit.pop("threshold_minor"),
                "amount_off_minor": benefit.pop("amount_off_minor"),
            }
            offer["benefit"] = {**benefit, "measure": Measure.SPEND, "tiers": [tier]}
        offer["conditions"] = {"min_spend_minor": offer.pop("min_spend_minor")}
    return campaign
