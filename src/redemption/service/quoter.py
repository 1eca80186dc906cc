"""Quoting: the decision that Redeem would make, without making it, and the best combination of coupons."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from redemption.domain.call_info import CallInfo
from redemption.domain.campaign.calendar import Days
from redemption.domain.campaign.campaign import MILLISECONDS
from redemption.domain.decision import Decision, Verdict, refusal
from redemption.domain.errors import DeadlinePassed, InvalidRequest, LedgerUnavailable, Overloaded
from redemption.domain.judging.appraisal import Appraisal
from redemption.domain.judging.eligibility import Coupon
from redemption.domain.judging.limits import Finding, coupon_rank
from redemption.domain.judging.stacking import Screening
from redemption.domain.order import QUOTED_TOKENS_MAX, Checkout, checkout_violations
from redemption.domain.outcome import Outcome
from redemption.domain.ports.ledger import Ledger
from redemption.domain.ports.orders import CouponSnapshot, EarlierUse, Outdated, QuoteSnapshot, RefusedToken
from redemption.domain.risk.assessment import NO_ACTIVE_RULES, ActiveRules
from redemption.domain.signed.digest import DigestKind, Digests
from redemption.domain.signed.token import VerifiedToken
from redemption.scheduling.concurrency_limit import ConcurrencyLimit
from redemption.scheduling.fair_slots import FairSlots, WorkSlot
from redemption.scheduling.work_bounds import QUOTES, WorkBounds
from redemption.service.coupon_reader import CouponReader, assess_order, current_rules
from redemption.service.decisions import (
    DecisionWriter,
    allocations_of,
    invalid_tokens,
    invalid_verdict,
)
from redemption.service.guessing import Guessing
from redemption.service.judging_rounds import until_decided

_NO_USE = EarlierUse(0, 0, 0)


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """What to quote.

    Attributes:
        choose_best: Choose the combination that takes most off, instead of taking all coupons together.
        at_ms: Judge at this moment, Unix milliseconds; None means now.
        with_allocations: Return how the discounts are divided among the lines.
    """

    checkout: Checkout
    choose_best: bool = False
    at_ms: int | None = None
    with_allocations: bool = False


@dataclass(frozen=True, slots=True)
class Quote:
    """The result of quoting.

    Attributes:
        together: All coupons together, or with ``choose_best`` the chosen ones, and why each other one was left out.
        alone: Each coupon by itself.
        chosen: With ``choose_best``, the indexes of the chosen coupons.
        exhaustive: With ``choose_best``, every combination was tried.
    """

    together: Decision
    alone: tuple[Verdict, ...]
    chosen: tuple[int, ...] = ()
    exhaustive: bool = False


class Quoter:
    """Quotes orders of all programs, few at a time and in small steps, so that redeeming never has to wait."""

    def __init__(
        self,
        *,
        reader: CouponReader,
        digests: Digests,
        decisions: DecisionWriter,
        guessing: Guessing,
        ledger: Ledger,
        bounds: WorkBounds,
    ) -> None:
        self._reader = reader
        self._guessing = guessing
        self._digests = digests
        self._decisions = decisions
        self._orders = ledger.orders
        self._rules = ledger.rules
        self._ledger = ledger
        self._days = Days()
        self._limit = ConcurrencyLimit(bounds.quotes_max)
        self._slots = FairSlots(QUOTES)

    async def quote(self, caller: CallInfo, request: QuoteRequest) -> Quote:
        """Return what Redeem would answer, without using any coupon.

        Args:
            caller: The caller, and its deadline.
            request: What to quote.

        Raises:
            ServiceError: The request got no answer.
        """
        violations = checkout_violations(request.checkout, tokens_max=QUOTED_TOKENS_MAX)
        if violations:
            raise InvalidRequest(violations)
        if self._limit.is_full:
            raise Overloaded(f"{self._limit.taken} quotes are being worked on already; ask again a little later")
        try:
            async with asyncio.timeout_at(caller.deadline):
                with self._limit.take():
                    return await self._quote(caller, request)
        except TimeoutError as error:
            raise DeadlinePassed("the deadline passed before the quote was ready; quotes change nothing") from error

    async def _quote(self, caller: CallInfo, request: QuoteRequest) -> Quote:
        checkout = request.checkout
        found = self._reader.tokens(checkout)
        waits_until_ms = None
        if None in found:
            waits_until_ms = self._guessing.tokens_failed(
                caller,
                checkout.program,
                checkout.customer,
                checkout.risk,
                1,  # a wallet may have many old tokens
            )
        if not any(found):  # forged tokens cost the ledger nothing
            at_ms = self._ledger.now_ms() if request.at_ms is None else request.at_ms
            nothing = invalid_tokens([False] * len(found), at_ms // MILLISECONDS, waits_until_ms)
            return Quote(nothing, nothing.verdicts, exhaustive=request.choose_best)
        seen, coupons, active = await self._read(checkout, found, caller.deadline)
        async with self._slots.slot() as slot:
            return await self._appraise(
                request, found, seen, coupons, slot, active=active, waits_until_ms=waits_until_ms
            )

    async def _appraise(
        self,
        request: QuoteRequest,
        found: Sequence[VerifiedToken | None],
        seen: QuoteSnapshot,
        coupons: Sequence[Coupon | None],
        slot: WorkSlot,
        *,
        active: ActiveRules,
        waits_until_ms: int | None,
    ) -> Quote:
        """Judge the coupons with the snapshot of the ledger."""
        checkout = request.checkout
        now_ms = seen.now_ms if request.at_ms is None else request.at_ms
        assessment = None
        if active.judges_orders:  # no rule counts a quote
            tokens = [token for token in found if token is not None]
            assessment = assess_order(active, self._digests, checkout, tokens, now_ms)
        screening = Screening(checkout, now_ms=now_ms, days=self._days, assessment=assessment)
        for coupon in coupons:
            screening.screen(coupon)
            if slot.count(screening.basket.size):
                await slot.pause()
        self._report_invalid(found, seen, coupons, screening)
        uses, known = self._known(checkout, found, seen)
        appraisal = Appraisal(
            screening,
            known,
            seen.campaigns,
            guest=not checkout.customer.customer_id,
            with_parts=request.with_allocations,
        )
        decided_at = screening.moment.now_ms // MILLISECONDS
        writer = VerdictWriter(request, found, uses, decided_at, self._decisions, waits_until_ms=waits_until_ms)
        alone = await slot.drive(appraisal.alone())
        if not request.choose_best:
            together = writer.decision(await slot.drive(appraisal.together()))
            return Quote(together, writer.verdicts(alone))
        choice = await slot.drive(appraisal.best(alone))
        chosen = choice.combination.chosen
        return Quote(
            writer.chosen(choice.findings) if chosen else writer.refused(choice.findings),
            writer.verdicts(alone),
            chosen=tuple(sorted(candidate.eligible.index for candidate in chosen)),
            exhaustive=choice.combination.exhaustive,
        )

    async def _read(
        self, checkout: Checkout, found: Sequence[VerifiedToken | None], deadline: float
    ) -> tuple[QuoteSnapshot, list[Coupon | None], ActiveRules]:
        """Read all that the ledger knows of the coupons in one function call; again if a campaign changed meanwhile."""
        customer_id = checkout.customer.customer_id
        digest = self._digests.for_program(checkout.program).digest
        customer = digest(DigestKind.CUSTOMER, customer_id.encode()) if customer_id else None
        order = digest(DigestKind.ORDER, checkout.order.order_id.encode())
        coupons: list[Coupon | None] = []
        program, active = checkout.program, NO_ACTIVE_RULES

        async def read(_now_ms: int | None) -> QuoteSnapshot | Outdated:
            nonlocal active
            coupons.clear()
            active = self._rules.cached(program) or await current_rules(self._rules, program, deadline)
            wanted = []
            for token in found:
                campaign = None if token is None else await self._reader.campaign(token, deadline)
                if token is None:
                    coupons.append(None)
                    continue
                coupons.append(self._reader.coupon(token, campaign, customer_id) if campaign else None)
                wanted.append((token.campaign, campaign.version if campaign else 0, token.serial, token.holder_bound))
            return await self._orders.quote_snapshot(
                program, wanted, customer=customer, order=order, rules_version=active.version
            )

        return await until_decided(read, failure=_changes_too_fast), coupons, active

    def _report_invalid(
        self,
        found: Sequence[VerifiedToken | None],
        seen: QuoteSnapshot,
        coupons: Sequence[Coupon | None],
        screening: Screening,
    ) -> None:
        """Report the tokens that are refused as TOKEN_INVALID although they are correctly signed."""
        snapshots = iter(seen.coupons)
        for token, coupon, refused in zip(found, coupons, screening.refused, strict=True):
            if token is None:
                continue
            issued = next(snapshots).issued
            if not issued or (refused is not None and refused.outcome is Outcome.TOKEN_INVALID):
                self._reader.report_refused(token, coupon.campaign if coupon else None, issued=issued)

    def _known(
        self, checkout: Checkout, found: Sequence[VerifiedToken | None], seen: QuoteSnapshot
    ) -> tuple[list[EarlierUse], list[int | None]]:
        """Return for each coupon its use, and the reason why the ledger refuses it by itself."""
        order_id = checkout.order.order_id.encode()
        order = self._digests.for_program(checkout.program).digest(DigestKind.ORDER, order_id)
        snapshots = iter(seen.coupons)
        by_token = [None if token is None else next(snapshots) for token in found]
        uses = [_NO_USE if coupon is None else use_of(coupon) for coupon in by_token]
        return uses, [None if coupon is None else coupon_rank(coupon, order) for coupon in by_token]


def use_of(coupon: CouponSnapshot) -> EarlierUse:
    """Return a coupon's use, or the end of the hold on it, as ``RefusedToken.use`` has them."""
    if coupon.use is not None:
        return coupon.use
    return EarlierUse(coupon.held_until, 0, 0) if coupon.held_until else _NO_USE


