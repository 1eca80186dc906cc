"""What an offer gives: the few general models behind every coupon of the trade.

How each is computed is told in ``docs/rules.md`` and done in ``pricing``; what a well-formed one looks like is in
``definition``. All money is in minor units, all parts are in basis points.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from redemption.domain.campaign.conditions import Scope

BASIS_POINTS = 10_000


class Measure(IntEnum):
    """What thresholds are measured in; the numbers are those of the contract."""

    SPEND = 1
    UNITS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """From a threshold on, one of: an amount off, a capped part off, or a price for as many units as the threshold.

    Attributes:
        threshold: Minor units or units of goods.
        amount_off_minor: So much off.
        percent_off_basis_points: This part off, at most ``cap_minor``.
        price_minor: The dearest ``threshold`` units together for so much (任选N件X元); thresholds in units only.
        cap_minor: With a part: at most so much off.
    """

    threshold: int
    amount_off_minor: int | None = None
    percent_off_basis_points: int | None = None
    price_minor: int | None = None
    cap_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Tiers:
    """Thresholds in rising order; of those reached, the one that takes most off gives.

    One model for 满减 (one tier), 阶梯满减, 满N件M折 and 任选N件X元.
    """

    measure: Measure
    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True)
class EveryFull:
    """An amount off for every full threshold, altogether at most the cap (每满减)."""

    threshold_minor: int
    amount_off_minor: int
    cap_minor: int | None = None


@dataclass(frozen=True, slots=True)
class PercentOff:
    """A part off, with a compulsory cap (折扣券; 8折 is 2000 basis points)."""

    basis_points: int
    cap_minor: int


@dataclass(frozen=True, slots=True)
class FreeShipping:
    """No or less shipping fee (包邮); no regions means all of them."""

    cap_minor: int | None = None
    regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FixedPrice:
    """Units at a fixed price each (秒杀价), the dearest first; ``max_units`` None means all in scope."""

    price_minor: int
    max_units: int | None = None


@dataclass(frozen=True, slots=True)
class BuyGet:
    """Of every ``buy_units`` and ``get_units``, the cheapest ``get_units`` get cheaper (买一赠一, 第二件半价).

    Attributes:
        percent_off_basis_points: By how much; 10000 is free.
        max_repeats: How often within an order.
        discounted: Which lines get cheaper; None means those that qualify.
    """

    buy_units: int
    get_units: int
    percent_off_basis_points: int
    max_repeats: int = 1
    discounted: Scope | None = None


@dataclass(frozen=True, slots=True)
class CashVoucher:
    """An amount off, up to what the goods cost; the unused rest is forfeited (抵值券)."""

    face_minor: int


Benefit: TypeAlias = Tiers | EveryFull | PercentOff | FreeShipping | FixedPrice | BuyGet | CashVoucher


def amount_off(threshold_minor: int, amount_off_minor: int) -> Tiers:
    """Return one tier: from a spend on, so much off (满200减50)."""
    return Tiers(Measure.SPEND, (Tier(threshold=threshold_minor, amount_off_minor=amount_off_minor),))
