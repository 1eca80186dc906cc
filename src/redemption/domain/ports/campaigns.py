"""How the use cases read and change campaigns: implemented by ``ledger``, used by ``service``."""

from typing import Protocol

from redemption.domain.campaign.campaign import Campaign
from redemption.domain.errors import AlreadyExists
from redemption.domain.record import record
from redemption.domain.request_identity import RequestIdentity
from redemption.domain.risk.warnings import RiskWarning


@record(frozen=True, slots=True)
class OfferCounters:
    """The exact counters of one offer."""

    issued: int
    redeemed: int
    discount_minor: int


@record(frozen=True, slots=True)
class Counters:
    """A campaign's exact counters.

    Attributes:
        claimed: How many of the issued coupons were claimed.
        redeemed: How many are used and not given back whole; those that are only held are not counted here, nor in the
            amounts.
        merchant_minor: The share of ``discount_minor`` that merchants pay.
        order_value_minor: The value of the orders before discounts; each order counts once.
        day: The day of ``redeemed_today``, days since 1970 in the campaign's zone.
        offers: By the offer's index.
        refusals: Pairs of an outcome's number and how often it was the answer; less exact, see ``count_refusal``.
        warnings: What the campaign is warned of now.
        reserved: How many coupons are held now.
        reserved_minor: Their discount.
        reversed: Redemptions of which anything was given back.
        reversed_minor: How much discount was given back.
    """

    now_ms: int
    issued: int
    claimed: int
    redeemed: int
    discount_minor: int
    merchant_minor: int
    order_value_minor: int
    day: int
    redeemed_today: int
    offers: tuple[OfferCounters, ...]
    refusals: tuple[tuple[int, int], ...]
    warnings: tuple[RiskWarning, ...] = ()
    reserved: int = 0
    reserved_minor: int = 0
    reversed: int = 0
    reversed_minor: int = 0


@record(frozen=True, slots=True)
class TooEarly:
    """A campaign's records are still needed, until this instant of the ledger's clock, Unix milliseconds."""

    until_ms: int


@record(frozen=True, slots=True)
class Removal:
    """The progress of removing an archived campaign's records: ``done`` of ``total`` places are finished."""

    done: int
    total: int


def name_taken(name: str, number: int, its_name: str) -> AlreadyExists:
    """Return the failure for a name that a campaign cannot have.

    Args:
        name: The name.
        number: The campaign that has it, or that has a name which looks the same.
        its_name: The name of that campaign.
    """
    if its_name == name:
        return AlreadyExists(f"campaign {number} has the name {name!r} already")
    return AlreadyExists(
        f"campaign.name: {name!r} looks the same as {its_name!r}, the name of campaign {number}; "
        "choose a name that people can tell from it"
    )


class CampaignLedger(Protocol):
    """Keeps campaigns. Every method may raise ``ServiceError``."""

    def cached(self, program: str, number: int) -> Campaign | None:
        """Return a campaign if its definition is cached; if it is outdated, the ledger detects that later."""

    def forget(self, program: str, number: int) -> None:
        """Drop a cached definition, so that it is read again."""

    async def load(self, program: str, number: int) -> Campaign | None:
        """Read a campaign as it is now; None if it does not exist."""

    async def load_range(self, program: str, first: int, last: int) -> list[Campaign]:
        """Return the campaigns with numbers from first to last that exist."""

    async def named(self, program: str, name: str) -> tuple[int, str] | None:
        """Return the number and the name of the campaign that has a name, or that has one which looks the same.

        None means that the name is free.

        Raises:
            LedgerRefused: The program has no ledger, and creating one is not allowed.
        """

    async def create(self, campaign: Campaign, identity: RequestIdentity) -> Campaign:
        """Create a campaign and return it with its number and version."""

    async def update(self, campaign: Campaign, *, principal: str, offers_kept: bool) -> Campaign:
        """Replace version ``campaign.version`` of a definition and return the new one.

        Args:
            campaign: The new definition.
            principal: Who changes it.
            offers_kept: The existing offers are unchanged. If not, this is a conflict once any coupon was minted.

        Raises:
            Conflict: Another version is in force, or coupons were minted meanwhile.
        """

    async def counters(self, program: str, number: int, *, offers: int) -> Counters | None:
        """Return a campaign's counters, and those of its first offers; None when there is no such campaign."""

    async def archive(self, campaign: Campaign, *, principal: str, now_ms: int) -> Campaign | TooEarly:
        """Archive version ``campaign.version`` of a campaign; from then on none of its records changes.

        Args:
            campaign: The definition in force.
            principal: Who archives it.
            now_ms: When it is archived, Unix milliseconds.

        Raises:
            NotFound: There is no such campaign.
            Conflict: Another version is in force.
        """

    async def remove_archived(self, program: str, number: int, *, principal: str) -> Removal:
        """Remove some records of an archived campaign: few enough that orders hardly wait.

        Its definition and its totals stay. When all records are removed, this changes nothing.

        Raises:
            NotFound: Archiving it has not begun.
        """
