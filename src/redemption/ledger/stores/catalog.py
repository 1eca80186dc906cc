"""The cache of campaign definitions, and their format in the ledger: JSON of the domain's dataclasses."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import fields, replace

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
"""Total length of the cached definitions as packed; in memory they take several times that."""
ENTRY_BYTES = 1024
"""Added to the length of each definition, so that small definitions are not counted too low."""
FORGET_SECONDS = 1.0
"""``forget`` drops a definition once in this time at most."""
FORGOTTEN_MAX = 1024

_FORMAT = b"2"
"""Increase it when no definition of the version before can be read any more."""
_LATER_FIELDS = {
    field.name: field.default
    for field in fields(Campaign)
    if field.name
    in {
        "paused_merchant_ids",
        "paused_skus",
        "paused_offers",
        "honoured_until_ms",
        "return_policy",
        "reservation_seconds_max",
    }
}
"""Fields that were added to this format later, with their defaults. A definition that does not use one is packed as
before, without it: servers of an earlier version go on reading it. They refuse a definition that uses one."""

_BENEFITS = (Tiers, EveryFull, PercentOff, FreeShipping, FixedPrice, BuyGet, CashVoucher)
_PARTS = (Offer, Tier, Scope, Window, Conditions, Limits, SlotLimits, Slot, Stacking, Sizing)
# An unknown field is an error: it may be a rule that this version does not apply. It is also how benefits and
# validities are distinguished: each is written with all its fields, and no two kinds have the same fields.
for _model in (Campaign, *_PARTS, *_BENEFITS, AbsoluteValidity, ClaimValidity):
    with_config(ConfigDict(extra="forbid"))(_model)
_CODEC = TypeAdapter(Campaign)


class Catalog:
    """A cache of definitions (least recently used go first).

    A cached definition may be outdated: each order names the version that it was judged by, and the ledger compares it.
    """

    def __init__(self, *, bytes_max: int = BYTES_MAX, now: Callable[[], float] = time.monotonic) -> None:
        """Build it.

        Args:
            bytes_max: How many bytes of definitions, as packed, are kept.
            now: A clock that only runs forward, seconds.
        """
        self._bytes_max = bytes_max
        self._bytes = 0
        self._entries: OrderedDict[tuple[str, int], tuple[Campaign, int]] = OrderedDict()
        self._forgotten: TTLCache[tuple[str, int], bool] = TTLCache(FORGOTTEN_MAX, FORGET_SECONDS, timer=now)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, program: str, number: int) -> Campaign | None:
        """Return a definition if it is cached."""
        key = (program, number)
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, campaign: Campaign, definition_bytes: int) -> None:
        """Cache a definition that has ``definition_bytes`` bytes as packed; drop the least recently used if needed."""
        self.drop(campaign.program, campaign.number)
        campaign = _sharing(campaign)
        size = definition_bytes + ENTRY_BYTES
        self._entries[campaign.program, campaign.number] = campaign, size
        self._bytes += size
        while self._bytes > self._bytes_max and len(self._entries) > 1:
            _, (_, size) = self._entries.popitem(last=False)
            self._bytes -= size

    def read(self, program: str, number: int, version: int, definition: bytes) -> Campaign:
        """Unpack a definition, cache it and return it.

        Raises:
            LedgerRefused: It cannot be read; then no version of it is cached.
        """
        self.drop(program, number)
        self.put(unpack_campaign(definition, number=number, version=version), len(definition))
        return self._entries[program, number][0]

    def drop(self, program: str, number: int) -> None:
        """Drop a definition that is not the current one."""
        _, size = self._entries.pop((program, number), (None, 0))
        self._bytes -= size

    def forget(self, program: str, number: int) -> None:
        """Drop a definition that may be damaged, so that it is read again; each at most once a second.

        Reading a large one takes milliseconds, and a caller whose order fails on it may retry again and again.
        """
        key = (program, number)
        if key in self._entries and key not in self._forgotten:
            self._forgotten[key] = True
            self.drop(program, number)

    def clear(self) -> None:
        """Drop all definitions: another ledger may have other definitions with the same numbers and versions."""
        self._entries.clear()
        self._bytes = 0

    def redefined(self, program: str, number: int, version: int, definition: bytes) -> None:
        """Cache the definition that the ledger sent as the current one; drop it when ``definition`` is empty."""
        campaign = self.get(program, number)
        if not definition:
            self.drop(program, number)
        elif campaign is None or campaign.version != version:  # else another reply brought it meanwhile
            self.read(program, number, version, definition)


def _sharing(campaign: Campaign) -> Campaign:
    """Return a definition whose offers without conditions all have ``NO_CONDITIONS``: ``is`` then finds them fast."""
    if all(offer.conditions is NO_CONDITIONS or offer.conditions != NO_CONDITIONS for offer in campaign.offers):
        return campaign
    offers = [
        replace(offer, conditions=NO_CONDITIONS) if offer.conditions == NO_CONDITIONS else offer
        for offer in campaign.offers
    ]
    return replace(campaign, offers=tuple(offers))


def pack_campaign(campaign: Campaign) -> bytes:
    """Pack a definition as the ledger keeps it; the ledger has number and version in fields of their own."""
    unused = {name for name, default in _LATER_FIELDS.items() if getattr(campaign, name) == default}
    return _FORMAT + _CODEC.dump_json(campaign, exclude=unused)


def unpack_campaign(definition: bytes, *, number: int, version: int) -> Campaign:
    """Unpack a definition.

    Raises:
        LedgerRefused: This version of the service cannot read it.
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
