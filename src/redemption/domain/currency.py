"""Which currencies there are (ISO 4217), and which one was meant by a code that is none."""

import difflib
import unicodedata
from collections.abc import Iterator
from typing import Final

from iso4217 import Currency

from redemption.domain.errors import Violation

CURRENCY_CODES: Final = frozenset(currency.code for currency in Currency if currency.exponent is not None)
"""The codes of ISO 4217 that have a minor unit: not gold (XAU), nor the code for tests (XTS), nor XXX, "none"."""

# What people write instead of a code. CNH is the market in which the yuan is traded outside of China.
_MEANT: Final = {
    "RMB": "CNY",
    "CNH": "CNY",
    "YUAN": "CNY",
    "元": "CNY",
    "人民币": "CNY",
    "¥": "CNY",
    "NTD": "TWD",
    "NT$": "TWD",
    "HK$": "HKD",
    "US$": "USD",
    "$": "USD",
    "EURO": "EUR",
    "€": "EUR",
    "UKP": "GBP",
    "STG": "GBP",
    "£": "GBP",
    "YEN": "JPY",
    "WON": "KRW",
    "SFR": "CHF",
}
_SHOWN_MAX: Final = 16
_NEAR_MAX: Final = 3


def currency_violations(code: str, field: str) -> Iterator[Violation]:
    """Yield why a code is not that of a currency, and which one may have been meant."""
    if code in CURRENCY_CODES:
        return
    problem = "must be an ISO 4217 code such as CNY"
    if 1 <= len(code) <= _SHOWN_MAX:
        near = _near(code)
        problem += f"; it is {code!r}" + (f": did you mean {' or '.join(near)}?" if near else "")
    yield Violation(field, problem)


def _near(code: str) -> list[str]:
    """Return the currencies that may have been meant, at most ``_NEAR_MAX``."""
    typed = "".join(unicodedata.normalize("NFKC", code).upper().split())
    typed = _MEANT.get(typed, typed)
    if typed in CURRENCY_CODES:
        return [typed]
    swapped = [code for code in CURRENCY_CODES if sorted(code) == sorted(typed)]
    return sorted(swapped or difflib.get_close_matches(typed, CURRENCY_CODES, n=_NEAR_MAX))
