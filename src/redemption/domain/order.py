"""What a checkout knows of an order, and what a well-formed one looks like."""

from collections.abc import Iterator
from dataclasses import dataclass

from redemption.domain.errors import Violation

MINOR_MAX = 2**53 - 1
"""The largest sum of money, in minor units: what a double (Lua's only number) still counts exactly."""

LINES_MAX = 500
SHIPPING_MAX = 100
CATEGORIES_MAX = 32
SEGMENTS_MAX = 64
TEXT_BYTES_MAX = 128
PROGRAM_BYTES_MAX = 64
TOKENS_MAX = 32
QUOTED_TOKENS_MAX = 100

_PROGRAM_ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_CURRENCY_LENGTH = 3


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an order; amounts are totals of the line in minor units."""

    line_id: str
    quantity: int
    amount_minor: int
    list_amount_minor: int
    sku: str = ""
    merchant_id: str = ""
    brand: str = ""
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shipping:
    """One shipping fee of an order, in minor units."""

    line_id: str
    amount_minor: int
    merchant_id: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it stands at checkout."""

    order_id: str
    currency_code: str
    lines: tuple[Line, ...]
    shipping: tuple[Shipping, ...] = ()
    channel: str = ""
    store_id: str = ""
    payment_method: str = ""
    group_size: int = 0


@dataclass(frozen=True, slots=True)
class Customer:
    """Who buys; an empty ``customer_id`` is a guest, ``is_new`` None is unknown."""

    customer_id: str = ""
    tier: str = ""
    segments: tuple[str, ...] = ()
    is_new: bool | None = None
    person_id: str = ""


@dataclass(frozen=True, slots=True)
class RiskContext:
    """Signals by which abuse is judged; never part of a request's identity."""

    device_id: str = ""
    network_address: str = ""
    payment_fingerprint: str = ""


GUEST = Customer()
NO_RISK_CONTEXT = RiskContext()


@dataclass(frozen=True, slots=True)
class Checkout:
    """One order with the coupons it wants to use."""

    program: str
    tokens: tuple[str, ...]
    order: Order
    customer: Customer = GUEST
    risk: RiskContext = NO_RISK_CONTEXT


def program_violations(program: str, field: str = "program") -> Iterator[Violation]:
    """Say what is wrong with a program's name: it becomes part of every ledger key."""
    if not program:
        yield Violation(field, "is required")
    elif len(program) > PROGRAM_BYTES_MAX or not _PROGRAM_ALPHABET.issuperset(program):
        yield Violation(field, f"must be 1 to {PROGRAM_BYTES_MAX} of a-z, 0-9, hyphen and underscore")


def id_violations(value: str, field: str) -> Iterator[Violation]:
    """Say what is wrong with a required id of 1 to 128 bytes."""
    if not value:
        yield Violation(field, f"is required, 1 to {TEXT_BYTES_MAX} bytes")
    else:
        yield from text_violations(value, field)


def text_violations(value: str, field: str) -> Iterator[Violation]:
    """Say what is wrong with an optional text of at most 128 bytes."""
    # Counting characters first keeps a megabyte from being encoded only to be refused.
    if len(value) > TEXT_BYTES_MAX or (not value.isascii() and len(value.encode()) > TEXT_BYTES_MAX):
        yield Violation(field, f"is longer than {TEXT_BYTES_MAX} bytes")


def checkout_violations(checkout: Checkout, *, tokens_max: int = TOKENS_MAX) -> list[Violation]:
    """Say everything that is wrong with a checkout; an empty list means it is well formed."""
    found = list(program_violations(checkout.program, "checkout.program"))
    found += _token_violations(checkout.tokens, tokens_max)
    found += _order_violations(checkout.order)
    found += _customer_violations(checkout.customer)
    risk = checkout.risk
    if risk is not NO_RISK_CONTEXT:
        found += text_violations(risk.device_id, "checkout.risk.device_id")
        found += text_violations(risk.network_address, "checkout.risk.network_address")
        found += text_violations(risk.payment_fingerprint, "checkout.risk.payment_fingerprint")
    return found


