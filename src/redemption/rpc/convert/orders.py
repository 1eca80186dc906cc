"""Checkouts and decisions, from protobuf to the domain and back. This is the hot path, so nothing is done twice."""

from collections.abc import Sequence
from typing import cast

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

from redemption.domain.campaign.campaign import RESERVATION_SECONDS_MAX
from redemption.domain.campaign.campaign_checks import LATEST_MS
from redemption.domain.decision import Decision, Detail, Verdict
from redemption.domain.errors import InvalidRequest, Violation, ViolationReason, ViolationValues
from redemption.domain.order import (
    CATEGORIES_MAX,
    GUEST,
    LINES_MAX,
    NO_RISK_CONTEXT,
    QUOTED_TOKENS_MAX,
    SEGMENTS_MAX,
    Checkout,
    Customer,
    Line,
    Order,
    RiskContext,
    Shipping,
)
from redemption.domain.outcome import Disposition, Outcome
from redemption.rpc.convert.timestamps import at_ms, at_seconds, ms_from, seconds_from
from redemption.rpc.request_limits import positions_in
from redemption.service.decisions import Redeemed
from redemption.service.pending_order import RedeemRequest, ReserveRequest
from redemption.service.quoter import Quote, QuoteRequest
from redemption.service.reserver import HOLD_SECONDS
from redemption.service.reverser import Reversal
from redemption.v1 import decision_pb2, order_pb2, outcome_pb2, redemption_service_pb2

# Looked up by name: a name that the contract does not have fails at import, not when the outcome is first used.
OUTCOMES = {
    outcome: cast("outcome_pb2.Outcome", outcome_pb2.Outcome.Value(f"OUTCOME_{outcome.name}")) for outcome in Outcome
}
DISPOSITIONS = {
    disposition: cast("outcome_pb2.Disposition", outcome_pb2.Disposition.Value(f"DISPOSITION_{disposition.name}"))
    for disposition in Disposition
}


def redeem_request_from(request: redemption_service_pb2.RedeemRequest, program: str = "") -> RedeemRequest:
    """Return the request of a message whose size was checked (see ``positions_in``).

    Args:
        request: The received message.
        program: The program to use when the message names none.

    Raises:
        InvalidRequest: A list is too long.
    """
    return RedeemRequest(request.request_id, checkout_from(request.checkout, program))


def reserve_request_from(request: redemption_service_pb2.ReserveRequest) -> ReserveRequest:
    """Return the request of a message whose size was checked (see ``positions_in``).

    Raises:
        InvalidRequest: A list is too long, or the time to hold is not 1 second to 24 hours.
    """
    hold_seconds = HOLD_SECONDS
    if request.HasField("ttl"):
        hold_seconds = seconds_from(request.ttl, "ttl")
        if not 1 <= hold_seconds <= RESERVATION_SECONDS_MAX:
            problem = f"must be 1 second to 24 hours; it is {hold_seconds} seconds"
            values = ViolationValues(least=1, most=RESERVATION_SECONDS_MAX, given=hold_seconds)
            raise InvalidRequest([Violation("ttl", problem, ViolationReason.OUT_OF_RANGE, values)])
    return ReserveRequest(request.request_id, checkout_from(request.checkout), hold_seconds)


def quote_request_from(request: redemption_service_pb2.QuoteRequest) -> QuoteRequest:
    """Return the domain's request for a quote.

    Raises:
        InvalidRequest: The checkout is missing, a list is too long, or ``at`` is not a moment at which a coupon can be
            judged.
    """
    positions_in(request, tokens_max=QUOTED_TOKENS_MAX, pairs_max=QUOTED_TOKENS_MAX * LINES_MAX)
    return QuoteRequest(
        checkout_from(request.checkout),
        choose_best=request.choose_best,
        at_ms=_moment_from(request) if request.HasField("at") else None,
        with_allocations=request.with_allocations,
    )


