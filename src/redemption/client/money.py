"""Money as people read and write it, and as the contract counts it: whole minor units of a currency."""

import re
from decimal import Decimal

from iso4217 import Currency

MINOR_MAX = 2**53 - 1
"""The largest sum that the contract allows, in minor units."""

# The package iso4217 has the minor units of ISO 4217. CLDR, and a library with its data such as babel, would give what
# shops usually show: no decimals for HUF, IDR, COP or IQD. A sum would be wrong by a factor of 100.
_EXPONENTS = {currency.code: currency.exponent for currency in Currency if currency.exponent is not None}
_EXPONENT = 2
"""Of a code that is no currency: a file is read to its end before the server refuses the code."""
_SYMBOLS = {"CNY": "¥", "JPY": "¥", "USD": "$", "EUR": "€", "GBP": "£"}
_MINUS = "\N{MINUS SIGN}"
_DECIMAL = re.compile(r"(?P<whole>[0-9]{1,16})(?:\.(?P<part>[0-9]{1,8}))?")


def exponent(currency_code: str) -> int:
    """Return how many decimals a currency has."""
    return _EXPONENTS.get(currency_code, _EXPONENT)


def format_money(minor: int, currency_code: str) -> str:
    """Return a sum for people: ``¥1,188.00``, ``KWD 1.250``; a negative one has a minus sign, not a hyphen."""
    symbol = _SYMBOLS.get(currency_code, f"{currency_code} " if currency_code else "")
    sign = _MINUS if minor < 0 else ""
    return f"{sign}{symbol}{money_decimal(abs(minor), currency_code, grouped=True)}"


def money_decimal(minor: int, currency_code: str, *, grouped: bool = False) -> str:
    """Return a sum as a plain decimal with the currency's own number of decimals, for example ``188.00``."""
    decimals = exponent(currency_code)
    value = Decimal(minor).scaleb(-decimals)
    return f"{value:,.{decimals}f}" if grouped else f"{value:.{decimals}f}"


def minor_units(text: str, currency_code: str) -> int:
    """Convert a sum, written as a plain decimal, to minor units exactly.

    Raises:
        ValueError: The text is not a plain decimal, has more decimals than the currency, or is too large; the message
            says what is expected.
    """
    found = _DECIMAL.fullmatch(text)
    if found is None:
        raise ValueError(f"must be a sum such as {money_decimal(23800, currency_code)}; it is {text[:40]!r}")
    decimals = exponent(currency_code)
    part = found["part"] or ""
    if len(part.rstrip("0")) > decimals:
        allowed = "no decimals" if decimals == 0 else f"{decimals} decimals"
        raise ValueError(f"has too many decimals: {currency_code or 'the currency'} has {allowed}; it is {text!r}")
    minor: int = int(found["whole"]) * 10**decimals + int(part[:decimals].ljust(decimals, "0") or "0")
    if minor > MINOR_MAX:
        raise ValueError(f"is more than the largest sum, {money_decimal(MINOR_MAX, currency_code)}; it is {text}")
    return minor
