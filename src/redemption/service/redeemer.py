"""Redeeming and reserving: verify the tokens, judge the order on cached campaigns, let the ledger decide.

Every order takes this way, with one round trip to the ledger. When the ledger replies that a judgement is outdated, the
order is judged again, ``ROUNDS_MAX`` times in total at most (``judging_rounds.py``).
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace

import structlog

from redemption.domain.call_info import CallInfo
from redemption.domain.campaign.calendar import Days
from redemption.domain.decision import Decision
from redemption.domain.errors import InvalidRequest, ItemFailed, ServiceError
from redemption.domain.judging.eligibility import Coupon
from redemption.domain.judging.stacking import Judgement, judge, judge_steps
from redemption.domain.order import checkout_violations, id_fits, id_violations
from redemption.domain.outcome import NEVER_ISSUED_RANK, Outcome
from redemption.domain.ports.ledger import Ledger
from redemption.domain.ports.orders import Approved, Failed, Held, JudgedToken, RedeemReply, Refused, Remembered
from redemption.domain.risk.assessment import NO_ACTIVE_RULES, NO_CHECKS
from redemption.domain.signed.digest import DigestKind, Digests
from redemption.domain.signed.token import VerifiedToken
from redemption.scheduling.fair_slots import NO_SLOT, NoSlot, WorkSlot
from redemption.service.coupon_reader import CouponReader, assess_order, current_rules
from redemption.service.dead_coupons import judged_without_dead
from redemption.service.decisions import DecisionWriter, HoldOfOrder, invalid_tokens
from redemption.service.earlier_content import earlier_checkout_content
from redemption.service.guessing import Guessing
from redemption.service.idempotency import canonical_positions, checkout_content, terms_of
from redemption.service.order_rounds import CALLER_LEFT, OrderRounds
from redemption.service.pending_order import (
    OnResult,
    PendingOrder,
    RedeemRequest,
    ReserveRequest,
    Submission,
    hand_over,
)
from redemption.service.risk_reports import REFUSED_BY_RULES, RuleReports, people_of, try_after_ms

_SINGLE = (0,)
"""The ledger's order of a single token."""
_UNREADABLE = "a record of this coupon or its campaign cannot be read; nothing was done, its operator has to look"
_DEFECT = "this order met a defect of the server; nothing was done, its operator has to look"
_log = structlog.get_logger(__name__)


