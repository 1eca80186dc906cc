"""Money: what people read, and what they may write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redemption.client import format_money, minor_units, money_decimal


@pytest.mark.parametrize(
    ("minor", "code", "expected"),
    [
        (188_00, "CNY", "¥188.00"),
        (-50_00, "CNY", "\N{MINUS SIGN}¥50.00"),
        (0, "CNY", "¥0.00"),
        (5, "CNY", "¥0.05"),
        (-5, "CNY", "\N{MINUS SIGN}¥0.05"),
        (1_234_567_00, "CNY", "¥1,234,567.00"),
        (1200, "JPY", "¥1,200"),
        (1250, "KWD", "KWD 1.250"),
        (12345, "CLF", "CLF 1.2345"),
        (12345, "IQD", "IQD 12.345"),
        (12345, "IDR", "IDR 123.45"),
        (12345, "HUF", "HUF 123.45"),
        (999, "USD", "$9.99"),
        (999, "EUR", "€9.99"),
        (999, "GBP", "£9.99"),
        (999, "CHF", "CHF 9.99"),
        (999, "", "9.99"),
        (2**53 - 1, "CNY", "¥90,071,992,547,409.91"),
    ],
)
def test_money_is_written_in_its_currency(minor, code, expected):
    assert format_money(minor, code) == expected


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("238.00", "CNY", 238_00),
        ("238", "CNY", 238_00),
        ("238.5", "CNY", 238_50),
        ("0.29", "CNY", 29),
        ("0", "CNY", 0),
        ("238.500", "CNY", 238_50),
        ("1200", "JPY", 1200),
        ("1.25", "KWD", 1250),
        ("90071992547409.91", "CNY", 2**53 - 1),
    ],
)
def test_a_decimal_becomes_minor_units_exactly(text, code, expected):
    assert minor_units(text, code) == expected


@pytest.mark.parametrize(
    ("text", "code", "problem"),
    [
        ("2.345", "CNY", "has too many decimals: CNY has 2 decimals; it is '2.345'"),
        ("2.5", "JPY", "has too many decimals: JPY has no decimals; it is '2.5'"),
        ("-1", "CNY", "must be a sum such as 238.00; it is '-1'"),
        ("1,000.00", "CNY", "must be a sum such as 238.00; it is '1,000.00'"),
        ("1e3", "CNY", "must be a sum such as 238.00; it is '1e3'"),
        ("nan", "CNY", "must be a sum such as 238.00; it is 'nan'"),
        ("", "CNY", "must be a sum such as 238.00; it is ''"),
        ("１２", "CNY", "must be a sum such as 238.00; it is '１２'"),  # noqa: RUF001 - full-width digits
        ("12\n", "CNY", "must be a sum such as 238.00; it is '12\\n'"),
        ("90071992547409.92", "CNY", "is more than the largest sum, 90071992547409.91; it is 90071992547409.92"),
    ],
)
def test_what_is_not_a_sum_is_refused_and_said_why(text, code, problem):
    with pytest.raises(ValueError, match=r"sum|decimals") as caught:
        minor_units(text, code)
    assert str(caught.value) == problem


@given(st.integers(0, 2**53 - 1), st.sampled_from(["CNY", "JPY", "KWD", "CLF"]))
def test_every_sum_survives_being_written_and_read(minor, code):
    assert minor_units(money_decimal(minor, code), code) == minor
