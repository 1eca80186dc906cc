"""A campaign's promise: what it gives, to which orders, when, and how much of it there is."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from zoneinfo import available_timezones

from redemption.domain.errors import Violation
from redemption.domain.order import MINOR_MAX, program_violations, text_violations

BASIS_POINTS = 10_000
OFFERS_MAX = 100
COUNT_MAX = 2**40 - 1
"""Serials are 40 bits wide, so no count of coupons can be larger."""
CUSTOMER_COUNT_MAX = 65_535
"""Per-customer counters are two bytes wide."""
TOKENS_PER_ORDER_MAX = 32
PRIORITY_MAX = 1_000_000
NUMBER_MAX = 2**32 - 1
MILLISECONDS = 1000
LATEST_MS = (2**32 - 1) * MILLISECONDS
"""Tokens carry their expiry in 32 bits of Unix seconds."""


class CampaignState(IntEnum):
    """Where a campaign is in its life; the numbers are those of the contract."""

    ACTIVE = 1
    PAUSED = 2
    ENDED = 3
    ARCHIVED = 4


class Stage(IntEnum):
    """In which order discounts are taken; the numbers are those of the contract."""

    ITEM = 1
    MERCHANT = 2
    PLATFORM = 3
    PAYMENT = 4


@dataclass(frozen=True, slots=True)
class AmountOff:
    """So much off, in minor units, from a spend on (满200减50)."""

    threshold_minor: int
    amount_off_minor: int


@dataclass(frozen=True, slots=True)
class PercentOff:
    """A part off, in basis points, with a compulsory cap in minor units (8折 is 2000)."""

    basis_points: int
    cap_minor: int


@dataclass(frozen=True, slots=True)
class Offer:
    """One benefit of a campaign, a denomination.

    Attributes:
        benefit: What it gives.
        name: For people.
        min_spend_minor: The goods cost at least this much; None means no minimum.
    """

    benefit: AmountOff | PercentOff
    name: str = ""
    min_spend_minor: int | None = None

    @property
    def spend_needed_minor(self) -> int:
        """The spend from which the offer gives anything, in minor units."""
        condition = self.min_spend_minor or 0
        return max(condition, self.benefit.threshold_minor) if isinstance(self.benefit, AmountOff) else condition


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a campaign there is; None means no limit."""

    issued: int | None = None
    redemptions: int | None = None
    redemptions_per_customer: int | None = None
    redemptions_per_customer_per_day: int | None = None
    redemptions_per_day: int | None = None
    budget_minor: int | None = None

    @property
    def per_customer(self) -> bool:
        """Whether somebody must be counted, so that a guest cannot redeem."""
        return self.redemptions_per_customer is not None or self.redemptions_per_customer_per_day is not None


@dataclass(frozen=True, slots=True)
class Stacking:
    """How a campaign's coupons go together with others."""

    stage: Stage = Stage.PLATFORM
    priority: int = 0
    max_tokens_per_order: int = 1


@dataclass(frozen=True, slots=True)
class Sizing:
    """Hints for the layout of the ledger's records; they cost memory when wrong, never correctness."""

    expected_redemptions: int = 100_000
    expected_redemption_rate_basis_points: int = BASIS_POINTS


@dataclass(frozen=True, slots=True)
class Campaign:
    """One marketing promise, numbered within its program.

    Attributes:
        version: Raised by every change; every decision names the exact version it was judged by.
        starts_at_ms: Redeeming starts at this instant, Unix milliseconds.
        ends_at_ms: Redeeming ends before this instant, Unix milliseconds.
    """

    program: str
    name: str
    currency_code: str
    time_zone: str
    starts_at_ms: int
    ends_at_ms: int
    offers: tuple[Offer, ...]
    limits: Limits = Limits()
    stacking: Stacking = Stacking()
    sizing: Sizing = Sizing()
    state: CampaignState = CampaignState.ACTIVE
    number: int = 0
    version: int = 0
    created_at_ms: int = 0
    updated_at_ms: int = 0


def campaign_violations(campaign: Campaign) -> list[Violation]:
    """Say everything that is wrong with a definition; an empty list means that it is well formed."""
    found = list(program_violations(campaign.program, "campaign.program"))
    if not campaign.name.strip():
        found.append(Violation("campaign.name", "is required, 1 to 128 bytes"))
    found += text_violations(campaign.name, "campaign.name")
    code = campaign.currency_code
    if len(code) != 3 or not (code.isascii() and code.isalpha() and code.isupper()):  # noqa: PLR2004 - ISO 4217
        found.append(Violation("campaign.currency_code", "must be an ISO 4217 code such as CNY"))
    found += _time_violations(campaign)
    if not 1 <= len(campaign.offers) <= OFFERS_MAX:
        found.append(Violation("campaign.offers", f"must be 1 to {OFFERS_MAX} offers"))
    for index, offer in enumerate(campaign.offers):
        found += _offer_violations(offer, f"campaign.offers[{index}]")
    found += _limit_violations(campaign.limits)
    found += _stacking_violations(campaign.stacking)
    found += _sizing_violations(campaign.sizing)
    return found