def checkout_from(checkout: order_pb2.Checkout, program: str = "") -> Checkout:
    """Return the domain's checkout, from a message whose size was checked.

    Args:
        checkout: The received message.
        program: The program to use when the message names none.

    Raises:
        InvalidRequest: A list is too long.
    """
    return Checkout(
        checkout.program or program,
        tuple(checkout.tokens[:]),
        _order_from(checkout.order),
        customer_from(checkout.customer, "checkout.customer") if checkout.HasField("customer") else GUEST,
        risk_from(checkout.risk) if checkout.HasField("risk") else NO_RISK_CONTEXT,
    )


def write_decision(decision: Decision, message: decision_pb2.Decision, *, with_allocations: bool = True) -> None:
    """Write a decision into an empty message.

    The caller makes the message, because protobuf copies a message that is put into another one: with many lines, the
    copy takes a third of the time.
    """
    message.outcome = OUTCOMES[decision.outcome]
    message.disposition = DISPOSITIONS[decision.disposition]
    message.discount_minor = decision.discount_minor
    message.settlement = decision.settlement
    message.decide_time.seconds = decision.decided_at
    _add_verdicts(decision.verdicts, message.verdicts, with_allocations=with_allocations)


def write_quote(quote: Quote, message: redemption_service_pb2.QuoteResponse, *, with_allocations: bool) -> None:
    """Write a quote into an empty message."""
    write_decision(quote.together, message.together, with_allocations=with_allocations)
    _add_verdicts(quote.alone, message.alone, with_allocations=with_allocations)
    message.chosen.extend(quote.chosen)
    message.exhaustive = quote.exhaustive


def redemption_of(redeemed: Redeemed) -> redemption_service_pb2.Redemption:
    """Return the contract's redemption or reservation."""
    if redeemed.is_held:
        return redemption_service_pb2.Redemption(
            campaign=redeemed.receipt.campaign,
            serial=redeemed.receipt.serial,
            discount_minor=redeemed.discount_minor,
            state=redemption_service_pb2.REDEMPTION_STATE_RESERVED,
        )
    return redemption_service_pb2.Redemption(
        redemption_id=redeemed.redemption_id,
        campaign=redeemed.receipt.campaign,
        serial=redeemed.receipt.serial,
        discount_minor=redeemed.discount_minor,
        redeem_time=at_seconds(redeemed.receipt.redeemed_at),
        state=_state_of(redeemed),
        reversed_minor=redeemed.reversed_minor,
    )


def _state_of(redeemed: Redeemed) -> redemption_service_pb2.RedemptionState:
    if redeemed.is_reversed:
        return redemption_service_pb2.REDEMPTION_STATE_REVERSED
    if redeemed.reversed_minor:
        return redemption_service_pb2.REDEMPTION_STATE_PARTLY_REVERSED
    return redemption_service_pb2.REDEMPTION_STATE_REDEEMED


def reverse_response_of(reversal: Reversal) -> redemption_service_pb2.ReverseResponse:
    """Return the answer to a request to give a redemption back."""
    exceeded = reversal.exceeded
    return redemption_service_pb2.ReverseResponse(
        outcome=OUTCOMES[reversal.outcome],
        disposition=DISPOSITIONS[reversal.outcome.disposition],
        reversed_minor=reversal.reversed_minor,
        allocations=[
            decision_pb2.Allocation(
                line_id=each.line_id, amount_minor=each.amount_minor, merchant_minor=each.merchant_minor
            )
            for each in reversal.allocations
        ],
        total_reversed_minor=reversal.total_minor,
        restored=reversal.restored,
        exceeded_line_id=exceeded.line_id if exceeded else "",
        left_minor=exceeded.left_minor if exceeded else 0,
    )


# Below, arguments are positional, in the order of the domain's fields: with keywords, a line costs 50 % more. The tests
# of the conversion give every field a different value, so two swapped fields fail a test. Repeated fields are read as
# slices, because protobuf ends a loop over the field itself with an exception.


