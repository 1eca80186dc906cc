"""Which codes are currencies, and what is said of a code that is none."""

import pytest

from redemption.domain.currency import CURRENCY_CODES, currency_violations


@pytest.mark.parametrize("code", ["CNY", "TWD", "HKD", "USD", "EUR", "JPY", "KWD", "CLF", "UYW"])
def test_a_currency_of_iso_4217_is_one(code):
    assert code in CURRENCY_CODES
    assert list(currency_violations(code, "field")) == []


@pytest.mark.parametrize("code", ["XAU", "XTS", "XXX", "RMB", "cny", ""])
def test_what_has_no_minor_unit_or_is_no_code_is_none(code):
    assert code not in CURRENCY_CODES


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("RMB", "did you mean CNY?"),
        ("rmb", "did you mean CNY?"),
        ("CNH", "did you mean CNY?"),
        ("人民币", "did you mean CNY?"),
        ("￥", "did you mean CNY?"),
        ("ＣＮＹ", "did you mean CNY?"),  # noqa: RUF001 - full width
        (" cny ", "did you mean CNY?"),
        ("CYN", "did you mean CNY?"),
        ("NTD", "did you mean TWD?"),
        ("HK$", "did you mean HKD?"),
        ("EURO", "did you mean EUR?"),
        ("GPB", "did you mean GBP?"),
        ("UDS", "did you mean USD?"),
        ("CNT", "CNY"),
    ],
)
def test_it_is_said_which_currency_was_meant(code, hint):
    (violation,) = currency_violations(code, "field")
    assert violation.field == "field"
    assert violation.problem.startswith(f"must be an ISO 4217 code such as CNY; it is {code!r}: did you mean ")
    assert hint in violation.problem


@pytest.mark.parametrize("code", ["", "???", "x" * 17, "x" * 1_000_000, "?\n?"])
def test_what_resembles_no_currency_gets_a_short_answer(code):
    (violation,) = currency_violations(code, "field")
    assert violation.problem.startswith("must be an ISO 4217 code such as CNY")
    assert "did you mean" not in violation.problem
    assert len(violation.problem) < 100
    assert "\n" not in violation.problem