class Redeemer:
    """Redeems orders of all programs, or reserves their coupons."""

    def __init__(
        self,
        *,
        reader: CouponReader,
        digests: Digests,
        decisions: DecisionWriter,
        guessing: Guessing,
        ledger: Ledger,
        rule_reports: RuleReports,
    ) -> None:
        self._reader = reader
        self._guessing = guessing
        self._rule_reports = rule_reports
        self._digests = digests
        self._decisions = decisions
        self._orders = ledger.orders
        self._campaigns = ledger.campaigns
        self._rules = ledger.rules
        self._attempts = ledger.attempts
        self._ledger = ledger
        self._days = Days()
        self._rounds = OrderRounds(self)

    def redeem(self, submissions: Iterable[Submission]) -> None:
        """Redeem or reserve orders, see ``OrderRounds.begin``."""
        self._rounds.begin(submissions)

    async def redeem_all(
        self, caller: CallInfo, requests: Sequence[RedeemRequest], slot: WorkSlot | NoSlot = NO_SLOT
    ) -> list[Decision | ServiceError]:
        """Redeem or reserve orders for one caller, see ``OrderRounds.run_all``."""
        return await self._rounds.run_all(caller, requests, slot)

    def open(
        self,
        asked: RedeemRequest,
        caller: CallInfo,
        on_result: OnResult,
        on_reply: Callable[[PendingOrder, RedeemReply | ServiceError], None],
    ) -> PendingOrder | None:
        """Do the checks that need neither campaign nor ledger; an order that ends here gets its result."""
        try:
            opened = self._opened(asked, caller, on_result, on_reply)
        except ServiceError as error:
            opened = error
        except Exception:  # noqa: BLE001 - logged with its traceback; it must not affect other orders
            _log.exception("an order cannot be read", program=asked.checkout.program)
            opened = ItemFailed(_DEFECT)
        if isinstance(opened, PendingOrder):
            return opened
        hand_over(on_result, opened)
        return None

    def _opened(
        self,
        asked: RedeemRequest,
        caller: CallInfo,
        on_result: OnResult,
        on_reply: Callable[[PendingOrder, RedeemReply | ServiceError], None],
    ) -> PendingOrder | Decision | ServiceError:
        if caller.gone:
            return CALLER_LEFT
        checkout = asked.checkout
        violations = checkout_violations(checkout)
        if not id_fits(asked.request_id):
            violations = [*id_violations(asked.request_id, "request_id"), *violations]
        if violations:
            return InvalidRequest(violations)
        found = self._reader.tokens(checkout)
        tokens = [token for token in found if token is not None]
        if len(tokens) < len(found):
            failed = len(found) - len(tokens)
            waits_until_ms = self._guessing.tokens_failed(
                caller, checkout.program, checkout.customer, checkout.risk, failed
            )
            genuine = [token is not None for token in found]
            return invalid_tokens(genuine, self._ledger.now_ms() // 1000, waits_until_ms)
        ledger_order: Sequence[int] = _SINGLE
        if len(tokens) > 1:
            ledger_order = sorted(range(len(tokens)), key=lambda index: _ledger_key(tokens[index]))
        operation = "reserve" if isinstance(asked, ReserveRequest) else "redeem"
        lines, fees = checkout.order.lines, checkout.order.shipping
        positions = canonical_positions(checkout.order) if len(lines) > 1 or len(fees) > 1 else None
        content = checkout_content(operation, checkout, positions)
        return PendingOrder(
            asked,
            caller,
            on_result,
            verified=tokens,
            ledger_order=ledger_order,
            positions=positions,
            digests=self._digests.for_program(checkout.program).of_order(
                caller.principal, asked.request_id, content, checkout.order.order_id, checkout.customer.customer_id
            ),
            on_reply=on_reply,
        )

    def take_campaigns(self, order: PendingOrder) -> bool:
        """Take the cached campaigns and rules, and return whether all are cached."""
        cached = self._campaigns.cached
        order.campaigns = [cached(token.program, token.campaign) for token in order.verified]
        order.rules = self._rules.cached(order.program)
        return order.rules is not None and None not in order.campaigns

    async def load(self, order: PendingOrder) -> bool:
        """Read the campaigns and rules that are not cached; False if that fails: then the order has its result."""
        read, deadline = self._reader.current_campaign, order.caller.deadline
        try:
            order.campaigns = [
                await read(token, deadline) if campaign is None else campaign
                for token, campaign in zip(order.verified, order.campaigns, strict=True)
            ]
            if order.rules is None:
                order.rules = await current_rules(self._rules, order.program, deadline)
        except ServiceError as error:
            hand_over(order.on_result, error)
            return False
        except Exception:  # noqa: BLE001 - logged with its traceback; it must not affect other orders
            self._give_up(order)
            return False
        return True

    def judge(self, order: PendingOrder) -> bool:
        """Judge an order, and store in it what the ledger needs to decide; False if that fails."""
        order.rounds += 1
        now_ms = self._ledger.now_ms() if order.judge_at_ms is None else order.judge_at_ms
        try:
            if order.rules is not NO_ACTIVE_RULES:
                self._assess(order, now_ms)
            coupons, checkout = self._coupons(order), order.asked.checkout
            self._store(order, judge(coupons, checkout, now_ms=now_ms, days=self._days, assessment=order.assessment))
        except Exception:  # noqa: BLE001 - logged with its traceback; it must not affect other orders
            self._give_up(order)
            return False
        return True

    def judge_steps(self, order: PendingOrder) -> Generator[None, None, bool]:
        """Judge an order in steps, see ``judge``."""
        order.rounds += 1
        now_ms = self._ledger.now_ms() if order.judge_at_ms is None else order.judge_at_ms
        try:
            if order.rules is not NO_ACTIVE_RULES:
                self._assess(order, now_ms)
            coupons, checkout = self._coupons(order), order.asked.checkout
            steps = judge_steps(coupons, checkout, now_ms=now_ms, days=self._days, assessment=order.assessment)
            self._store(order, (yield from steps))
        except Exception:  # noqa: BLE001 - logged with its traceback; it must not affect other orders
            self._give_up(order)
            return False
        return True

    def _store(self, order: PendingOrder, judgement: Judgement) -> None:
        """Store a judgement in an order, as the ledger needs it."""
        order.since_ms, order.until_ms = judgement.since_ms, judgement.until_ms
        order.coupons = judgement.coupons
        order.tokens = _judged_tokens(order, order.asked.checkout.order.value_minor)
        if isinstance(order.asked, ReserveRequest):
            longest = [campaign.reservation_seconds_max for campaign in order.campaigns if campaign]
            order.hold_seconds = min(order.asked.hold_seconds, *longest)
            order.terms = terms_of(self._digests.for_program(order.program), order.content, order.tokens)

    def _assess(self, order: PendingOrder, now_ms: int) -> None:
        """Compare an order with the rules and lists of its program."""
        active = order.rules
        assert active is not None, "loaded before"
        order.rules_version = active.version
        order.assessment, order.checks = None, NO_CHECKS
        if active.judges_orders:
            order.assessment = assess_order(active, self._digests, order.asked.checkout, order.verified, now_ms)
            order.checks = order.assessment.checks

    def _coupons(self, order: PendingOrder) -> list[Coupon | None]:
        customer_id = order.asked.checkout.customer.customer_id
        return [
            self._reader.coupon(token, campaign, customer_id) if campaign else None
            for token, campaign in zip(order.verified, order.campaigns, strict=True)
        ]

    def ask(self, program: str, orders: Sequence[PendingOrder], *, rejudged: bool) -> None:
        """Have the ledger decide orders."""
        self._orders.decide(program, orders, rejudged=rejudged)

    def take_earlier_form(self, order: PendingOrder) -> bool:
        """Give an order its content in the form of earlier versions; False if it had that form already.

        An answer that an earlier version stored names positions of the order as it was sent.
        """
        if isinstance(order.asked, ReserveRequest):
            return False  # earlier versions reserved nothing
        content = earlier_checkout_content("redeem", order.asked.checkout)
        earlier = self._digests.for_program(order.program).digest(DigestKind.CONTENT, content)
        if earlier == order.content:
            return False
        order.content, order.positions = earlier, None
        return True

    def without_dead(self, order: PendingOrder, reply: Refused) -> Generator[None, None, Refused]:
        """Judge a refused order again without the coupons that the ledger refuses, and return the refusal after that.

        It is done in steps. An error in it leaves the refusal as it is.
        """
        if len(order.verified) == 1:
            return reply
        try:
            order.coupons, reply = yield from judged_without_dead(order, self._coupons(order), reply, self._days)
        except Exception:  # noqa: BLE001 - logged with its traceback
            _log.exception("a refused order cannot be judged without its dead coupons", program=order.program)
        return reply

    def _give_up(self, order: PendingOrder) -> None:
        """End an order that cannot be judged. The next order reads the campaigns again: they may be repaired then."""
        _log.exception("an order cannot be judged", program=order.program)
        for token in order.verified:
            self._campaigns.forget(token.program, token.campaign)
        hand_over(order.on_result, ItemFailed(_UNREADABLE))

    def result(self, order: PendingOrder, reply: RedeemReply | ServiceError) -> Decision | ServiceError:
        """Return the result that the ledger's reply means, and count and report what was refused."""
        if isinstance(reply, ServiceError):
            return reply
        if isinstance(reply, Failed):
            return ItemFailed(_UNREADABLE)
        if order.exceeded and isinstance(reply, Refused):
            assert order.rules is not None, "judged by them"
            reply = replace(reply, try_after_ms=try_after_ms(order.rules, order.exceeded))
        decision = self._decision(order, reply)
        if order.assessment is not None or decision.outcome is not Outcome.APPROVED:
            self._count_and_report(order, reply, decision)
        return decision

    def _decision(self, order: PendingOrder, reply: RedeemReply) -> Decision:
        checkout, positions = order.asked.checkout, order.positions
        ledger_order = order.ledger_order
        if isinstance(reply, Held | Remembered) and reply.held_until:
            decision = self._reserved(order, reply)
        elif len(ledger_order) == 1:
            decision = self._decisions.decision(
                checkout, order.verified, order.coupons, order.tokens, reply, positions=positions
            )
        else:
            if isinstance(reply, Remembered):
                # Earlier versions stored the tokens of a campaign in another order.
                places = {(token.campaign, token.serial): index for index, token in enumerate(order.verified)}
                ledger_order = [places[token.campaign, token.serial] for token in reply.answer]
            verified = [order.verified[index] for index in ledger_order]
            coupons = [order.coupons[index] for index in ledger_order]
            decision = self._decisions.decision(checkout, verified, coupons, order.tokens, reply, positions=positions)
            decision = _in_callers_order(decision, ledger_order)
        return decision

    def _reserved(self, order: PendingOrder, reply: Held | Remembered) -> Decision:
        """Return the decision that an order's coupons are held.

        It is made only from the request and from what the ledger remembers of it, so a repetition gets the same.
        """
        answer = order.tokens if isinstance(reply, Held) else reply.answer
        terms = terms_of(self._digests.for_program(order.program), order.content, answer)
        verified = [order.verified[index] for index in order.ledger_order]
        hold = HoldOfOrder(order.order, order.customer, terms, reply.held_until)
        decision = self._decisions.reserved(
            order.asked.checkout,
            verified,
            hold,
            decided_at=reply.decided_at,
            generations=reply.generations,
            answer=answer,
            positions=order.positions,
        )
        return decision if len(verified) == 1 else _in_callers_order(decision, order.ledger_order)

    def _count_and_report(self, order: PendingOrder, reply: RedeemReply, decision: Decision) -> None:
        """Count what rules did, and tell the observers of a refusal; an error in it does not change the decision."""
        try:
            if (
                order.rules is not None
                and order.assessment is not None
                and isinstance(reply, Approved | Held | Refused)
            ):
                self._rule_reports.count(order.program, order.rules, order.exceeded, order.assessment.missing)
            if decision.outcome is Outcome.APPROVED:
                return
            for verdict in decision.verdicts:
                if verdict.campaign:
                    self._orders.count_refusal(order.program, verdict.campaign, verdict.outcome)
            if decision.outcome in REFUSED_BY_RULES:
                digests, checkout = self._digests.for_program(order.program), order.asked.checkout
                self._attempts.refuse(order.program, people_of(digests, checkout.customer, checkout.risk))
            if decision.outcome is Outcome.TOKEN_INVALID and isinstance(reply, Refused):
                self._report_invalid(order, reply)
        except Exception:  # noqa: BLE001 - logged with its traceback
            _log.exception("a decision cannot be counted", program=order.program)

    def _report_invalid(self, order: PendingOrder, reply: Refused) -> None:
        """Report the tokens of an order that are refused as TOKEN_INVALID although they are correctly signed."""
        for index, refused in zip(order.ledger_order, reply.tokens, strict=True):
            never_issued = refused.rank == NEVER_ISSUED_RANK
            if never_issued or refused.rank == Outcome.TOKEN_INVALID:
                self._reader.report_refused(order.verified[index], order.campaigns[index], issued=not never_issued)


def _judged_tokens(order: PendingOrder, order_value_minor: int) -> tuple[JudgedToken, ...]:
    """Return the tokens as the ledger reads them; the first token of each campaign carries the order's value.

    What the ledger remembers of an approval must not depend on how the caller sorted its lines: so positions become
    those of the sorted order.
    """
    tokens, before = [], None
    sorted_at = (
        None if order.positions is None else sorted(range(len(order.positions)), key=order.positions.__getitem__)
    )
    for index in order.ledger_order:
        token, campaign, judged = order.verified[index], order.campaigns[index], order.coupons[index]
        clock, parts = judged.clock, judged.parts
        if sorted_at is not None:
            parts = tuple([(sorted_at[position], amount) for position, amount in parts])
        tokens.append(
            # Positional arguments, in the order of the fields: keyword arguments cost half as much again.
            JudgedToken(
                token.campaign,
                token.key_id,
                token.serial,
                judged.discount_minor,
                judged.merchant_basis_points,
                parts,
                campaign.version if campaign else 0,
                judged.outcome,
                judged.merchant_minor,
                0 if token.campaign == before else order_value_minor,
                token.offer_index,
                clock.day,
                clock.slot,
                clock.slot_limit,
                token.holder_bound,
                clock.slot_carries,
            )
        )
        before = token.campaign
    return tuple(tokens)


def _ledger_key(token: VerifiedToken) -> tuple[int, int, int, int]:
    """Return the sort key for the order in which the ledger counts tokens.

    Those of a campaign are counted in the order in which their coupons are applied, so that the last use that a limit
    has left goes to the coupon that is applied first.
    """
    return token.campaign, token.offer_index, token.expires_at, token.serial


def _in_callers_order(decision: Decision, ledger_order: Sequence[int]) -> Decision:
    verdicts = [decision.verdicts[place] for place, _ in sorted(enumerate(ledger_order), key=lambda pair: pair[1])]
    return replace(decision, verdicts=tuple(verdicts))