def _token_violations(tokens: tuple[str, ...], tokens_max: int) -> Iterator[Violation]:
    if not 1 <= len(tokens) <= tokens_max:
        yield Violation("checkout.tokens", f"must be 1 to {tokens_max} tokens; there are {len(tokens)}")
    elif len(tokens) > 1 and len(set(tokens)) != len(tokens):
        seen: dict[str, int] = {}
        for index, token in enumerate(tokens):
            first = seen.setdefault(token, index)
            if first != index:
                yield Violation(f"checkout.tokens[{index}]", f"is the same token as checkout.tokens[{first}]")


def _order_violations(order: Order) -> Iterator[Violation]:
    yield from id_violations(order.order_id, "checkout.order.order_id")
    code = order.currency_code
    if len(code) != _CURRENCY_LENGTH or not (code.isascii() and code.isalpha() and code.isupper()):
        yield Violation("checkout.order.currency_code", "must be an ISO 4217 code such as CNY")
    if not 1 <= len(order.lines) <= LINES_MAX:
        yield Violation("checkout.order.lines", f"must be 1 to {LINES_MAX} lines; there are {len(order.lines)}")
        return
    if len(order.shipping) > SHIPPING_MAX:
        yield Violation("checkout.order.shipping", f"must be at most {SHIPPING_MAX}")
        return
    total = list_total = 0
    seen: set[str] = set()
    for index, line in enumerate(order.lines):
        yield from _line_violations(line, index, seen)
        total += line.amount_minor
        list_total += line.list_amount_minor
    for index, fee in enumerate(order.shipping):
        yield from _shipping_violations(fee, index, seen)
        total += fee.amount_minor
    if total > MINOR_MAX or list_total > MINOR_MAX:
        yield Violation("checkout.order.lines", f"sum to more than {MINOR_MAX} minor units")
    for name in ("channel", "store_id", "payment_method"):
        yield from text_violations(getattr(order, name), f"checkout.order.{name}")
    if order.group_size < 0:
        yield Violation("checkout.order.group_size", "must not be negative")


def _line_violations(line: Line, index: int, seen: set[str]) -> Iterator[Violation]:
    field = f"checkout.order.lines[{index}]"
    yield from _line_id_violations(line.line_id, field, seen)
    if line.quantity < 1:
        yield Violation(f"{field}.quantity", "must be 1 or more; weighed goods count as 1")
    if line.amount_minor < 0:
        yield Violation(f"{field}.amount_minor", "must not be negative")
    if line.list_amount_minor < 0:
        yield Violation(f"{field}.list_amount_minor", "must not be negative")
    if line.sku or line.merchant_id or line.brand or line.categories:
        yield from text_violations(line.sku, f"{field}.sku")
        yield from text_violations(line.merchant_id, f"{field}.merchant_id")
        yield from text_violations(line.brand, f"{field}.brand")
        if len(line.categories) > CATEGORIES_MAX:
            yield Violation(f"{field}.categories", f"must be at most {CATEGORIES_MAX}")
            return
        for position, category in enumerate(line.categories):
            yield from text_violations(category, f"{field}.categories[{position}]")


def _shipping_violations(fee: Shipping, index: int, seen: set[str]) -> Iterator[Violation]:
    field = f"checkout.order.shipping[{index}]"
    yield from _line_id_violations(fee.line_id, field, seen)
    yield from text_violations(fee.merchant_id, f"{field}.merchant_id")
    yield from text_violations(fee.region, f"{field}.region")
    if fee.amount_minor < 0:
        yield Violation(f"{field}.amount_minor", "must not be negative")


def _line_id_violations(line_id: str, field: str, seen: set[str]) -> Iterator[Violation]:
    yield from id_violations(line_id, f"{field}.line_id")
    if line_id in seen:
        yield Violation(f"{field}.line_id", "is the id of an earlier line or shipping fee; ids must differ")
    seen.add(line_id)


def _customer_violations(customer: Customer) -> Iterator[Violation]:
    if customer is GUEST:
        return
    for name in ("customer_id", "tier", "person_id"):
        yield from text_violations(getattr(customer, name), f"checkout.customer.{name}")
    if len(customer.segments) > SEGMENTS_MAX:
        yield Violation("checkout.customer.segments", f"must be at most {SEGMENTS_MAX}")
        return
    for index, segment in enumerate(customer.segments):
        yield from text_violations(segment, f"checkout.customer.segments[{index}]")
