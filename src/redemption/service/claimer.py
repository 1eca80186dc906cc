"""Claiming: a customer gets one coupon of an offer, or the one that an exchange code stands for.

This works like redeeming: the server judges the claim with a cached definition, the ledger decides it in one function
call that many claims share, and the answer is made from what the ledger remembers. So a repeated request gets the same
token, field for field.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from redemption.domain.call_info import CallInfo
from redemption.domain.campaign.calendar import Days
from redemption.domain.campaign.campaign import MILLISECONDS, Campaign
from redemption.domain.campaign.validity import valid_time
from redemption.domain.decision import Detail, disposition_of
from redemption.domain.errors import (
    InvalidRequest,
    ItemFailed,
    NotFound,
    Violation,
    WrongState,
)
from redemption.domain.judging.claiming import (
    Claim,
    ClaimJudgement,
    CodeGiven,
    OfferWanted,
    claim_violations,
    judge_claim,
)
from redemption.domain.judging.eligibility import Refusal, signals_required
from redemption.domain.outcome import Disposition, Outcome
from redemption.domain.ports.issuing import ClaimedCoupon, ClaimItem, ClaimRefused, CodeFound
from redemption.domain.ports.ledger import Ledger
from redemption.domain.ports.orders import Exceeded, Failed, Mismatch, Outdated
from redemption.domain.request_identity import RequestIdentity
from redemption.domain.risk.assessment import ANY_CAMPAIGN, NO_CHECKS, NOT_ASSESSED, ActiveRules, Assessment, assess
from redemption.domain.signed.digest import DigestKind, Digests
from redemption.domain.signed.exchange_code import Misread, read_code
from redemption.domain.signed.keyset import Keyset
from redemption.domain.signed.signing import SigningError
from redemption.service.coupon_reader import current_campaign, current_rules, find_campaign
from redemption.service.earlier_content import earlier_claim_content
from redemption.service.guessing import CodeWait, Guessing
from redemption.service.idempotency import as_set, canonical, identity_of
from redemption.service.judging_rounds import ROUNDS_MAX, until_decided
from redemption.service.risk_reports import REFUSED_BY_RULES, RuleReports, people_of, try_after_ms
from redemption.service.signers import Signers

_NEVER = (0, 0)
_MISREAD = {Misread.NOT_A_CODE: Outcome.CODE_INVALID, Misread.MISTYPED: Outcome.CODE_MISTYPED}
_UNREADABLE = "a record of this claim or its campaign cannot be read; nothing was done, its operator has to look"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a claim.

    Attributes:
        token: With APPROVED, the coupon's token, bound to the customer.
        not_before: It is valid from this instant, Unix seconds.
        expires_at: It is valid until this instant, exclusive, Unix seconds.
    """

    outcome: Outcome
    token: str = ""
    not_before: int = 0
    expires_at: int = 0
    detail: Detail | None = None

    @property
    def disposition(self) -> Disposition:
        """What the caller should do: if only today's limit is used up, try again tomorrow."""
        return disposition_of(self.outcome, self.detail)


@dataclass(frozen=True, slots=True)
class _PendingClaim:
    """One claim on its way to the ledger.

    Attributes:
        earlier: Its identity with the content in the form of earlier versions.
    """

    claim: Claim
    identity: RequestIdentity
    earlier: RequestIdentity
    customer: bytes | None
    person: bytes | None
    code: bytes | None


@dataclass(frozen=True, slots=True)
class _Judged:
    """What is sent to the ledger, and the judgement behind it.

    Attributes:
        active: The program's rules that it was judged by.
        assessment: What they say about the claim, before the ledger counts.
        wait: Why its code is not looked up now; None: it is.
        judgement: None while the coupon of a code is not known.
        lacking: Then: why the code is not looked up, when the claim lacks signals that rules of all campaigns need.
        failure: Why no token can be signed now, although the claim is not refused. The claim is sent to the ledger even
            so: a repeated request gets its token again.
    """

    item: ClaimItem
    active: ActiveRules
    assessment: Assessment
    judgement: ClaimJudgement | None
    failure: WrongState | None = None
    wait: CodeWait | None = None
    lacking: Refusal | None = None


