"""The canonical form of what was asked, and its digests: what makes a repeated request the same one, for ever."""

import json
from dataclasses import replace

from builders.orders import checkout_of, line_of, lines_of, order_of
from domain.judging.checkouts import customers, orders
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.order import Checkout, Customer, Line, Order, Shipping
from redemption.domain.signed.digest import DigestKind, ProgramDigests
from redemption.domain.signed.signing import Secret
from redemption.service.earlier_content import earlier_checkout_content
from redemption.service.idempotency import canonical, canonical_positions, checkout_content

DIGESTS = ProgramDigests(Secret(bytes(32)), environment="test", program="shop")
TEXTS = st.text(st.characters(), max_size=8)
NUMBERS = st.integers(-(2**63), 2**63 - 1)


def plain(checkout):
    """What is written down of a checkout, as lists."""
    order, customer = checkout.order, checkout.customer
    lines = [
        (
            line.line_id,
            line.quantity,
            line.amount_minor,
            line.list_amount_minor,
            line.sku,
            line.merchant_id,
            line.brand,
            line.categories,
        )
        for line in order.lines
    ]
    fees = [(fee.line_id, fee.amount_minor, fee.merchant_id, fee.region) for fee in order.shipping]
    bought = (order.order_id, order.currency_code, lines, fees, order.channel, order.store_id, order.payment_method)
    who = (customer.customer_id, customer.tier, customer.segments, customer.is_new, customer.person_id)
    return checkout.tokens, (*bought, order.group_size), who


ANY_LINE = st.builds(
    Line, TEXTS, NUMBERS, NUMBERS, NUMBERS, TEXTS, TEXTS, TEXTS, st.lists(TEXTS, max_size=3).map(tuple)
)
ANY_ORDER = st.builds(
    Order,
    TEXTS,
    TEXTS,
    st.lists(ANY_LINE, max_size=3).map(tuple),
    st.lists(st.builds(Shipping, TEXTS, NUMBERS, TEXTS, TEXTS), max_size=2).map(tuple),
    TEXTS,
    TEXTS,
    TEXTS,
    NUMBERS,
)
ANY_CUSTOMER = st.builds(
    Customer, TEXTS, TEXTS, st.lists(TEXTS, max_size=3).map(tuple), st.sampled_from([None, True, False]), TEXTS
)


def content_of(checkout):
    return checkout_content("redeem", checkout, canonical_positions(checkout.order))


def in_canonical_order(checkout):
    """The same checkout with everything sorted, and sets without what is named twice."""

    def named_once(texts):
        return tuple(sorted(set(texts)))

    def by_id(lines):
        return tuple(sorted(lines, key=lambda line: (len(line.line_id), line.line_id)))

    order, customer = checkout.order, checkout.customer
    lines = tuple(replace(line, categories=named_once(line.categories)) for line in by_id(order.lines))
    return replace(
        checkout,
        tokens=tuple(sorted(checkout.tokens)),
        order=replace(order, lines=lines, shipping=by_id(order.shipping)),
        customer=replace(customer, segments=named_once(customer.segments)),
    )


@given(st.lists(TEXTS, max_size=3).map(tuple), ANY_ORDER | orders(), ANY_CUSTOMER | customers)
def test_a_checkout_is_written_as_json_writes_its_lists(tokens, order, customer):
    checkout = Checkout("shop", tokens, order, customer)
    content = content_of(checkout)
    assert content == canonical("redeem", *plain(in_canonical_order(checkout)))
    assert json.loads(content)[1] == sorted(tokens)


@given(st.lists(TEXTS, max_size=3).map(tuple), ANY_ORDER | orders(), ANY_CUSTOMER | customers)
def test_the_earlier_form_has_everything_in_the_order_of_the_request(tokens, order, customer):
    checkout = Checkout("shop", tokens, order, customer)
    assert earlier_checkout_content("redeem", checkout) == canonical("redeem", *plain(checkout))


@given(orders(), st.randoms(use_true_random=False))
def test_an_order_whose_lines_are_shuffled_has_the_same_content_and_the_same_names_by_position(order, rng):
    shuffled = replace(
        order,
        lines=tuple(rng.sample(order.lines, len(order.lines))),
        shipping=tuple(rng.sample(order.shipping, len(order.shipping))),
    )

    def names_of(each):
        names = [bearer.line_id for bearer in each.lines + each.shipping]
        positions = canonical_positions(each)
        return names if positions is None else [names[position] for position in positions]

    assert names_of(shuffled) == names_of(order)
    assert content_of(checkout_of(shuffled)) == content_of(checkout_of(order))


def test_an_order_that_is_sorted_already_needs_no_positions():
    """So most orders pay nothing for it."""
    numbered = tuple(line_of(100, line_id=str(number)) for number in range(1, 21))
    assert canonical_positions(order_of(lines=numbered)) is None
    assert canonical_positions(order_of(lines=(line_of(100),), shipping=(Shipping("0", 5),))) is None
    assert canonical_positions(order_of(lines=lines_of(100, 200)[::-1], shipping=(Shipping("0", 5),))) == [1, 0, 2]


@given(st.text(max_size=40), st.text(max_size=40), st.binary(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_the_digests_of_an_order_are_those_of_its_parts(principal, request_id, content, order_id, customer_id):
    assert DIGESTS.of_order(principal, request_id, content, order_id, customer_id) == (
        DIGESTS.digest(DigestKind.REQUEST, principal.encode(), request_id.encode()),
        DIGESTS.digest(DigestKind.CONTENT, content),
        DIGESTS.digest(DigestKind.ORDER, order_id.encode()),
        DIGESTS.digest(DigestKind.CUSTOMER, customer_id.encode()) if customer_id else None,
    )
