"""How much one call may ask: the items of a batch, and an answer that the caller's gRPC will still take."""

from collections.abc import Iterable, Sequence

from redemption.domain.errors import InvalidRequest, Violation
from redemption.domain.order import (
    LINES_MAX,
    TEXT_BYTES_MAX,
    TOKENS_MAX,
    Checkout,
    Line,
    Shipping,
    program_violations,
)
from redemption.service.quoter import Question
from redemption.v1 import redemption_service_pb2

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
"""What gRPC takes by default, on either side."""

BATCH_MAX = 256
BATCH_TOKENS_MAX = 1_000
QUOTED_PARTS_MAX = 12_000
"""So many pairs of token and line fit into a quote, each told twice, alone and together, however long the names are."""

_PARTS_SAFE = 8_000
"""So many pairs of token and line fit, however long their names are."""
_PART_BYTES = 41
"""What a pair takes beside the line's name, as an allocation (24) and again in the settlement (17)."""
_TOKEN_BYTES = 400


def require_batch(request: redemption_service_pb2.BatchRedeemRequest) -> None:
    """Refuse a batch that is wrong as a whole.

    Raises:
        InvalidRequest: None of its items was looked at.
    """
    items = request.requests
    if not 1 <= len(items) <= BATCH_MAX:
        raise InvalidRequest([Violation("requests", f"must be 1 to {BATCH_MAX}; there are {len(items)}")])
    tokens = sum(len(item.checkout.tokens) for item in items)
    violations = list(program_violations(request.program))
    if tokens > BATCH_TOKENS_MAX:
        problem = f"bring more than {BATCH_TOKENS_MAX} tokens together: {tokens}; send them in several batches"
        violations.append(Violation("requests", problem))
    violations += _item_violations(request.program, items)
    if violations:
        raise InvalidRequest(violations)


def require_answer_fits(checkouts: Sequence[Checkout]) -> None:
    """Refuse orders whose decisions would be too large to be received: they would be redeemed and never heard of.

    Raises:
        InvalidRequest: Nothing was done.
    """
    if sum(_parts(checkout) for checkout in checkouts) <= _PARTS_SAFE:
        return
    if sum(_answer_bytes(checkout) for checkout in checkouts if _may_be_approved(checkout)) > MESSAGE_BYTES_MAX:
        problem = "have so many tokens and lines that the answer could exceed 4 MiB; send fewer orders in one call"
        raise InvalidRequest([Violation("requests" if len(checkouts) > 1 else "checkout.order.lines", problem)])


def require_quote_fits(question: Question) -> None:
    """Refuse a question whose answer would be too large to be received, or would keep everybody else waiting.

    Raises:
        InvalidRequest: Nothing was done.
    """
    parts = _parts(question.checkout)
    if question.with_allocations and parts > QUOTED_PARTS_MAX:
        problem = (
            f"goes with at most {QUOTED_PARTS_MAX} pairs of token and line; there are {parts}: "
            "ask about fewer tokens at once, or leave it out"
        )
        raise InvalidRequest([Violation("with_allocations", problem)])


def _item_violations(program: str, items: Iterable[redemption_service_pb2.RedeemRequest]) -> Iterable[Violation]:
    seen: dict[str, int] = {}
    for index, item in enumerate(items):
        if item.checkout.program not in ("", program):
            yield Violation(f"requests[{index}].checkout.program", "must be the batch's program, or empty")
        # Without an id an item is malformed by itself, and gets its own error.
        first = seen.setdefault(item.request_id, index) if item.request_id else index
        if first != index:
            yield Violation(f"requests[{index}].request_id", f"is the same as requests[{first}].request_id")


def _may_be_approved(checkout: Checkout) -> bool:
    """Tell malformed orders apart: they are refused by themselves, briefly, and must not hurt their neighbours."""
    return len(checkout.tokens) <= TOKENS_MAX and len(checkout.order.lines) <= LINES_MAX


def _parts(checkout: Checkout) -> int:
    """Return into how many parts the discounts can fall: each is taken from lines, or from shipping fees."""
    return len(checkout.tokens) * max(len(checkout.order.lines), len(checkout.order.shipping))


def _answer_bytes(checkout: Checkout) -> int:
    """Return what the decision on a checkout takes at most."""
    discount = max(_discount_bytes(checkout.order.lines), _discount_bytes(checkout.order.shipping))
    return len(checkout.tokens) * (discount + _TOKEN_BYTES)


def _discount_bytes(bearers: Sequence[Line | Shipping]) -> int:
    """Return what a discount takes at most that falls on all of these."""
    names = sum(min(len(bearer.line_id.encode()), TEXT_BYTES_MAX) for bearer in bearers)
    return 2 * names + _PART_BYTES * len(bearers)
