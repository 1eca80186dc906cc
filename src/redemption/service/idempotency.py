"""Defines what makes two requests the same: digests of the principal, of the request id and of the content.

The content is written in a canonical form: JSON of plain lists, in ASCII. This form does not change between versions of
Python, of protobuf or of the client's library. The risk context is left out: a phone changes networks between two
tries. A shop may build its request anew before it sends it again. So the order of tokens, lines and shipping fees does
not matter, and segments and categories are sets: neither their order matters, nor one that is named twice.
"""

from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass
from json import JSONEncoder
from json.encoder import encode_basestring_ascii as _text
from typing import Any

from redemption.domain.call_info import CallInfo
from redemption.domain.order import Checkout, Customer, Order
from redemption.domain.ports.orders import AnsweredToken
from redemption.domain.request_identity import RequestIdentity
from redemption.domain.signed.digest import DigestKind, ProgramDigests
from redemption.domain.signed.reservation import TERMS_LENGTH

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


def canonical(operation: str, *content: Any) -> bytes:  # noqa: ANN401 - texts, numbers, None, and lists and dicts of these
    """Return the canonical form of an operation and its content, in a fixed order."""
    return _encode((operation, *content)).encode()


def terms_of(digests: ProgramDigests, content: bytes, answer: Sequence[AnsweredToken]) -> bytes:
    """Return what the ledger knows the terms of a hold by: 6 bytes.

    They are the same for two requests of an order with the same content, as long as its coupons take off the same.

    Args:
        digests: The program's digests.
        content: Digest of the content of the request.
        answer: What its approval says of each token.
    """
    tokens = [
        (token.campaign, token.key_id, token.serial, token.discount_minor, token.merchant_basis_points, token.parts)
        for token in answer
    ]
    return digests.digest(DigestKind.CONTENT, content, canonical("terms", tokens))[:TERMS_LENGTH]


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


def canonical_positions(order: Order) -> Sequence[int] | None:
    """Return the positions of an order's lines sorted by line id, and then those of its shipping fees, likewise.

    Positions count the lines and then the shipping fees, as the order has them. None means that the order has them
    sorted already. Shorter ids go first: so lines that a shop has numbered from 1 to 20 are sorted already.
    """
    names = [(len(line.line_id), line.line_id) for line in order.lines]
    fee_names = [(len(fee.line_id), fee.line_id) for fee in order.shipping]
    if names == sorted(names) and fee_names == sorted(fee_names):
        return None
    count = len(names)
    names += fee_names
    of_lines = sorted(range(count), key=names.__getitem__)
    return of_lines + sorted(range(count, len(names)), key=names.__getitem__)


def checkout_content(operation: str, checkout: Checkout, positions: Sequence[int] | None) -> bytes:
    """Return the canonical form of an operation on a checkout.

    It has the tokens, the order and the customer. It is written by hand, because every order needs it and
    the JSON encoder takes twice as long. ``positions`` are those of ``canonical_positions``.
    """
    given = checkout.tokens
    tokens = _text(given[0]) if len(given) == 1 else ",".join([_text(token) for token in sorted(given)])
    order, customer = _order(checkout.order, positions), _customer(checkout.customer)
    return f"[{_text(operation)},[{tokens}],{order},{customer}]".encode("ascii")


def _order(order: Order, positions: Sequence[int] | None) -> str:
    lines = [
        f"[{_text(line.line_id)},{line.quantity},{line.amount_minor},{line.list_amount_minor},{_text(line.sku)},"
        f"{_text(line.merchant_id)},{_text(line.brand)},{_set(line.categories)}]"
        for line in order.lines
    ]
    fees = [
        f"[{_text(fee.line_id)},{fee.amount_minor},{_text(fee.merchant_id)},{_text(fee.region)}]"
        for fee in order.shipping
    ]
    if positions is not None:
        count, written = len(lines), lines + fees
        lines, fees = [written[at] for at in positions[:count]], [written[at] for at in positions[count:]]
    return (
        f"[{_text(order.order_id)},{_text(order.currency_code)},[{','.join(lines)}],[{','.join(fees)}],"
        f"{_text(order.channel)},{_text(order.store_id)},{_text(order.payment_method)},{order.group_size}]"
    )


def _customer(customer: Customer) -> str:
    return (
        f"[{_text(customer.customer_id)},{_text(customer.tier)},{_set(customer.segments)},"
        f"{_JSON_OF[customer.is_new]},{_text(customer.person_id)}]"
    )


def as_set(texts: tuple[str, ...]) -> Sequence[str]:
    """Return texts whose order does not matter: sorted, each once."""
    return sorted(set(texts)) if len(texts) > 1 else texts


def _set(texts: tuple[str, ...]) -> str:
    if len(texts) > 1:
        return f"[{','.join([_text(text) for text in as_set(texts)])}]"
    return f"[{_text(texts[0])}]" if texts else "[]"