class Claimer:
    """Claims coupons of all programs."""

    def __init__(
        self, *, keyset: Keyset, digests: Digests, guessing: Guessing, ledger: Ledger, rule_reports: RuleReports
    ) -> None:
        self._signers = Signers(keyset)
        self._digests = digests
        self._guessing = guessing
        self._rule_reports = rule_reports
        self._attempts = ledger.attempts
        self._orders = ledger.orders
        self._campaigns = ledger.campaigns
        self._issuing = ledger.issuing
        self._rules = ledger.rules
        self._ledger = ledger
        self._days = Days()

    async def claim(self, caller: CallInfo, claim: Claim) -> Claimed:
        """Give one coupon to a customer, or return the reason why not.

        Args:
            caller: The caller, and its deadline.
            claim: The claim.

        Raises:
            ServiceError: The request got no answer.
        """
        violations = claim_violations(claim)
        if violations:
            raise InvalidRequest(violations)
        opened = self._open(caller, claim)
        if isinstance(opened, Outcome):
            return Claimed(opened)
        if opened.code is None:
            return await self._decide(opened, caller, None)
        async with self._guessing.code_under_way(caller, claim.program, claim.customer, claim.risk) as wait:
            return await self._decide(opened, caller, wait)

    def _open(self, caller: CallInfo, claim: Claim) -> _PendingClaim | Outcome:
        """Return the claim as it is sent to the ledger, or a refusal that costs the ledger nothing."""
        digests = self._digests.for_program(claim.program)
        customer = claim.customer
        code: bytes | None = None
        source = claim.source
        if isinstance(source, CodeGiven):
            read = read_code(source.text)
            if isinstance(read, Misread):
                return _MISREAD[read]
            code = read
            if not customer.customer_id:  # else a guest could find out which codes there are
                return Outcome.CUSTOMER_REQUIRED
            what: tuple[object, ...] = ("code", code.hex())
        else:
            what = ("offer", source.campaign, source.offer_index)
        segments = as_set(customer.segments)
        whom = (customer.customer_id, customer.tier, segments, customer.is_new, customer.person_id)
        identity = earlier = identity_of(digests, caller, claim.request_id, canonical("claim", what, whom))
        if tuple(segments) != customer.segments:
            earlier = identity_of(digests, caller, claim.request_id, earlier_claim_content(what, customer))
        return _PendingClaim(
            claim,
            identity=identity,
            earlier=earlier,
            customer=(
                digests.digest(DigestKind.CUSTOMER, customer.customer_id.encode()) if customer.customer_id else None
            ),
            person=digests.digest(DigestKind.PERSON, customer.person_id.encode()) if customer.person_id else None,
            code=None if code is None else digests.digest(DigestKind.CODE, code),
        )

    async def _decide(self, pending: _PendingClaim, caller: CallInfo, wait: CodeWait | None) -> Claimed:
        """Have the ledger decide; a claim whose judgement is outdated is judged again.

        Args:
            pending: The claim.
            caller: The caller, and its deadline.
            wait: Why its code is not looked up now; None: it is.
        """
        found: CodeFound | None = None

        async def judge_and_ask(now_ms: int | None) -> Claimed | Outdated:
            nonlocal found, pending
            at_ms = self._ledger.now_ms() if now_ms is None else now_ms
            judged = await self._judged(pending, found, at_ms, caller.deadline, wait)
            if judged is None:
                self._guessing.code_failed(caller, pending.claim.program, pending.claim.customer, pending.claim.risk)
                return Claimed(Outcome.CODE_INVALID)
            program = pending.claim.program
            reply, exceeded = await self._issuing.claim(caller, program, judged.item, rejudged=now_ms is not None)
            if isinstance(reply, CodeFound):  # the first round of a code only finds its coupon
                found = reply
                return Outdated(self._ledger.now_ms())
            if isinstance(reply, Mismatch) and pending.identity != pending.earlier:
                pending = replace(pending, identity=pending.earlier)
                return Outdated(self._ledger.now_ms())
            return (
                reply
                if isinstance(reply, Outdated)
                else self._answer(caller, pending.claim, judged, reply, exceeded=exceeded)
            )

        of_the_code = 0 if pending.code is None else 1  # that round judges nothing
        return await until_decided(judge_and_ask, rounds_max=ROUNDS_MAX + of_the_code)

    def _answer(
        self,
        caller: CallInfo,
        claim: Claim,
        judged: _Judged,
        reply: ClaimedCoupon | ClaimRefused | Mismatch | Failed,
        *,
        exceeded: Sequence[Exceeded],
    ) -> Claimed:
        self._count(caller, claim, judged, reply, exceeded)
        match reply:
            case ClaimedCoupon():
                return self._approved(claim, reply)
            case ClaimRefused(Outcome.NOT_EVALUATED) if judged.failure is not None:
                raise judged.failure
            case ClaimRefused():
                waits_until_ms = None if judged.wait is None else judged.wait.until_ms
                return _refused(reply, judged, waits_until_ms or try_after_ms(judged.active, exceeded))
            case Mismatch():
                return Claimed(Outcome.IDEMPOTENCY_MISMATCH)
            case Failed():
                self._campaigns.forget(claim.program, judged.item.campaign)  # the next read may find it repaired
                raise ItemFailed(_UNREADABLE)

    def _count(
        self,
        caller: CallInfo,
        claim: Claim,
        judged: _Judged,
        reply: ClaimedCoupon | ClaimRefused | Mismatch | Failed,
        exceeded: Sequence[Exceeded],
    ) -> None:
        """Count what rules did, and tell the observers of a refusal; an error in it does not change the answer.

        A claim that was approved before counts nowhere, and neither does one that is refused because its code only
        waits for a place.
        """
        if isinstance(reply, Mismatch | Failed) or (isinstance(reply, ClaimedCoupon) and reply.remembered):
            return
        program, wait = claim.program, judged.wait
        waits_for_place = wait is not None and wait.for_place
        if waits_for_place and isinstance(reply, ClaimRefused) and reply.outcome == Outcome.VELOCITY_EXCEEDED:
            return
        try:
            self._rule_reports.count(program, judged.active, exceeded, judged.assessment.missing)
            is_locked_out = wait is not None and not waits_for_place
            if isinstance(claim.source, CodeGiven) and not waits_for_place:
                self._guessing.count_code(program, claim.customer, claim.risk, refused=is_locked_out)
            if isinstance(reply, ClaimedCoupon):
                return
            if reply.outcome == Outcome.CODE_INVALID:
                self._guessing.code_failed(caller, program, claim.customer, claim.risk)
            elif reply.outcome in REFUSED_BY_RULES and not is_locked_out:
                digests = self._digests.for_program(program)
                self._attempts.refuse(program, people_of(digests, claim.customer, claim.risk))
            if judged.item.campaign and reply.outcome not in {Outcome.CODE_INVALID, Outcome.NOT_EVALUATED}:
                self._orders.count_refusal(program, judged.item.campaign, reply.outcome)
        except Exception:  # noqa: BLE001 - logged with its traceback
            _log.exception("a claim cannot be counted", program=program)

    async def _judged(
        self,
        pending: _PendingClaim,
        found: CodeFound | None,
        now_ms: int,
        deadline: float,
        wait: CodeWait | None,
    ) -> _Judged | None:
        """Judge a claim at this moment, and return what the ledger needs to decide; None if its code is invalid."""
        source, program = pending.claim.source, pending.claim.program
        active = self._rules.cached(program) or await current_rules(self._rules, program, deadline)
        if isinstance(source, CodeGiven) and found is None:
            assessment = self._assessed(pending.claim, active, None, (), now_ms)
            lacking = signals_required(kinds) if (kinds := assessment.lacking(ANY_CAMPAIGN)) else None
            item = _unjudged(pending, active, assessment, lacking, wait)
            return _Judged(item, active, assessment, None, wait=wait, lacking=lacking)
        if found is not None:
            number, offer_index = found.campaign, found.offer_index
        else:
            assert isinstance(source, OfferWanted), "the other kind of source"
            number, offer_index = source.campaign, source.offer_index
        campaign = await find_campaign(self._campaigns, pending.claim.program, number, deadline)
        if campaign is not None and offer_index >= len(campaign.offers):  # the offer may be newer than the cache
            campaign = await current_campaign(self._campaigns, pending.claim.program, number, deadline)
        if found is None:
            campaign = _require_offer(campaign, pending.claim.program, number, offer_index)
        elif campaign is None or offer_index >= len(campaign.offers) or not self._signers.usable(found.key_id):
            return None
        ordered = self._ordered(found, campaign, now_ms) if found is not None and found.expires_at else None
        promised = ordered or valid_time(campaign, now_ms)
        coupons = () if found is None else ((found.campaign, found.serial),)
        assessment = self._assessed(pending.claim, active, number, coupons, now_ms)
        judgement = judge_claim(
            pending.claim,
            campaign,
            offer_index,
            promised,
            now_ms=now_ms,
            days=self._days,
            assessment=assessment,
            frozen=active.rules.claims_frozen,
        )
        outcome, valid, failure = judgement.outcome, _NEVER, None
        if outcome is Outcome.APPROVED:
            try:
                valid = self._signable(campaign, promised, now_ms // MILLISECONDS, ordered=ordered is not None)
            except WrongState as error:
                outcome, failure = Outcome.NOT_EVALUATED, error
        not_before, expires_at = valid
        item = ClaimItem(
            identity=pending.identity,
            campaign=number,
            version=campaign.version,
            offer_index=offer_index,
            offer_quota=campaign.offers[offer_index].issue_quota,
            outcome=outcome,
            not_before=not_before,
            expires_at=expires_at,
            key_id=self._signers.primary.id,
            day=judgement.day,
            since_ms=judgement.since_ms,
            until_ms=judgement.until_ms,
            customer=pending.customer,
            person=pending.person,
            code=pending.code,
            rules_version=active.version,
            checks=assessment.checks,
        )
        return _Judged(item, active, assessment, judgement, failure)

    def _assessed(
        self, claim: Claim, active: ActiveRules, campaign: int | None, coupons: Sequence[tuple[int, int]], now_ms: int
    ) -> Assessment:
        """Compare a claim with the rules and lists of its program.

        None is the campaign of a code that is not looked up yet: then only rules of all campaigns are compared.
        """
        if not active.judges_claims:
            return NOT_ASSESSED
        return assess(
            active,
            active.of_claim,
            digests=self._digests.for_program(claim.program),
            customer=claim.customer,
            risk=claim.risk,
            coupons=coupons,
            campaigns=() if campaign is None else (campaign,),
            now_ms=now_ms,
        )

    def _ordered(self, found: CodeFound, campaign: Campaign, now_ms: int) -> tuple[int, int]:
        """Return the interval that was ordered with a code, Unix seconds.

        A code that has expired is honoured as long as its campaign honours coupons that have.
        """
        expires_at = found.expires_at
        if campaign.honoured_until_ms is not None and now_ms >= expires_at * MILLISECONDS:
            honoured = min(campaign.honoured_until_ms // MILLISECONDS, self._signers.key_expires_at(found.key_id))
            expires_at = max(expires_at, honoured)
        return found.not_before, expires_at

    def _signable(self, campaign: Campaign, promised: tuple[int, int], now: int, *, ordered: bool) -> tuple[int, int]:
        """Return the interval in which a coupon is valid, its expiry capped to the key's life, Unix seconds.

        Args:
            campaign: The campaign.
            promised: The interval that was promised.
            now: When it is signed, Unix seconds.
            ordered: These times were ordered with the code; they are not the campaign's.

        Raises:
            WrongState: The key's life ends too early.
        """
        not_before, expires_at = promised
        latest = self._signers.latest_expiry(now)
        capped = min(expires_at, latest) if ordered else self._signers.capped_expiry(campaign, expires_at, now)
        if capped <= max(not_before, now):
            raise WrongState(
                f"campaign {campaign.number}: its coupons become valid later than a signing key may reach now; its "
                "operator has to create and promote a newer key, or they are claimed nearer to that time"
            )
        return not_before, capped

    def _approved(self, claim: Claim, coupon: ClaimedCoupon) -> Claimed:
        """Sign the token of a coupon, from what the ledger remembers of it."""
        signer = self._signers.signer(program=claim.program, campaign=coupon.campaign, key_id=coupon.key_id)
        try:
            token = signer.sign(
                offer_index=coupon.offer_index,
                serial=coupon.serial,
                not_before=coupon.not_before,
                expires_at=coupon.expires_at,
                now=coupon.claimed_at,
                customer_id=claim.customer.customer_id,
            )
        except SigningError as error:
            raise WrongState(f"the coupon was claimed, but no key may sign its token any more: {error}") from error
        return Claimed(Outcome.APPROVED, token, coupon.not_before, coupon.expires_at)


def _unjudged(
    pending: _PendingClaim,
    active: ActiveRules,
    assessment: Assessment,
    lacking: Refusal | None,
    wait: CodeWait | None,
) -> ClaimItem:
    """Return an item that asks the ledger for the coupon of a code, and has a wrong code counted.

    Of a claim that is denied, that has to wait, or that lacks signals, no code is looked up: the ledger only looks
    whether the request was answered before, and counts the attempt, unless the code only waits for a place.
    """
    outcome = Outcome.CODE_INVALID
    if wait is not None:
        outcome = Outcome.VELOCITY_EXCEEDED
    elif lacking is not None:
        outcome = lacking.outcome
    return ClaimItem(
        identity=pending.identity,
        campaign=0,
        version=0,
        offer_index=0,
        offer_quota=None,
        outcome=Outcome.DENYLISTED if assessment.denied else outcome,
        not_before=0,
        expires_at=0,
        key_id=0,
        day=0,
        since_ms=0,
        until_ms=0,
        customer=pending.customer,
        person=pending.person,
        code=pending.code,
        rules_version=active.version,
        checks=NO_CHECKS if wait is not None and wait.for_place else assessment.checks,
    )


def _require_offer(campaign: Campaign | None, program: str, number: int, offer_index: int) -> Campaign:
    if campaign is None:
        raise NotFound(f"offer.campaign: there is no campaign {number} in program {program!r}")
    if offer_index >= len(campaign.offers):
        problem = f"campaign {number} has offers 0 to {len(campaign.offers) - 1}"
        raise InvalidRequest([Violation("offer.offer_index", problem)])
    return campaign


def _refused(refused: ClaimRefused, judged: _Judged, try_after: int | None) -> Claimed:
    outcome, judgement = Outcome(refused.outcome), judged.judgement or judged.lacking
    if outcome is Outcome.VELOCITY_EXCEEDED:
        return Claimed(outcome, detail=Detail(try_after_ms=try_after))
    if judgement is None:
        return Claimed(outcome)
    if refused.only_today and judged.judgement is not None:
        return Claimed(outcome, detail=Detail(try_after_ms=judged.judgement.day_ends_at_ms))
    return Claimed(outcome, detail=judgement.detail if judgement.outcome is outcome else None)
