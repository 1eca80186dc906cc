"""How large one request may be. It is counted before it is converted, and its answer has to fit as well.

A message of the largest size can hold two million entries, and all other calls wait while one step is done.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from redemption.domain.errors import InvalidRequest, Violation
from redemption.domain.order import (
    LINES_MAX,
    SHIPPING_MAX,
    TEXT_BYTES_MAX,
    TOKENS_MAX,
    Checkout,
    Line,
    Shipping,
    positions_of,
    program_violations,
)
from redemption.domain.signed.settlement import ALLOCATIONS_MAX
from redemption.rpc.message_fields import fields_of
from redemption.scheduling.fair_slots import WorkSlot
from redemption.service.quoter import QuoteRequest
from redemption.v1 import order_pb2, redemption_service_pb2

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
"""The limit of gRPC by default, on both sides: for a batch of orders, and for an answer."""
ORDER_BYTES_MAX = 128 * 1024
"""One order, also in a batch: parsing it takes at most 3 ms, whatever is in it."""
PARSED_BYTES_MAX = 64 * 1024
"""How much of a batch is parsed in one step, which takes at most 2 ms, whatever is in it."""
ORDER_FIELDS_MAX = 1_000
"""The most fields of a request with an order, those of its checkout, and those of the order together. With 100 tokens,
500 lines and 100 fees they are about 720."""
OTHER_FIELDS_MAX = 64
"""The most fields of a batch that are not orders: the program, and fields that a newer caller may send."""
REQUEST_BYTES_MAX = 64 * 1024
"""A request that is neither an order nor a campaign."""
REVERSE_BYTES_MAX = 1024 * 1024
"""A return: the settlement of an order with ``PAIRS_MAX`` pairs fits, however long the line ids are."""

PAIRS_MAX = 5_000
"""The most pairs of token and line of one order: it is judged and answered in one step, of about 10 ms."""
QUOTED_PAIRS_MAX = 5_000
"""The most pairs in a quote with allocations; each pair is in the answer twice, in ``alone`` and in ``together``."""

BATCH_MAX = 256
BATCH_TOKENS_MAX = 1_000
BATCH_LINES_MAX = 8_000
"""The most lines and shipping fees of all orders of a batch together."""
BATCH_PAIRS_MAX = 16_000
"""The most pairs of token and line of all orders of a batch together."""

Size: TypeAlias = tuple[int, int, int]
"""The numbers of tokens, lines and shipping fees of a checkout."""

_PAIRS_SAFE = 8_000
"""This many pairs of token and line always fit into an answer, however long the line ids are."""
_PART_BYTES = 49
"""The bytes of a pair without the line id: 24 as an allocation and 25 in the settlement."""
_TOKEN_BYTES = 400
_REQUESTS = redemption_service_pb2.BatchRedeemRequest.REQUESTS_FIELD_NUMBER
_REDEEM_CHECKOUT = redemption_service_pb2.RedeemRequest.CHECKOUT_FIELD_NUMBER
_QUOTE_CHECKOUT = redemption_service_pb2.QuoteRequest.CHECKOUT_FIELD_NUMBER
_ORDER = order_pb2.Checkout.ORDER_FIELD_NUMBER
_COUNTED = {
    (1, order_pb2.Checkout.TOKENS_FIELD_NUMBER): "checkout.tokens",
    (0, order_pb2.Order.LINES_FIELD_NUMBER): "checkout.order.lines",
    (0, order_pb2.Order.SHIPPING_FIELD_NUMBER): "checkout.order.shipping",
}
"""The lists of a checkout, by how many steps of the path are left, and their field number."""


def require_batch(request: redemption_service_pb2.BatchRedeemRequest) -> int:
    """Refuse a batch that is wrong as a whole; else return how many positions have to be judged.

    Raises:
        InvalidRequest: The batch is refused, and none of its orders was handled.
    """
    items = request.requests
    if not 1 <= len(items) <= BATCH_MAX:
        raise InvalidRequest([Violation("requests", f"must be 1 to {BATCH_MAX}; there are {len(items)}")])
    violations = list(program_violations(request.program))
    tokens = lines = pairs = positions = 0
    for item in items:
        size = size_of(item.checkout)
        brought, bought, shipped = size
        tokens += brought
        if not _too_much(size, TOKENS_MAX, PAIRS_MAX):  # else the order is refused by itself, at no cost
            lines += bought + shipped
            pairs += brought * max(bought, shipped)
            positions += positions_of(brought, bought, shipped)
    for what, most, there_are in (
        ("tokens", BATCH_TOKENS_MAX, tokens),
        ("lines and shipping fees", BATCH_LINES_MAX, lines),
        ("pairs of token and line", BATCH_PAIRS_MAX, pairs),
    ):
        if there_are > most:
            problem = f"bring more than {most} {what} together: {there_are}; send them in several batches"
            violations.append(Violation("requests", problem))
    violations += _item_violations(request.program, items)
    if violations:
        raise InvalidRequest(violations)
    return positions


async def read_batch(raw: bytes, slot: WorkSlot) -> redemption_service_pb2.BatchRedeemRequest:
    """Parse a large batch order by order, with pauses in which others work.

    Raises:
        DecodeError: The bytes are not a batch.
        InvalidRequest: It has too many orders, lines or other fields, or an order that is too large; the rest was not
            parsed.
    """
    request = redemption_service_pb2.BatchRedeemRequest()
    lines = parsed = others = 0
    for field in fields_of(raw):
        if field.number != _REQUESTS or not field.is_message:
            others += 1
            if others > OTHER_FIELDS_MAX:
                problem = f"come with more than {OTHER_FIELDS_MAX} other fields; send the program once, and the orders"
                raise InvalidRequest([Violation("requests", problem)])
            request.MergeFromString(raw[field.start : field.end])
            continue
        index = len(request.requests)
        if index == BATCH_MAX:
            raise InvalidRequest([Violation("requests", f"must be 1 to {BATCH_MAX}; there are more")])
        size = field.end - field.value
        if size > ORDER_BYTES_MAX:
            problem = f"must be at most {ORDER_BYTES_MAX} bytes; it has {size}"
            raise InvalidRequest([Violation(f"requests[{index}]", problem)])
        item = request.requests.add()
        item.MergeFromString(raw[field.value : field.end])
        _, bought, shipped = size_of(item.checkout)
        lines += bought + shipped
        if lines > 2 * BATCH_LINES_MAX:  # below this, the message of ``require_batch`` has the exact number
            problem = (
                f"bring more than {BATCH_LINES_MAX} lines and shipping fees together; send them in several batches"
            )
            raise InvalidRequest([Violation("requests", problem)])
        parsed += size
        if parsed >= PARSED_BYTES_MAX:
            parsed = 0
            await slot.pause()
    return request


def count_redeem(raw: bytes) -> None:
    """Refuse a ``RedeemRequest`` whose order has too many entries, before it is parsed.

    Raises:
        DecodeError: The bytes are no message.
        InvalidRequest: It has too many.
    """
    _count_order(raw, _REDEEM_CHECKOUT)


def count_quote(raw: bytes) -> None:
    """Do the same for a ``QuoteRequest``."""
    _count_order(raw, _QUOTE_CHECKOUT)


def count_reverse(raw: bytes) -> None:
    """Refuse a ``ReverseRequest`` with too many lines, or other fields."""
    for total, _ in enumerate(fields_of(raw)):
        if total == ALLOCATIONS_MAX + OTHER_FIELDS_MAX:
            problem = f"are more than {ALLOCATIONS_MAX}; leave them out to give all back"
            raise InvalidRequest([Violation("lines", problem)])


def _count_order(raw: bytes, checkout: int) -> None:
    """Refuse an order with too many entries.

    To parse 128 KiB of empty lines takes up to 3 ms, because of the memory that they need; to count stops after 0.6 ms.
    """
    counts: Counter[str] = Counter()
    for total, field in enumerate(_fields_within(raw, (checkout, _ORDER))):
        counts[_COUNTED.get(field, "checkout")] += 1
        if counts["checkout.order.lines"] > LINES_MAX or total == ORDER_FIELDS_MAX:
            ((where, count),) = counts.most_common(1)
            raise InvalidRequest([Violation(where, f"is too much: there are {count} and more; split the order")])


def _fields_within(raw: bytes, path: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield each field of a message, and those of the messages on a path of fields: the steps left, and the number."""
    for field in fields_of(raw):
        yield len(path), field.number
        if path and field.number == path[0] and field.is_message:
            yield from _fields_within(raw[field.value : field.end], path[1:])


