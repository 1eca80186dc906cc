"""Reads what the name of a campaign promises: 8折, 第二件半价, 满200减50, 20% off."""

import re
import unicodedata
from decimal import Decimal
from typing import Final, NamedTuple

_BASIS_POINTS: Final = 10_000
_DIGITS: Final = {digit: str(value) for value, digit in enumerate("一二三四五六七八九", start=1)}
# Not 折上折, 折扣, 折后价, nor the 11 of 双11: of two digits, half of the price is left at least.
_FOLD: Final = re.compile(
    r"(?:(?<![0-9.])(?P<digits>[1-9](?:\.[0-9])?|[5-9][0-9])|(?<![十一二三四五六七八九])(?P<words>[五六七八九]?[一二三四五六七八九]))"
    r"\s?折(?![上扣后叠])"
)
_HALF: Final = re.compile(r"半价|对折")
_PERCENT_OFF: Final = re.compile(r"(?<![0-9.])(?P<percent>[0-9]{1,2}(?:\.[0-9]{1,2})?)\s?%\s?off\b", re.IGNORECASE)
_SUM: Final = r"[0-9]{1,7}(?:\.[0-9]{1,2})?"
_FULL: Final = re.compile(rf"满\s?(?P<spend>{_SUM})\s?元?\s?(?:立减|减)\s?(?P<off>{_SUM})")


class FullReduction(NamedTuple):
    """What 满200减50 says: from so much on, so much off, in the major unit of the currency."""

    spend: Decimal
    off: Decimal


def promised_basis_points(name: str) -> dict[int, str]:
    """Return the parts that a name takes off, in basis points, each with its words: 8折 takes 2,000 off, 85折 1,500."""
    found, name = {}, _narrow(name)
    for match in _FOLD.finditer(name):
        digits = match["digits"] or "".join(_DIGITS[word] for word in match["words"])
        # 8, 8.5 and 85 all leave so much of ten, or of a hundred.
        left = Decimal(digits) * (1000 if len(digits) != 2 else 100)  # noqa: PLR2004 - two digits, without a point
        found[int(_BASIS_POINTS - left)] = match[0]
    if half := _HALF.search(name):
        found[_BASIS_POINTS // 2] = half[0]
    for match in _PERCENT_OFF.finditer(name):
        found[int(Decimal(match["percent"]) * 100)] = match[0]
    return found


def promised_reductions(name: str) -> dict[FullReduction, str]:
    """Return the full reductions (满减) in a name, each with its words."""
    found = _FULL.finditer(_narrow(name))
    return {FullReduction(Decimal(match["spend"]), Decimal(match["off"])): match[0] for match in found}


def _narrow(name: str) -> str:
    """Return a name with its full-width digits and signs as the usual ones: ８折 as 8折."""
    return unicodedata.normalize("NFKC", name)