def change_violations(before: Campaign, after: Campaign, *, minted: bool) -> list[Violation]:
    """Say which changes from one definition to the next are not allowed.

    Args:
        before: The definition in force.
        after: The one that shall replace it.
        minted: Whether anything was issued; from then on offers are append-only.
    """
    found = [
        Violation(f"campaign.{name}", f"cannot change; it is {getattr(before, name)!r}")
        for name in ("currency_code", "time_zone", "sizing")
        if getattr(before, name) != getattr(after, name)
    ]
    if minted and after.offers[: len(before.offers)] != before.offers:
        problem = "cannot change once coupons were minted; add new offers behind the existing ones"
        changed = next(
            index
            for index, offer in enumerate(before.offers)
            if index >= len(after.offers) or after.offers[index] != offer
        )
        found.append(Violation(f"campaign.offers[{changed}]", problem))
    return found


def _time_violations(campaign: Campaign) -> Iterator[Violation]:
    if campaign.time_zone not in _zones():
        yield Violation("campaign.time_zone", "must be an IANA zone such as Asia/Shanghai")
    if not 0 <= campaign.starts_at_ms <= LATEST_MS:
        yield Violation("campaign.start_time", "must lie between 1970 and 2106")
    if not 0 <= campaign.ends_at_ms <= LATEST_MS:
        yield Violation("campaign.end_time", "must lie between 1970 and 2106")
    elif campaign.ends_at_ms <= campaign.starts_at_ms:
        yield Violation("campaign.end_time", "must be later than start_time")


@cache
def _zones() -> frozenset[str]:
    """Every IANA zone, without the names that mean something else on each machine or nothing at all."""
    return frozenset(available_timezones() - {"localtime", "Factory"})


def _offer_violations(offer: Offer, field: str) -> Iterator[Violation]:
    yield from text_violations(offer.name, f"{field}.name")
    benefit = offer.benefit
    if isinstance(benefit, AmountOff):
        tier = f"{field}.tiers.tiers[0]"
        yield from _range(benefit.threshold_minor, f"{tier}.threshold", 0, MINOR_MAX)
        yield from _range(benefit.amount_off_minor, f"{tier}.amount_off_minor", 1, MINOR_MAX)
    else:
        yield from _range(benefit.basis_points, f"{field}.percent_off.basis_points", 1, BASIS_POINTS)
        if not benefit.cap_minor:
            yield Violation(f"{field}.percent_off.cap_minor", "is compulsory: a percentage without a cap has no bound")
        else:
            yield from _range(benefit.cap_minor, f"{field}.percent_off.cap_minor", 1, MINOR_MAX)
    if offer.min_spend_minor is not None:
        yield from _range(offer.min_spend_minor, f"{field}.conditions.min_spend_minor", 1, MINOR_MAX)


def _limit_violations(limits: Limits) -> Iterator[Violation]:
    bounds = {
        "issued": COUNT_MAX,
        "redemptions": COUNT_MAX,
        "redemptions_per_customer": CUSTOMER_COUNT_MAX,
        "redemptions_per_customer_per_day": CUSTOMER_COUNT_MAX,
        "redemptions_per_day": COUNT_MAX,
        "budget_minor": MINOR_MAX,
    }
    for name, most in bounds.items():
        value = getattr(limits, name)
        if value == 0:
            yield Violation(f"campaign.limits.{name}", "must not be 0; pause the campaign instead")
        elif value is not None:
            yield from _range(value, f"campaign.limits.{name}", 1, most)


def _stacking_violations(stacking: Stacking) -> Iterator[Violation]:
    field = "campaign.stacking"
    yield from _range(stacking.priority, f"{field}.priority", -PRIORITY_MAX, PRIORITY_MAX)
    yield from _range(stacking.max_tokens_per_order, f"{field}.max_tokens_per_order", 1, TOKENS_PER_ORDER_MAX)


def _sizing_violations(sizing: Sizing) -> Iterator[Violation]:
    rate = sizing.expected_redemption_rate_basis_points
    yield from _range(sizing.expected_redemptions, "campaign.sizing.expected_redemptions", 1, COUNT_MAX)
    yield from _range(rate, "campaign.sizing.expected_redemption_rate_basis_points", 1, BASIS_POINTS)


def _range(value: int, field: str, least: int, most: int) -> Iterator[Violation]:
    if not least <= value <= most:
        yield Violation(field, f"must be {least} to {most}; it is {value}")
