"""What an offer gives: a few general models that cover all usual kinds of coupon.

``docs/rules.md`` explains how each one is computed, ``judging/pricing.py`` computes it, and ``benefit_checks.py``
checks that it is well formed. All money is in minor units, all percentages are in basis points.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from redemption.domain.campaign.conditions import Scope

BASIS_POINTS = 10_000


class Measure(IntEnum):
    """The unit of thresholds; the numbers are those of the contract."""

    SPEND = 1
    UNITS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """What applies from a threshold on: an amount off, a capped percentage off, or one price for ``threshold`` units.

    Attributes:
        threshold: Minor units or units of goods.
        amount_off_minor: This amount off.
        percent_off_basis_points: This percentage off, at most ``cap_minor``.
        price_minor: The total price of the dearest ``threshold`` units (任选N件X元); only for thresholds in units.
        cap_minor: The most that the percentage takes off.
    """

    threshold: int
    amount_off_minor: int | None = None
    percent_off_basis_points: int | None = None
    price_minor: int | None = None
    cap_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Tiers:
    """Thresholds in rising order. Of the tiers that are reached, the one that takes most off applies.

    One model for 满减 (one tier), 阶梯满减, 满N件M折 and 任选N件X元.
    """

    measure: Measure
    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True)
class EveryFull:
    """An amount off for every full threshold, in total at most the cap (每满减)."""

    threshold_minor: int
    amount_off_minor: int
    cap_minor: int | None = None


@dataclass(frozen=True, slots=True)
class PercentOff:
    """A percentage off, with a required cap (折扣券; 8折 is 2000 basis points)."""

    basis_points: int
    cap_minor: int


@dataclass(frozen=True, slots=True)
class FreeShipping:
    """No shipping fee, or a lower one (包邮); empty ``regions`` means all regions."""

    cap_minor: int | None = None
    regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FixedPrice:
    """A fixed price for each unit (秒杀价), dearest units first; ``max_units`` None means all units in scope."""

    price_minor: int
    max_units: int | None = None


@dataclass(frozen=True, slots=True)
class BuyGet:
    """In each set of ``buy_units`` plus ``get_units``, the cheapest ``get_units`` get cheaper (买一赠一, 第二件半价).

    Attributes:
        percent_off_basis_points: How much is taken off these units; 10000 makes them free.
        max_repeats: The most sets within one order.
        discounted: The lines that get cheaper; None means the lines that qualify.
    """

    buy_units: int
    get_units: int
    percent_off_basis_points: int
    max_repeats: int = 1
    discounted: Scope | None = None


@dataclass(frozen=True, slots=True)
class CashVoucher:
    """An amount off, at most what the goods cost; the unused rest is forfeited (抵值券)."""

    face_minor: int


Benefit: TypeAlias = Tiers | EveryFull | PercentOff | FreeShipping | FixedPrice | BuyGet | CashVoucher


def amount_off(threshold_minor: int, amount_off_minor: int) -> Tiers:
    """Return one tier: an amount off from a spend on (满200减50)."""
    return Tiers(Measure.SPEND, (Tier(threshold=threshold_minor, amount_off_minor=amount_off_minor),))
