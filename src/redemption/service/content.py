"""The canonical form of what was asked: two requests are the same exactly if these bytes are.

It is JSON of plain lists, in ASCII, because that is one to one and does not change between versions of Python, of
protobuf or of the client's library. The risk context is left out: a phone changes networks between two tries.
"""

import json
from typing import Any

from redemption.domain.order import Checkout, Customer, Order

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def checkout_content(operation: str, checkout: Checkout) -> bytes:
    """Return the canonical form of an operation on a checkout."""
    return canonical(operation, checkout.tokens, _order(checkout.order), _customer(checkout.customer))


def canonical(operation: str, *fields: Any) -> bytes:  # noqa: ANN401 - texts, numbers, None, and lists and dicts of these
    """Return the canonical form of an operation and its fields, in a fixed order."""
    return _encode((operation, *fields)).encode()


def _order(order: Order) -> tuple[Any, ...]:
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
    shipping = [(fee.line_id, fee.amount_minor, fee.merchant_id, fee.region) for fee in order.shipping]
    return (
        order.order_id,
        order.currency_code,
        lines,
        shipping,
        order.channel,
        order.store_id,
        order.payment_method,
        order.group_size,
    )


def _customer(customer: Customer) -> tuple[Any, ...]:
    return (customer.customer_id, customer.tier, customer.segments, customer.is_new, customer.person_id)
