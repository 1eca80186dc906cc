"""The data of a checkout, and the checks whether it is well formed."""

from collections.abc import Iterator

from redemption.domain.currency import CURRENCY_CODES, currency_violations
from redemption.domain.errors import VIOLATIONS_MAX, Violation
from redemption.domain.record import record
from redemption.domain.risk.network import read_address

MINOR_MAX = 2**53 - 1
"""The largest sum of money, in minor units: a double (Lua's only number type) counts exactly up to this."""

LINES_MAX = 500
SHIPPING_MAX = 100
CATEGORIES_MAX = 32
SEGMENTS_MAX = 64
TEXT_BYTES_MAX = 128
_SURELY_FITS = TEXT_BYTES_MAX // 4
"""A text of this many characters fits, whatever they are: a character has at most four bytes."""
PROGRAM_BYTES_MAX = 64
TOKENS_MAX = 32
QUOTED_TOKENS_MAX = 100

_PROGRAM_ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


@record(frozen=True, slots=True)
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


@record(frozen=True, slots=True)
class Shipping:
    """One shipping fee of an order, in minor units."""

    line_id: str
    amount_minor: int
    merchant_id: str = ""
    region: str = ""


@record(frozen=True, slots=True)
class Order:
    """An order at checkout."""

    order_id: str
    currency_code: str
    lines: tuple[Line, ...]
    shipping: tuple[Shipping, ...] = ()
    channel: str = ""
    store_id: str = ""
    payment_method: str = ""
    group_size: int = 0

    @property
    def value_minor(self) -> int:
        """What is to be paid before discounts, shipping included, in minor units."""
        value = 0
        for line in self.lines:
            value += line.amount_minor
        for fee in self.shipping:
            value += fee.amount_minor
        return value


@record(frozen=True, slots=True)
class Customer:
    """The buyer; an empty ``customer_id`` means a guest, ``is_new`` None means unknown."""

    customer_id: str = ""
    tier: str = ""
    segments: tuple[str, ...] = ()
    is_new: bool | None = None
    person_id: str = ""


@record(frozen=True, slots=True)
class RiskContext:
    """Signals for judging abuse; never part of a request's identity."""

    device_id: str = ""
    network_address: str = ""
    payment_fingerprint: str = ""


GUEST = Customer()
NO_RISK_CONTEXT = RiskContext()


@record(frozen=True, slots=True)
class Checkout:
    """One order with the coupons it wants to use."""

    program: str
    tokens: tuple[str, ...]
    order: Order
    customer: Customer = GUEST
    risk: RiskContext = NO_RISK_CONTEXT


def positions_of(tokens: int, lines: int, fees: int) -> int:
    """Return the size of an order as work: its lines and shipping fees, counted once for each token."""
    return tokens * (lines + fees)


def program_violations(program: str, field: str = "program") -> Iterator[Violation]:
    """Yield what is wrong with a program's name; the name becomes part of every ledger key."""
    if not program:
        yield Violation(field, "is required")
    elif len(program) > PROGRAM_BYTES_MAX or not _PROGRAM_ALPHABET.issuperset(program):
        yield Violation(field, f"must be 1 to {PROGRAM_BYTES_MAX} of a-z, 0-9, hyphen and underscore")


def id_violations(value: str, field: str) -> Iterator[Violation]:
    """Yield what is wrong with a required id of 1 to 128 bytes."""
    if not value:
        yield Violation(field, f"is required, 1 to {TEXT_BYTES_MAX} bytes")
    else:
        yield from text_violations(value, field)


def id_fits(value: str) -> bool:
    """Whether a required id has 1 to 128 bytes."""
    return 0 < len(value) <= _SURELY_FITS or (bool(value) and _fits(value))


def text_violations(value: str, field: str) -> Iterator[Violation]:
    """Yield what is wrong with an optional text of at most 128 bytes."""
    if not _fits(value):
        yield Violation(field, f"is longer than {TEXT_BYTES_MAX} bytes")


def address_violations(value: str, field: str) -> Iterator[Violation]:
    """Yield what is wrong with an optional network address."""
    if value and _fits(value) and read_address(value) is None:
        yield Violation(field, "is no network address, for example 192.0.2.7 or 2001:db8::7; leave it out if unknown")


def _fits(text: str) -> bool:
    # Characters are counted first, so that a text of a megabyte is refused without encoding it.
    return len(text) <= TEXT_BYTES_MAX and (text.isascii() or len(text.encode()) <= TEXT_BYTES_MAX)


# The checks below run for every order, so they add to one list: a generator for each part costs several times as much.


def checkout_violations(checkout: Checkout, *, tokens_max: int = TOKENS_MAX) -> list[Violation]:
    """Return the first ``VIOLATIONS_MAX`` things that are wrong with a checkout; an empty list: it is well formed."""
    found: list[Violation] = []
    program, risk = checkout.program, checkout.risk
    if not program or len(program) > PROGRAM_BYTES_MAX or not _PROGRAM_ALPHABET.issuperset(program):
        found += program_violations(program, "checkout.program")
    _check_tokens(checkout.tokens, tokens_max, found)
    _check_order(checkout.order, found)
    if checkout.customer is not GUEST:
        _check_customer(checkout.customer, found)
    if risk is not NO_RISK_CONTEXT:
        _check_text(risk.device_id, "checkout.risk.device_id", found)
        _check_text(risk.network_address, "checkout.risk.network_address", found)
        if risk.network_address:
            found += address_violations(risk.network_address, "checkout.risk.network_address")
        _check_text(risk.payment_fingerprint, "checkout.risk.payment_fingerprint", found)
    return found[:VIOLATIONS_MAX]


def _check_text(value: str, field: str, found: list[Violation]) -> None:
    if value and not _fits(value):
        found += text_violations(value, field)


