"""RedemptionService: what a checkout calls."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeAlias

from redemption.domain.call_info import CallInfo
from redemption.domain.decision import Decision
from redemption.domain.errors import InvalidRequest, LedgerUnavailable, ServiceError, Violation
from redemption.domain.order import id_violations, program_violations
from redemption.rpc.convert.orders import (
    DISPOSITIONS,
    OUTCOMES,
    quote_request_from,
    redeem_request_from,
    redemption_of,
    reserve_request_from,
    reverse_response_of,
    write_decision,
    write_quote,
)
from redemption.rpc.guard import Gathered, PendingCall, Unary
from redemption.rpc.request_limits import (
    MESSAGE_BYTES_MAX,
    ORDER_BYTES_MAX,
    PARSED_BYTES_MAX,
    REQUEST_BYTES_MAX,
    REVERSE_BYTES_MAX,
    count_quote,
    count_redeem,
    count_reverse,
    positions_in,
    read_batch,
    require_answer_fits,
    require_batch,
    require_quote_fits,
)
from redemption.rpc.status import code_of, duration
from redemption.scheduling.fair_slots import NO_SLOT, FairSlots
from redemption.scheduling.work_bounds import (
    BATCH_PARSING,
    LARGE_BATCH_POSITIONS,
    LARGE_BATCHES,
    LARGE_ORDER_POSITIONS,
    LARGE_ORDERS,
    LARGE_SETTLEMENT_BYTES,
    WorkBounds,
)
from redemption.service.pending_order import RedeemRequest
from redemption.service.reserver import ConfirmRequest, ReleaseRequest
from redemption.service.reverser import ReverseRequest
from redemption.service.use_cases import UseCases
from redemption.v1 import redemption_service_pb2 as messages

RequestFrom: TypeAlias = Callable[[Any], RedeemRequest]
"""Returns the request of a message."""
Response: TypeAlias = type[messages.RedeemResponse | messages.ReserveResponse]
_CALLER_LEFT = LedgerUnavailable("its caller left before it was looked at")


class RedemptionServicer:
    """Answers RedemptionService."""

    def __init__(self, use_cases: UseCases, bounds: WorkBounds) -> None:
        self._redeemer = use_cases.redeemer
        self._reserver = use_cases.reserver
        self._reverser = use_cases.reverser
        self._finder = use_cases.finder
        self._quoter = use_cases.quoter
        self._orders = FairSlots(LARGE_ORDERS, waiting_max=bounds.large_waiting_max)
        self._batches = FairSlots(LARGE_BATCHES, waiting_max=bounds.large_waiting_max)
        self._parsing = FairSlots(BATCH_PARSING, waiting_max=bounds.large_waiting_max)
        self._tasks: set[asyncio.Task[None]] = set()

    def methods(self) -> Mapping[str, Unary | Gathered]:
        """Return the methods that this version answers, by their names in the contract."""
        return {
            "Redeem": Gathered(messages.RedeemRequest, self.redeem, ORDER_BYTES_MAX, count=count_redeem),
            "BatchRedeem": Unary(
                messages.BatchRedeemRequest,
                self.batch_redeem,
                MESSAGE_BYTES_MAX,
                read=self._read_batch,
                parsed_bytes_max=PARSED_BYTES_MAX,
            ),
            "Quote": Unary(messages.QuoteRequest, self.quote, ORDER_BYTES_MAX, count=count_quote),
            "Reserve": Gathered(messages.ReserveRequest, self.reserve, ORDER_BYTES_MAX, count=count_redeem),
            "Confirm": Unary(messages.ConfirmRequest, self.confirm, REQUEST_BYTES_MAX),
            "Release": Unary(messages.ReleaseRequest, self.release, REQUEST_BYTES_MAX),
            "Reverse": Unary(messages.ReverseRequest, self.reverse, REVERSE_BYTES_MAX, count=count_reverse),
            "GetRedemption": Unary(messages.GetRedemptionRequest, self.get_redemption, REQUEST_BYTES_MAX),
        }

    def redeem(self, calls: Sequence[PendingCall]) -> None:
        """Redeem each of these orders by itself: use all of its tokens, or none."""
        self._begin(calls, redeem_request_from, messages.RedeemResponse)

    def reserve(self, calls: Sequence[PendingCall]) -> None:
        """Reserve each of these orders by itself: hold all of its tokens, or none."""
        self._begin(calls, reserve_request_from, messages.ReserveResponse)

    def _begin(self, calls: Sequence[PendingCall], request_from: RequestFrom, response: Response) -> None:
        orders = []
        for call in calls:
            try:
                if call.info.gone:
                    call.fail(_CALLER_LEFT)
                elif positions_in(call.request) < LARGE_ORDER_POSITIONS:
                    orders.append((request_from(call.request), call.info, partial(_answer, call, response)))
                else:
                    self._begin_large(call, request_from, response)
            except Exception as error:  # noqa: BLE001 - a failure of one call must not affect the others
                call.fail(error)
        if orders:
            self._redeemer.redeem(orders)

    def _begin_large(self, call: PendingCall, request_from: RequestFrom, response: Response) -> None:
        call.leave_short_line()  # it may be short in bytes, but it is long work
        task = asyncio.get_running_loop().create_task(self._decide_large(call, request_from, response))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _decide_large(self, call: PendingCall, request_from: RequestFrom, response: Response) -> None:
        """Redeem or reserve a large order once it has a slot."""
        try:
            async with self._orders.slot(call.info.deadline) as slot:
                if call.info.gone:
                    call.fail(_CALLER_LEFT)
                    return
                orders = [request_from(call.request)]
                (result,) = await self._redeemer.redeem_all(call.info, orders, slot)
                _answer(call, response, result)
        except Exception as error:  # noqa: BLE001 - the task ends here; nobody else could answer the call
            call.fail(error)

    async def _read_batch(self, raw: bytes, info: CallInfo) -> messages.BatchRedeemRequest:
        """Parse a large batch."""
        async with self._parsing.slot(info.deadline) as slot:
            return await read_batch(raw, slot)

    async def batch_redeem(self, request: messages.BatchRedeemRequest, info: CallInfo) -> messages.BatchRedeemResponse:
        """Redeem many orders, each independently of the others."""
        positions = require_batch(request)
        slots = self._batches.slot(info.deadline) if positions >= LARGE_BATCH_POSITIONS else nullcontext(NO_SLOT)
        async with slots as slot:
            opened = []
            for item in request.requests:
                opened.append(_opened(item, request.program))
                if slot.count(len(item.checkout.order.lines)):
                    await slot.pause()
            valid = [each for each in opened if isinstance(each, RedeemRequest)]
            require_answer_fits([each.checkout for each in valid])
            results = iter(await self._redeemer.redeem_all(info, valid, slot))
            response = messages.BatchRedeemResponse()
            for index, each in enumerate(opened):
                if isinstance(each, RedeemRequest):
                    _add_result(response, next(results), index)
                    if slot.count(each.positions):
                        await slot.pause()
                else:
                    _add_result(response, each, index)
            return response

    async def quote(self, request: messages.QuoteRequest, info: CallInfo) -> messages.QuoteResponse:
        """Return what Redeem would answer, without using anything."""
        quote_request = quote_request_from(request)
        require_quote_fits(quote_request)
        quote = await self._quoter.quote(info, quote_request)
        response = messages.QuoteResponse()
        write_quote(quote, response, with_allocations=quote_request.with_allocations)
        return response

    async def confirm(self, request: messages.ConfirmRequest, info: CallInfo) -> messages.ConfirmResponse:
        """Use the coupons that a reservation holds."""
        asked = ConfirmRequest(request.program, request.request_id, request.reservation_id, request.reacquire)
        response = messages.ConfirmResponse()
        write_decision(await self._reserver.confirm(info, asked), response.decision)
        return response

    async def release(self, request: messages.ReleaseRequest, info: CallInfo) -> messages.ReleaseResponse:
        """Give a reservation up."""
        asked = ReleaseRequest(request.program, request.request_id, request.reservation_id)
        outcome = await self._reserver.release(info, asked)
        return messages.ReleaseResponse(outcome=OUTCOMES[outcome], disposition=DISPOSITIONS[outcome.disposition])

    async def reverse(self, request: messages.ReverseRequest, info: CallInfo) -> messages.ReverseResponse:
        """Give a redemption back, wholly or in part."""
        asked = ReverseRequest(
            request.program,
            request.request_id,
            request.order_id,
            request.redemption_id,
            request.settlement,
            tuple(
                (line.line_id, line.amount_minor if line.HasField("amount_minor") else None) for line in request.lines
            ),
            request.unpaid,
        )
        is_large = len(request.settlement) > LARGE_SETTLEMENT_BYTES
        async with self._orders.slot(info.deadline) if is_large else nullcontext():
            return reverse_response_of(await self._reverser.reverse(info, asked))

    async def get_redemption(
        self, request: messages.GetRedemptionRequest, info: CallInfo
    ) -> messages.GetRedemptionResponse:
        """Return what was approved in an attempt, or one redemption by its receipt."""
        violations = list(program_violations(request.program))
        lookup = request.WhichOneof("lookup")
        if lookup is None:
            violations.append(Violation("request_id", "is required, or redemption_id: by what to look"))
        elif lookup == "request_id":
            violations += id_violations(request.request_id, "request_id")
        elif not request.redemption_id:
            violations.append(Violation("redemption_id", "is required: the receipt"))
        if violations:
            raise InvalidRequest(violations)
        if lookup == "request_id":
            found = await self._finder.by_request(info, request.program, request.request_id)
        else:
            found = [await self._finder.by_receipt(info, request.program, request.redemption_id)]
        return messages.GetRedemptionResponse(redemptions=[redemption_of(redeemed) for redeemed in found])


def _answer(call: PendingCall, kind: Response, result: Decision | ServiceError) -> None:
    """Answer a call with the result of its order."""
    try:
        if isinstance(result, ServiceError):
            call.fail(result)
            return
        response = kind()
        write_decision(result, response.decision)
        if result.reservation_id:
            response.reservation_id = result.reservation_id  # type: ignore[union-attr]  # only Reserve has such results
            response.expire_time.seconds = result.held_until  # type: ignore[union-attr]
        call.answer(response)
    except Exception as error:  # noqa: BLE001 - a failure of one answer must not affect the others
        call.fail(error)


def _add_result(response: messages.BatchRedeemResponse, result: Decision | ServiceError, index: int) -> None:
    """Add the result of one order of a batch."""
    if isinstance(result, ServiceError):
        response.results.add(error=_item_error(result, index))
    else:
        write_decision(result, response.results.add().decision)


def _opened(item: messages.RedeemRequest, program: str) -> RedeemRequest | InvalidRequest:
    try:
        positions_in(item)
        return redeem_request_from(item, program)
    except InvalidRequest as error:
        return error.with_traceback(None)  # the frames in it keep the whole request in memory


def _item_error(error: ServiceError, index: int) -> messages.BatchRedeemError:
    field = f"requests[{index}].{error.violations[0].field}" if isinstance(error, InvalidRequest) else ""
    wait = error.retry_after_seconds
    return messages.BatchRedeemError(
        code=code_of(error),
        reason=error.reason,
        message=error.message,
        field=field,
        retry_after=None if wait is None else duration(wait),
    )