def positions_in(
    request: redemption_service_pb2.RedeemRequest | redemption_service_pb2.QuoteRequest,
    *,
    tokens_max: int = TOKENS_MAX,
    pairs_max: int = PAIRS_MAX,
) -> int:
    """Return how many positions the order of a request has; nothing but its lists is counted.

    Raises:
        InvalidRequest: There is no order, or it has too many tokens, lines, fees, or pairs of token and line.
    """
    if not request.HasField("checkout"):
        raise InvalidRequest([Violation("checkout", "is required")])
    if not request.checkout.HasField("order"):
        raise InvalidRequest([Violation("checkout.order", "is required")])
    size = size_of(request.checkout)
    require_size(size, tokens_max=tokens_max, pairs_max=pairs_max)
    return positions_of(*size)


def require_size(size: Size, *, tokens_max: int = TOKENS_MAX, pairs_max: int = PAIRS_MAX) -> None:
    """Refuse a checkout with no token, too many tokens, lines or fees, or too many pairs of token and line.

    Raises:
        InvalidRequest: The size is wrong; no token or line was read.
    """
    if not _too_much(size, tokens_max, pairs_max):
        return
    tokens, lines, shipping = size
    if not 1 <= tokens <= tokens_max:
        violation = Violation("checkout.tokens", f"must be 1 to {tokens_max} tokens; there are {tokens}")
    elif lines > LINES_MAX:
        violation = Violation("checkout.order.lines", f"must be at most {LINES_MAX}; there are {lines}")
    elif shipping > SHIPPING_MAX:
        violation = Violation("checkout.order.shipping", f"must be at most {SHIPPING_MAX}; there are {shipping}")
    else:
        problem = (
            f"must be at most {pairs_max // tokens} with {tokens} tokens (tokens times lines, at most {pairs_max}); "
            f"there are {max(lines, shipping)}: use fewer tokens on this order, or split it"
        )
        violation = Violation("checkout.order.lines", problem)
    raise InvalidRequest([violation])


