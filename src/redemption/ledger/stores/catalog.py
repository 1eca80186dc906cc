"""Campaign definitions at hand, as the ledger keeps them: JSON of the domain's own dataclasses."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from cachetools import TTLCache
from pydantic import ConfigDict, TypeAdapter, with_config

from redemption.domain.campaign.benefit import (
    BuyGet,
    CashVoucher,
    EveryFull,
    FixedPrice,
    FreeShipping,
    PercentOff,
    Tier,
    Tiers,
)
from redemption.domain.campaign.campaign import (
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
from redemption.domain.campaign.conditions import NO_CONDITIONS, Conditions, Scope, Window
from redemption.domain.errors import LedgerRefused

BYTES_MAX = 64 * 2**20
"""Of the definitions at hand, as they are written; in memory they take several times that."""
ENTRY_BYTES = 1024
"""What the smallest definition is counted as, beside its own bytes."""
FORGET_SECONDS = 1.0
FORGOTTEN_MAX = 1024

_FORMAT = b"2"
"""Raised when a definition gets fields that an older version would not understand."""

_BENEFITS = (Tiers, EveryFull, PercentOff, FreeShipping, FixedPrice, BuyGet, CashVoucher)
_PARTS = (Offer, Tier, Scope, Window, Conditions, Limits, SlotLimits, Slot, Stacking, Sizing)
# A field that is not known is a promise that is not understood. It also tells benefits and validities apart: each is
# written with all its fields, and no two have the same ones.
for _model in (Campaign, *_PARTS, *_BENEFITS, AbsoluteValidity, ClaimValidity):
    with_config(ConfigDict(extra="forbid"))(_model)
_CODEC = TypeAdapter(Campaign)


class Catalog:
    """The definitions this process has seen. One may be outdated: every decision names the version it went by.

    It keeps those that were used last, as many as fit.
    """

    def __init__(self, *, bytes_max: int = BYTES_MAX, now: Callable[[], float] = time.monotonic) -> None:
        """Build it.

        Args:
            bytes_max: Bytes of the definitions, as they are written, that are kept.
            now: A clock that only runs forward, seconds.
        """
        self._bytes_max = bytes_max
        self._bytes = 0
        self._entries: OrderedDict[tuple[str, int], tuple[Campaign, int]] = OrderedDict()
        self._forgotten: TTLCache[tuple[str, int], bool] = TTLCache(FORGOTTEN_MAX, FORGET_SECONDS, timer=now)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, program: str, number: int) -> Campaign | None:
        """Return a definition if it is at hand."""
        key = (program, number)
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, campaign: Campaign, definition_bytes: int) -> None:
        """Remember a definition that takes so many bytes as it is written; what was used least recently may go."""
        self.drop(campaign.program, campaign.number)
        campaign = _sharing(campaign)
        size = definition_bytes + ENTRY_BYTES
        self._entries[campaign.program, campaign.number] = campaign, size
        self._bytes += size
        while self._bytes > self._bytes_max and len(self._entries) > 1:
            _, (_, size) = self._entries.popitem(last=False)
            self._bytes -= size

    def read(self, program: str, number: int, version: int, definition: bytes) -> Campaign:
        """Read a definition, remember it and return it.

        Raises:
            LedgerRefused: It cannot be read; then none is at hand.
        """
        self.drop(program, number)
        self.put(unpack_campaign(definition, number=number, version=version), len(definition))
        return self._entries[program, number][0]

    def drop(self, program: str, number: int) -> None:
        """Drop a definition that is not in force."""
        _, size = self._entries.pop((program, number), (None, 0))
        self._bytes -= size

    def forget(self, program: str, number: int) -> None:
        """Drop a definition that may be damaged, so that it is read again: each at most once a second.

        A large one takes milliseconds to read, and whoever stumbles over it may come again and again.
        """
        key = (program, number)
        if key in self._entries and key not in self._forgotten:
            self._forgotten[key] = True
            self.drop(program, number)

    def clear(self) -> None:
        """Drop all: another ledger's versions may have the same numbers."""
        self._entries.clear()
        self._bytes = 0

    def redefined(self, program: str, number: int, version: int, definition: bytes) -> None:
        """Take over what the ledger says is in force; an empty definition means that there is none."""
        campaign = self.get(program, number)
        if not definition:
            self.drop(program, number)
        elif campaign is None or campaign.version != version:  # else another answer brought it meanwhile
            self.read(program, number, version, definition)


def _sharing(campaign: Campaign) -> Campaign:
    """Return a definition whose offers without conditions share one object: then it is seen at once that it is so."""
    if all(offer.conditions is NO_CONDITIONS or offer.conditions != NO_CONDITIONS for offer in campaign.offers):
        return campaign
    offers = [
        replace(offer, conditions=NO_CONDITIONS) if offer.conditions == NO_CONDITIONS else offer
        for offer in campaign.offers
    ]
    return replace(campaign, offers=tuple(offers))


def pack_campaign(campaign: Campaign) -> bytes:
    """Write a definition as the ledger keeps it; number and version stand beside it there."""
    return _FORMAT + _CODEC.dump_json(campaign)


def unpack_campaign(definition: bytes, *, number: int, version: int) -> Campaign:
    """Read a definition.

    Raises:
        LedgerRefused: It is not one that this version can read.
    """
    try:
        campaign = _read(definition)
    except ValueError as error:
        raise LedgerRefused(
            f"the definition of campaign {number} in the ledger cannot be read; "
            "was it written by a newer version of this service?"
        ) from error
    return replace(campaign, number=number, version=version)


def _read(definition: bytes) -> Campaign:
    if not definition.startswith(_FORMAT):
        raise ValueError("its format is not known")
    return _CODEC.validate_json(definition[1:])
