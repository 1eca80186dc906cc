"""The canonical form of what was asked, and its digests: what makes a repeated request the same one, for ever."""

import json

from domain.judging.checkouts import customers, orders
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.order import Checkout, Customer, Line, Order, Shipping
from redemption.domain.signed.digest import DigestKind, ProgramDigests
from redemption.domain.signed.signing import Secret
from redemption.service.idempotency import canonical, checkout_content

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


@given(st.lists(TEXTS, max_size=3).map(tuple), ANY_ORDER | orders(), ANY_CUSTOMER | customers)
def test_a_checkout_is_written_as_json_writes_its_lists(tokens, order, customer):
    checkout = Checkout("shop", tokens, order, customer)
    content = checkout_content("redeem", checkout)
    assert content == canonical("redeem", *plain(checkout))
    assert json.loads(content)[1] == list(tokens)


@given(st.text(max_size=40), st.text(max_size=40), st.binary(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_the_digests_of_an_order_are_those_of_its_parts(principal, request_id, content, order_id, customer_id):
    assert DIGESTS.of_order(principal, request_id, content, order_id, customer_id) == (
        DIGESTS.digest(DigestKind.REQUEST, principal.encode(), request_id.encode()),
        DIGESTS.digest(DigestKind.CONTENT, content),
        DIGESTS.digest(DigestKind.ORDER, order_id.encode()),
        DIGESTS.digest(DigestKind.CUSTOMER, customer_id.encode()) if customer_id else None,
    )