def _changes_too_fast() -> LedgerUnavailable:
    return LedgerUnavailable(
        "the campaigns or the rules of their program change faster than it can be judged; ask again"
    )


class VerdictWriter:
    """Turns findings into verdicts and decisions."""

    def __init__(
        self,
        request: QuoteRequest,
        tokens: Sequence[VerifiedToken | None],
        uses: Sequence[EarlierUse],
        decided_at: int,
        decisions: DecisionWriter,
        *,
        waits_until_ms: int | None,
    ) -> None:
        self._tokens = tokens
        self._uses = uses
        self._decided_at = decided_at
        self._decisions = decisions
        self._waits_until_ms = waits_until_ms
        order = request.checkout.order
        self._bearers = order.lines + order.shipping if request.with_allocations else None

    def verdicts(self, findings: Sequence[Finding]) -> tuple[Verdict, ...]:
        """Return one verdict for each coupon by itself."""
        return tuple(self._verdict(index, finding) for index, finding in enumerate(findings))

    def decision(self, findings: Sequence[Finding]) -> Decision:
        """Return the decision on an order that uses all its coupons or none."""
        genuine = [finding.rank != Outcome.TOKEN_INVALID for finding in findings]
        if not all(genuine):
            return invalid_tokens(genuine, self._decided_at, self._waits_until_ms)
        if all(finding.approved for finding in findings):
            return self.chosen(findings)
        verdicts = self.verdicts(findings)
        rejected = [
            replace(verdict, outcome=Outcome.STACK_REJECTED, discount_minor=0, allocations=())
            if verdict.outcome is Outcome.APPROVED
            else verdict
            for verdict in verdicts
        ]
        return refusal(tuple(rejected), self._decided_at)

    def refused(self, findings: Sequence[Finding]) -> Decision:
        """Return the decision when none of the coupons can be used."""
        return refusal(self.verdicts(findings), self._decided_at)

    def chosen(self, findings: Sequence[Finding]) -> Decision:
        """Return the decision that approves some coupons; the others keep their refusals."""
        verdicts = self.verdicts(findings)
        return Decision(
            Outcome.APPROVED,
            verdicts,
            self._decided_at,
            discount_minor=sum(verdict.discount_minor for verdict in verdicts),
        )

    def _verdict(self, index: int, finding: Finding) -> Verdict:
        token, judged = self._tokens[index], finding.judgement
        if token is None:
            return invalid_verdict(self._waits_until_ms)
        if finding.rank == Outcome.TOKEN_INVALID:
            return Verdict(Outcome.TOKEN_INVALID)
        if not finding.approved:
            use = EarlierUse(finding.free_at, 0, 0) if finding.free_at else self._uses[index]
            return self._decisions.refused_verdict(token.program, token, judged, RefusedToken(finding.rank, use))
        return Verdict(
            Outcome.APPROVED,
            campaign=token.campaign,
            discount_minor=judged.discount_minor,
            allocations=allocations_of(judged.parts, judged.merchant_basis_points, self._bearers)
            if self._bearers
            else (),
        )