def _order_from(order: order_pb2.Order) -> Order:
    return Order(
        order.order_id,
        order.currency_code,
        tuple([_line_from(line, index) for index, line in enumerate(order.lines[:])]),
        tuple([Shipping(fee.line_id, fee.amount_minor, fee.merchant_id, fee.region) for fee in order.shipping[:]]),
        order.channel,
        order.store_id,
        order.payment_method,
        order.group_size,
    )


def _line_from(line: order_pb2.Line, index: int) -> Line:
    amount_minor, categories = line.amount_minor, line.categories
    if len(categories) > CATEGORIES_MAX:
        raise _too_many(f"checkout.order.lines[{index}].categories", CATEGORIES_MAX, len(categories))
    return Line(
        line.line_id,
        line.quantity,
        amount_minor,
        line.list_amount_minor if line.HasField("list_amount_minor") else amount_minor,
        line.sku,
        line.merchant_id,
        line.brand,
        tuple(categories[:]),
    )


def _too_many(field: str, most: int, there_are: int) -> InvalidRequest:
    return InvalidRequest([Violation(field, f"must be at most {most}; there are {there_are}")])


def _moment_from(request: redemption_service_pb2.QuoteRequest) -> int:
    at_ms = ms_from(request.at, "at")
    if not 0 <= at_ms <= LATEST_MS:
        raise InvalidRequest([Violation("at", "must lie between 1970 and 2106")])
    return at_ms


def customer_from(customer: order_pb2.Customer, field: str = "customer") -> Customer:
    """Return the domain's customer.

    Args:
        customer: The received message.
        field: The path of the message in the request.

    Raises:
        InvalidRequest: It is in too many segments.
    """
    segments = customer.segments
    if len(segments) > SEGMENTS_MAX:
        raise _too_many(f"{field}.segments", SEGMENTS_MAX, len(segments))
    return Customer(
        customer.customer_id,
        customer.tier,
        tuple(segments[:]),
        customer.is_new if customer.HasField("is_new") else None,
        customer.person_id,
    )


def risk_from(risk: order_pb2.RiskContext) -> RiskContext:
    """Return the domain's risk context."""
    return RiskContext(risk.device_id, risk.network_address, risk.payment_fingerprint)


def _add_verdicts(
    verdicts: Sequence[Verdict],
    messages: RepeatedCompositeFieldContainer[decision_pb2.TokenVerdict],
    *,
    with_allocations: bool,
) -> None:
    for index, verdict in enumerate(verdicts):
        # Field by field: with keywords it costs 50 % more. A field that is not set stays empty, as in proto3.
        message = messages.add()
        message.token_index = index
        message.outcome = OUTCOMES[verdict.outcome]
        message.disposition = DISPOSITIONS[verdict.disposition]
        message.campaign = verdict.campaign
        message.redemption_id = verdict.redemption_id
        message.discount_minor = verdict.discount_minor
        if verdict.detail is not None:
            message.detail.CopyFrom(detail_of(verdict.detail))
        if with_allocations and verdict.allocations:
            add = message.allocations.add
            for line_id, amount_minor, merchant_minor in verdict.allocations:
                part = add()
                part.line_id = line_id
                part.amount_minor = amount_minor
                part.merchant_minor = merchant_minor


def detail_of(detail: Detail) -> decision_pb2.Detail:
    """Return the contract's detail."""
    return decision_pb2.Detail(
        missing_minor=detail.missing_minor,
        missing_quantity=detail.missing_quantity,
        try_after=None if detail.try_after_ms is None else at_ms(detail.try_after_ms),
        conflicts=detail.conflicts,
        same_order=detail.same_order,
        redeem_time=None if detail.redeemed_at is None else at_seconds(detail.redeemed_at),
        hold_expire_time=None if detail.held_until is None else at_seconds(detail.held_until),
        missing_signals=detail.missing_signals,  # type: ignore[arg-type]  # the numbers are those of the contract
    )
