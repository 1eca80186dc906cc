"""What a well-formed checkout is: one row for each rule, naming the field and what is said of it."""

from dataclasses import replace

import pytest
from builders.orders import checkout_of, line_of, lines_of, order_of

from redemption.domain.errors import VIOLATIONS_MAX
from redemption.domain.order import (
    MINOR_MAX,
    QUOTED_TOKENS_MAX,
    Customer,
    RiskContext,
    Shipping,
    checkout_violations,
    id_fits,
    positions_of,
    program_violations,
)

LONG = "x" * 129
LONG_IN_BYTES = "汉" * 43  # of 129 bytes


def order(**changes):
    return checkout_of(order_of(100, **changes))


def line(**changes):
    return order(lines=(replace(line_of(100), **changes),))


def fee(**changes):
    return order(shipping=(replace(Shipping("fee", 10), **changes),))


def customer(**fields):
    return checkout_of(order_of(100), Customer(**fields))


def risk(**fields):
    return replace(order(), risk=RiskContext(**fields))


def tokens(*names):
    return checkout_of(order_of(100), tokens=names)


WRONG = [
    (checkout_of(order_of(100), program=""), "checkout.program", "is required"),
    (checkout_of(order_of(100), program="Shop"), "checkout.program", "must be 1 to 64 of a-z"),
    (checkout_of(order_of(100), program="s" * 65), "checkout.program", "must be 1 to 64 of a-z"),
    (tokens(), "checkout.tokens", "must be 1 to 32 tokens; there are 0"),
    (tokens(*map(str, range(33))), "checkout.tokens", "must be 1 to 32 tokens; there are 33"),
    (tokens("a", "b", "a"), "checkout.tokens[2]", "is the same token as checkout.tokens[0]"),
    (order(order_id=""), "checkout.order.order_id", "is required, 1 to 128 bytes"),
    (order(order_id=LONG), "checkout.order.order_id", "is longer than 128 bytes"),
    (order(order_id=LONG_IN_BYTES), "checkout.order.order_id", "is longer than 128 bytes"),
    (order(currency_code="cny"), "checkout.order.currency_code", "such as CNY; it is 'cny': did you mean CNY?"),
    (order(currency_code="RMB"), "checkout.order.currency_code", "it is 'RMB': did you mean CNY?"),
    (order(currency_code="XTS"), "checkout.order.currency_code", "must be an ISO 4217 code"),
    (order(currency_code=""), "checkout.order.currency_code", "must be an ISO 4217 code"),
    (order(currency_code="CN"), "checkout.order.currency_code", "must be an ISO 4217 code"),
    (order(currency_code="¥¥¥"), "checkout.order.currency_code", "must be an ISO 4217 code"),
    (order(lines=()), "checkout.order.lines", "must be 1 to 500 lines; there are 0"),
    (order(lines=lines_of(*[1] * 501)), "checkout.order.lines", "must be 1 to 500 lines; there are 501"),
    (order(lines=lines_of(MINOR_MAX, 1)), "checkout.order.lines", f"sum to more than {MINOR_MAX} minor units"),
    (order(lines=(line_of(1, list_amount_minor=MINOR_MAX + 1),)), "checkout.order.lines", "sum to more than"),
    (order(lines=lines_of(MINOR_MAX), shipping=(Shipping("fee", 1),)), "checkout.order.lines", "sum to more than"),
    (order(shipping=(Shipping("fee", 1),) * 101), "checkout.order.shipping", "must be at most 100"),
    (order(channel=LONG), "checkout.order.channel", "is longer than 128 bytes"),
    (order(store_id=LONG), "checkout.order.store_id", "is longer than 128 bytes"),
    (order(payment_method=LONG), "checkout.order.payment_method", "is longer than 128 bytes"),
    (order(group_size=-1), "checkout.order.group_size", "must not be negative"),
    (line(line_id=""), "checkout.order.lines[0].line_id", "is required"),
    (line(line_id=LONG_IN_BYTES), "checkout.order.lines[0].line_id", "is longer than 128 bytes"),
    (order(lines=(line_of(1), line_of(2))), "checkout.order.lines[1].line_id", "is the id of an earlier line"),
    (line(quantity=0), "checkout.order.lines[0].quantity", "must be 1 or more"),
    (line(amount_minor=-1), "checkout.order.lines[0].amount_minor", "must not be negative"),
    (line(amount_minor=-1, list_amount_minor=-1), "checkout.order.lines[0].amount_minor", "must not be negative"),
    (line(list_amount_minor=-1), "checkout.order.lines[0].list_amount_minor", "must not be negative"),
    (line(sku=LONG), "checkout.order.lines[0].sku", "is longer than 128 bytes"),
    (line(merchant_id=LONG), "checkout.order.lines[0].merchant_id", "is longer than 128 bytes"),
    (line(brand=LONG_IN_BYTES), "checkout.order.lines[0].brand", "is longer than 128 bytes"),
    (line(categories=("a",) * 33), "checkout.order.lines[0].categories", "must be at most 32"),
    (line(categories=("a", LONG)), "checkout.order.lines[0].categories[1]", "is longer than 128 bytes"),
    (fee(line_id="0"), "checkout.order.shipping[0].line_id", "is the id of an earlier line or shipping fee"),
    (fee(line_id=LONG), "checkout.order.shipping[0].line_id", "is longer than 128 bytes"),
    (fee(amount_minor=-1), "checkout.order.shipping[0].amount_minor", "must not be negative"),
    (fee(merchant_id=LONG), "checkout.order.shipping[0].merchant_id", "is longer than 128 bytes"),
    (fee(region=LONG), "checkout.order.shipping[0].region", "is longer than 128 bytes"),
    (customer(customer_id=LONG_IN_BYTES), "checkout.customer.customer_id", "is longer than 128 bytes"),
    (customer(customer_id="ann", tier=LONG), "checkout.customer.tier", "is longer than 128 bytes"),
    (customer(customer_id="ann", person_id=LONG), "checkout.customer.person_id", "is longer than 128 bytes"),
    (customer(customer_id="ann", segments=("a",) * 65), "checkout.customer.segments", "must be at most 64"),
    (customer(customer_id="ann", segments=("a", LONG)), "checkout.customer.segments[1]", "is longer than 128 bytes"),
    (risk(device_id=LONG), "checkout.risk.device_id", "is longer than 128 bytes"),
    (risk(network_address=LONG), "checkout.risk.network_address", "is longer than 128 bytes"),
    (risk(payment_fingerprint=LONG), "checkout.risk.payment_fingerprint", "is longer than 128 bytes"),
]


