"""Defines what makes two requests the same: digests of the principal, of the request id and of the content.

The content is written in a canonical form: JSON of plain lists, in ASCII. This form is one to one, and it does not
change between versions of Python, of protobuf or of the client's library. The risk context is left out: a phone changes
networks between two tries.
"""

from dataclasses import MISSING, fields, is_dataclass
from json import JSONEncoder
from json.encoder import encode_basestring_ascii as _text
from typing import Any

from redemption.domain.call_info import CallInfo
from redemption.domain.order import Checkout, Customer, Order
from redemption.domain.request_identity import RequestIdentity
from redemption.domain.signed.digest import DigestKind, Digests, ProgramDigests

_JSON_OF = {None: "null", True: "true", False: "false"}
_encode = JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def identity_of(digests: ProgramDigests, caller: CallInfo, request_id: str, content: bytes) -> RequestIdentity:
    """Return the identity of a request: two requests with the same identity are the same request.

    Args:
        digests: The program's digests.
        caller: Who calls.
        request_id: The id that the caller gave the request.
        content: The canonical form of the request's content.
    """
    return RequestIdentity(
        caller.principal,
        request_digest(digests, caller, request_id),
        digests.digest(DigestKind.CONTENT, content),
    )


def request_digest(digests: ProgramDigests, caller: CallInfo, request_id: str) -> bytes:
    """Return the digest of a principal and a request id."""
    return digests.digest(DigestKind.REQUEST, caller.principal.encode(), request_id.encode())


def order_digests(
    digests: Digests, caller: CallInfo, request_id: str, checkout: Checkout
) -> tuple[bytes, bytes, bytes, bytes | None]:
    """Return all digests of an order: request, content, order, and customer (None for a guest).

    The digests of request and content are those of ``identity_of``; all four are made together: every order needs them.
    """
    return digests.for_program(checkout.program).of_order(
        caller.principal,
        request_id,
        checkout_content("redeem", checkout),
        checkout.order.order_id,
        checkout.customer.customer_id,
    )


def canonical(operation: str, *content: Any) -> bytes:  # noqa: ANN401 - texts, numbers, None, and lists and dicts of these
    """Return the canonical form of an operation and its content, in a fixed order."""
    return _encode((operation, *content)).encode()


def set_fields(value: Any) -> Any:  # noqa: ANN401 - any value of a definition
    """Return a definition as lists: its class, then names and values of the fields that do not have their default.

    So a field that a later version adds changes nothing for requests that do not use it, and a creation that is
    repeated after a deployment is still the same request.
    """
    if isinstance(value, tuple):
        return [set_fields(item) for item in value]
    if not is_dataclass(value):
        return value
    pairs = [
        (field.name, set_fields(getattr(value, field.name)))
        for field in fields(value)
        if field.default is MISSING or getattr(value, field.name) != field.default
    ]
    return [type(value).__name__, *sorted(pairs)]


def checkout_content(operation: str, checkout: Checkout) -> bytes:
    """Return the canonical form of an operation on a checkout.

    It has the tokens, the order and the customer. It is written by hand, because every order needs it and
    the JSON encoder takes twice as long.
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