def require_answer_fits(checkouts: Sequence[Checkout]) -> None:
    """Refuse a batch whose answer would be too large for its caller: the orders would be redeemed, the answer lost.

    Raises:
        InvalidRequest: Nothing was done.
    """
    if sum(_pairs(checkout) for checkout in checkouts) <= _PAIRS_SAFE:
        return
    if sum(_answer_bytes(checkout) for checkout in checkouts) > MESSAGE_BYTES_MAX:
        problem = "have so many tokens and lines that the answer could exceed 4 MiB; send fewer orders in one call"
        raise InvalidRequest([Violation("requests", problem)])


def require_quote_fits(request: QuoteRequest) -> None:
    """Refuse a quote whose answer would be too large for its caller, or would keep all other calls waiting.

    Raises:
        InvalidRequest: Nothing was done.
    """
    pairs = _pairs(request.checkout)
    if request.with_allocations and pairs > QUOTED_PAIRS_MAX:
        problem = (
            f"goes with at most {QUOTED_PAIRS_MAX} pairs of token and line; there are {pairs}: "
            "ask about fewer tokens at once, or leave it out"
        )
        raise InvalidRequest([Violation("with_allocations", problem)])


def _item_violations(program: str, items: Iterable[redemption_service_pb2.RedeemRequest]) -> Iterable[Violation]:
    seen: dict[str, int] = {}
    for index, item in enumerate(items):
        if item.checkout.program not in ("", program):
            yield Violation(f"requests[{index}].checkout.program", "must be the batch's program, or empty")
        # An item without an id is not compared: it gets an error of its own.
        first = seen.setdefault(item.request_id, index) if item.request_id else index
        if first != index:
            yield Violation(f"requests[{index}].request_id", f"is the same as requests[{first}].request_id")


def size_of(checkout: order_pb2.Checkout) -> Size:
    """Count a checkout's tokens, lines and shipping fees."""
    order = checkout.order
    return len(checkout.tokens), len(order.lines), len(order.shipping)


def _too_much(size: Size, tokens_max: int, pairs_max: int) -> bool:
    """Return whether a checkout is refused because of these numbers alone."""
    tokens, lines, shipping = size
    if not 1 <= tokens <= tokens_max or lines > LINES_MAX or shipping > SHIPPING_MAX:
        return True
    return tokens * max(lines, shipping) > pairs_max


def _pairs(checkout: Checkout) -> int:
    """Return how many pairs of a token and a line or fee there are; a discount is taken from lines or from fees."""
    return len(checkout.tokens) * max(len(checkout.order.lines), len(checkout.order.shipping))


def _answer_bytes(checkout: Checkout) -> int:
    """Return the most bytes that the decision on a checkout can have."""
    discount = max(_discount_bytes(checkout.order.lines), _discount_bytes(checkout.order.shipping))
    return len(checkout.tokens) * (discount + _TOKEN_BYTES)


def _discount_bytes(bearers: Sequence[Line | Shipping]) -> int:
    """Return the most bytes of one discount that falls on all of these lines or fees."""
    names = sum(min(len(bearer.line_id.encode()), TEXT_BYTES_MAX) for bearer in bearers)
    return 2 * names + _PART_BYTES * len(bearers)