@pytest.mark.parametrize(("checkout", "field", "part"), WRONG, ids=[f"{field}: {part}" for _, field, part in WRONG])
def test_each_wrong_checkout_is_refused_naming_the_field(checkout, field, part):
    found = checkout_violations(checkout)
    assert [violation.field for violation in found] == [field]
    assert part in found[0].problem


RIGHT = {
    "the least": order(),
    "goods for nothing": order(lines=lines_of(0)),
    "as many tokens as may be": tokens(*map(str, range(32))),
    "as many lines as may be": order(lines=lines_of(*[1] * 500)),
    "as much money as may be": order(lines=lines_of(MINOR_MAX)),
    "as many fees as may be": order(shipping=tuple(Shipping(f"fee {index}", 1) for index in range(100))),
    "texts as long as may be": line(line_id="x" * 128, sku="汉" * 42, brand="x" * 128),
    "everything that is known of a customer": customer(
        customer_id="ann", tier="gold", segments=("a",) * 64, is_new=False, person_id="p"
    ),
    "a risk context": risk(device_id="d", network_address="192.0.2.7", payment_fingerprint="f"),
}


@pytest.mark.parametrize("checkout", RIGHT.values(), ids=RIGHT)
def test_each_right_checkout_is_accepted(checkout):
    assert checkout_violations(checkout) == []


def test_a_quote_may_bring_more_tokens():
    many = tokens(*map(str, range(QUOTED_TOKENS_MAX)))
    assert checkout_violations(many, tokens_max=QUOTED_TOKENS_MAX) == []


def test_no_more_violations_are_told_than_anybody_reads():
    assert len(checkout_violations(order(lines=(line_of(-1, 0, line_id=""),) * 500))) == VIOLATIONS_MAX


@pytest.mark.parametrize(
    ("value", "fits"),
    [("", False), ("x", True), ("x" * 128, True), (LONG, False), ("汉" * 42, True), (LONG_IN_BYTES, False)],
)
def test_an_id_has_1_to_128_bytes(value, fits):
    assert id_fits(value) is fits


@pytest.mark.parametrize("program", ["a", "shop-1_b", "x" * 64])
def test_a_program_may_be_part_of_a_key(program):
    assert list(program_violations(program)) == []


def test_the_value_of_an_order_is_its_lines_and_its_fees():
    assert order_of(100, 20, shipping=(Shipping("fee", 3),)).value_minor == 123


def test_an_order_is_as_much_work_as_its_positions_for_each_token():
    assert positions_of(3, 10, 2) == 36
