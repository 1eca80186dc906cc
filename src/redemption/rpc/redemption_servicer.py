"""RedemptionService: what a checkout calls."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from redemption.domain.decision import Decision
from redemption.domain.errors import InvalidRequest, ServiceError, Violation
from redemption.domain.order import TOKENS_MAX, id_violations, program_violations
from redemption.domain.ports import Caller
from redemption.rpc.batch import PARTS_MAX, require_answer_fits, require_batch, require_checkout, require_quote_fits
from redemption.rpc.call import CallContext, deadline_of, principal_of
from redemption.rpc.convert import attempt_from, question_from, redemption_of, write_decision, write_quote
from redemption.rpc.crowd import Busyness, Call, Crowd
from redemption.rpc.guard import Unary
from redemption.rpc.status import code_of, duration
from redemption.service.pace import Pace, Turn
from redemption.service.quoter import Quoter
from redemption.service.redeemer import Attempt, Redeemer
from redemption.v1 import redemption_service_pb2 as messages

LARGE_ORDER = 200
"""Positions (lines and fees, for each token) from which on an order waits for its turn: 0.6 ms of work."""
LARGE_BATCH = 1_000
"""Positions from which on a batch does."""
HANDING_OVER_SECONDS = 0.001
"""Before a large order is worked on, gRPC hands over some of the calls that came after it: it does one in each turn of
the event loop, and if each of these turns did the work of a large order, small calls would wait for all before them."""
LARGE_WAITING_MAX = 256
"""Large orders, and large batches, that may wait for their turn: they hold places among all calls meanwhile."""
REST = 4
"""While others are busy, so many times the time of working on large orders is left to them."""


class RedemptionServicer:
    """Answers RedemptionService."""

    def __init__(self, redeemer: Redeemer, quoter: Quoter, busyness: Busyness) -> None:
        self._redeemer = redeemer
        self._crowd = Crowd(self._answer, busyness)
        self._quoter = quoter
        # One is at work while the other waits for the ledger. Apart: a checkout must not wait behind batches.
        self._orders = Pace(at_once=2, rest=REST, waiting_max=LARGE_WAITING_MAX)
        self._batches = Pace(at_once=2, rest=REST, waiting_max=LARGE_WAITING_MAX)

    def methods(self) -> Mapping[str, Unary]:
        """Return what this version answers, by the names of the contract."""
        return {
            "Redeem": Unary(messages.RedeemRequest, self.redeem),
            "BatchRedeem": Unary(messages.BatchRedeemRequest, self.batch_redeem),
            "Quote": Unary(messages.QuoteRequest, self.quote),
            "GetRedemption": Unary(messages.GetRedemptionRequest, self.get_redemption),
        }

    async def redeem(self, request: messages.RedeemRequest, context: CallContext) -> messages.RedeemResponse:
        """Use all tokens of an order, or none."""
        tokens, order = len(request.checkout.tokens), request.checkout.order
        positions = tokens * (len(order.lines) + len(order.shipping))
        answer: asyncio.Future[messages.RedeemResponse] = asyncio.get_running_loop().create_future()
        caller = Caller(deadline_of(context))
        call = Call(request, tokens, positions, principal_of(context), caller, answer)
        if positions < LARGE_ORDER:
            return await self._crowd.answer(call)
        require_checkout(request.checkout, tokens_max=TOKENS_MAX, parts_max=PARTS_MAX)  # no turn for what is too large
        async with self._orders.turn(caller.deadline) as turn:
            await asyncio.sleep(HANDING_OVER_SECONDS)
            turn.resume()
            await self._answer([call], turn)
        return await answer

    async def _answer(self, calls: Sequence[Call], turn: Turn | None = None) -> None:
        """Answer calls of one principal and program; what is wrong with one of them is told to its caller alone."""
        asked: list[Call] = []
        attempts: list[Attempt] = []
        for call in calls:
            try:
                attempts.append(attempt_from(call.request))
                asked.append(call)
            except Exception as error:  # noqa: BLE001 - one call's defect is its own; its guard logs and tells it
                _fail(call, error)
        if asked:
            await self._redeemer.redeem_each(
                asked[0].principal,
                attempts[0].checkout.program,
                attempts,
                [call.caller for call in asked],
                lambda position, result: _tell(asked[position], result),
                turn=turn,
            )

    async def batch_redeem(
        self, request: messages.BatchRedeemRequest, context: CallContext
    ) -> messages.BatchRedeemResponse:
        """Redeem many orders, each by itself."""
        positions = require_batch(request)
        pace, deadline = self._batches, deadline_of(context)
        async with pace.turn(deadline) if positions >= LARGE_BATCH else nullcontext() as turn:
            return await self._batch_redeem(request, context, turn)

    async def _batch_redeem(
        self, request: messages.BatchRedeemRequest, context: CallContext, turn: Turn | None
    ) -> messages.BatchRedeemResponse:
        opened = []
        for item in request.requests:
            opened.append(_opened(item, request.program))
            if turn is not None:
                await turn.after(len(item.checkout.order.lines))
        attempts = [attempt for attempt in opened if isinstance(attempt, Attempt)]
        require_answer_fits([attempt.checkout for attempt in attempts])
        answers = iter(
            await self._redeemer.redeem_all(
                principal_of(context), request.program, attempts, deadline=deadline_of(context), turn=turn
            )
        )
        response = messages.BatchRedeemResponse()
        for index, attempt in enumerate(opened):
            result = next(answers) if isinstance(attempt, Attempt) else attempt
            if isinstance(result, ServiceError):
                response.results.add(error=_item_error(result, index))
            else:
                write_decision(result, response.results.add().decision)
            if turn is not None and isinstance(attempt, Attempt):
                await turn.after(attempt.positions)
        return response

    async def quote(self, request: messages.QuoteRequest, context: CallContext) -> messages.QuoteResponse:
        """Say what Redeem would answer, without using anything."""
        question = question_from(request)
        require_quote_fits(question)
        quoted = await self._quoter.quote(question, deadline=deadline_of(context))
        response = messages.QuoteResponse()
        write_quote(quoted, response, with_allocations=question.with_allocations)
        return response

    async def get_redemption(
        self, request: messages.GetRedemptionRequest, context: CallContext
    ) -> messages.GetRedemptionResponse:
        """Tell what became of an attempt or of a redemption."""
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
            found = await self._redeemer.find_by_request(principal_of(context), request.program, request.request_id)
        else:
            found = [await self._redeemer.find_by_receipt(request.program, request.redemption_id)]
        return messages.GetRedemptionResponse(redemptions=[redemption_of(redeemed) for redeemed in found])


def _tell(call: Call, result: Decision | ServiceError) -> None:
    """Give a caller the answer, or the failure."""
    if call.answer.done():
        return  # the caller left
    if isinstance(result, ServiceError):
        _fail(call, result)
        return
    response = messages.RedeemResponse()
    try:
        write_decision(result, response.decision)
    except Exception as error:  # noqa: BLE001 - one answer's defect is its own; the caller's guard logs and tells it
        _fail(call, error)
    else:
        call.answer.set_result(response)


def _fail(call: Call, error: Exception) -> None:
    if not call.answer.done():
        call.answer.set_exception(error.with_traceback(None))  # its frames hold the whole request


def _opened(item: messages.RedeemRequest, program: str) -> Attempt | InvalidRequest:
    try:
        return attempt_from(item, program)
    except InvalidRequest as error:
        return error.with_traceback(None)  # its frames hold the whole request


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
