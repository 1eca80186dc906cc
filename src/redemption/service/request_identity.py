"""The canonical form of what was asked: two requests are the same exactly if these bytes are.

It is JSON of plain lists, in ASCII, because that is one to one and does not change between versions of Python, of
protobuf or of the client's library. The risk context is left out: a phone changes networks between two tries.
"""

from json import JSONEncoder
from json.encoder import encode_basestring_ascii as _text
from typing import Any

from redemption.domain.order import Checkout, Customer, Order

_JSON_OF = {None: "null", True: "true", False: "false"}
_encode = JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def canonical(operation: str, *fields: Any) -> bytes:  # noqa: ANN401 - texts, numbers, None, and lists and dicts of these
    """Return the canonical form of an operation and its fields, in a fixed order."""
    return _encode((operation, *fields)).encode()


def checkout_content(operation: str, checkout: Checkout) -> bytes:
    """Return the canonical form of an operation on a checkout.

    Its tokens, its order and its customer, put together by hand: the encoder takes twice as long, for every order.
    """
    tokens, order, customer = _texts(checkout.tokens), _order(checkout.order), _customer(checkout.customer)
    return f"[{_text(operation)},{tokens},{order},{customer}]".encode("ascii")


def _order(order: Order) -> str:
    lines = [
        f"[{_text(line.line_id)},{line.quantity},{line.amount_minor},{line.list_amount_minor},{_text(line.sku)},"
        f"{_text(line.merchant_id)},{_text(line.brand)},{_texts(line.categories)}]"
        for line in order.lines
    ]
    fees = [
        f"[{_text(fee.line_id)},{fee.amount_minor},{_text(fee.merchant_id)},{_text(fee.region)}]"
        for fee in order.shipping
    ]
    return (
        f"[{_text(order.order_id)},{_text(order.currency_code)},[{','.join(lines)}],[{','.join(fees)}],"
        f"{_text(order.channel)},{_text(order.store_id)},{_text(order.payment_method)},{order.group_size}]"
    )


def _customer(customer: Customer) -> str:
    return (
        f"[{_text(customer.customer_id)},{_text(customer.tier)},{_texts(customer.segments)},"
        f"{_JSON_OF[customer.is_new]},{_text(customer.person_id)}]"
    )


def _texts(texts: tuple[str, ...]) -> str:
    return f"[{','.join([_text(text) for text in texts])}]" if texts else "[]"