def _check_tokens(tokens: tuple[str, ...], tokens_max: int, found: list[Violation]) -> None:
    if not 1 <= len(tokens) <= tokens_max:
        found.append(Violation("checkout.tokens", f"must be 1 to {tokens_max} tokens; there are {len(tokens)}"))
    elif len(tokens) > 1 and len(set(tokens)) != len(tokens):
        seen: dict[str, int] = {}
        for index, token in enumerate(tokens):
            first = seen.setdefault(token, index)
            if first != index:
                problem = f"is the same token as checkout.tokens[{first}]"
                found.append(Violation(f"checkout.tokens[{index}]", problem))


def _check_order(order: Order, found: list[Violation]) -> None:
    lines, shipping, code = order.lines, order.shipping, order.currency_code
    if not id_fits(order.order_id):
        found += id_violations(order.order_id, "checkout.order.order_id")
    if code not in CURRENCY_CODES:
        found += currency_violations(code, "checkout.order.currency_code")
    if not 1 <= len(lines) <= LINES_MAX:
        found.append(Violation("checkout.order.lines", f"must be 1 to {LINES_MAX} lines; there are {len(lines)}"))
        return
    if len(shipping) > SHIPPING_MAX:
        found.append(Violation("checkout.order.shipping", f"must be at most {SHIPPING_MAX}"))
        return
    total = list_total = 0
    seen: set[str] = set()
    for index, line in enumerate(lines):
        _check_line(line, index, seen, found)
        if len(found) >= VIOLATIONS_MAX:
            return
        total += line.amount_minor
        list_total += line.list_amount_minor
    for index, fee in enumerate(shipping):
        _check_shipping(fee, index, seen, found)
        total += fee.amount_minor
    if total > MINOR_MAX or list_total > MINOR_MAX:
        found.append(Violation("checkout.order.lines", f"sum to more than {MINOR_MAX} minor units"))
    if order.channel or order.store_id or order.payment_method or order.group_size:
        _check_circumstances(order, found)


def _check_circumstances(order: Order, found: list[Violation]) -> None:
    _check_text(order.channel, "checkout.order.channel", found)
    _check_text(order.store_id, "checkout.order.store_id", found)
    _check_text(order.payment_method, "checkout.order.payment_method", found)
    if order.group_size < 0:
        found.append(Violation("checkout.order.group_size", "must not be negative"))


def _check_line(line: Line, index: int, seen: set[str], found: list[Violation]) -> None:
    line_id = line.line_id
    if not line_id or (len(line_id) > _SURELY_FITS and not _fits(line_id)) or line_id in seen:
        _refuse_line_id(line_id, f"checkout.order.lines[{index}]", seen, found)
    seen.add(line_id)
    if line.quantity < 1:
        problem = "must be 1 or more; weighed goods count as 1"
        found.append(Violation(f"checkout.order.lines[{index}].quantity", problem))
    if line.amount_minor < 0:
        found.append(Violation(f"checkout.order.lines[{index}].amount_minor", "must not be negative"))
    if line.list_amount_minor < 0 and line.list_amount_minor != line.amount_minor:  # not sent, it is amount_minor
        found.append(Violation(f"checkout.order.lines[{index}].list_amount_minor", "must not be negative"))
    if len(line.sku) > _SURELY_FITS and not _fits(line.sku):
        found += text_violations(line.sku, f"checkout.order.lines[{index}].sku")
    if len(line.merchant_id) > _SURELY_FITS and not _fits(line.merchant_id):
        found += text_violations(line.merchant_id, f"checkout.order.lines[{index}].merchant_id")
    if len(line.brand) > _SURELY_FITS and not _fits(line.brand):
        found += text_violations(line.brand, f"checkout.order.lines[{index}].brand")
    if line.categories:
        _check_categories(line.categories, f"checkout.order.lines[{index}].categories", found)


def _check_categories(categories: tuple[str, ...], field: str, found: list[Violation]) -> None:
    if len(categories) > CATEGORIES_MAX:
        found.append(Violation(field, f"must be at most {CATEGORIES_MAX}"))
        return
    for position, category in enumerate(categories):
        if not _fits(category):
            found += text_violations(category, f"{field}[{position}]")


def _check_shipping(fee: Shipping, index: int, seen: set[str], found: list[Violation]) -> None:
    line_id, field = fee.line_id, f"checkout.order.shipping[{index}]"
    if not line_id or not _fits(line_id) or line_id in seen:
        _refuse_line_id(line_id, field, seen, found)
    seen.add(line_id)
    _check_text(fee.merchant_id, f"{field}.merchant_id", found)
    _check_text(fee.region, f"{field}.region", found)
    if fee.amount_minor < 0:
        found.append(Violation(f"{field}.amount_minor", "must not be negative"))


def _refuse_line_id(line_id: str, field: str, seen: set[str], found: list[Violation]) -> None:
    found += id_violations(line_id, f"{field}.line_id")
    if line_id in seen:
        problem = "is the id of an earlier line or shipping fee; ids must differ"
        found.append(Violation(f"{field}.line_id", problem))


def _check_customer(customer: Customer, found: list[Violation]) -> None:
    if len(customer.customer_id) > _SURELY_FITS:
        _check_text(customer.customer_id, "checkout.customer.customer_id", found)
    if customer.tier or customer.person_id:
        _check_text(customer.tier, "checkout.customer.tier", found)
        _check_text(customer.person_id, "checkout.customer.person_id", found)
    if len(customer.segments) > SEGMENTS_MAX:
        found.append(Violation("checkout.customer.segments", f"must be at most {SEGMENTS_MAX}"))
        return
    for index, segment in enumerate(customer.segments):
        _check_text(segment, f"checkout.customer.segments[{index}]", found)
