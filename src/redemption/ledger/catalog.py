"""Campaign definitions at hand, as the ledger keeps them: JSON of the domain's own dataclasses."""

from dataclasses import replace

from pydantic import ConfigDict, TypeAdapter, with_config

from redemption.domain.campaign import AmountOff, Campaign, Limits, Offer, PercentOff, Sizing, Stacking
from redemption.domain.errors import LedgerRefused

_FORMAT = b"1"
"""Raised when a definition gets fields that an older version would not understand."""

for _model in (Campaign, Offer, AmountOff, PercentOff, Limits, Stacking, Sizing):
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
        campaign = _CODEC.validate_json(definition.removeprefix(_FORMAT))
    except ValueError as error:
        raise LedgerRefused(
            f"the definition of campaign {number} in the ledger cannot be read ; "
            "was it written by a newer version of this service?"
        ) from error
    return replace(campaign, number=number, version=version)
