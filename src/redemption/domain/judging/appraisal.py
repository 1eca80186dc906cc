"""What would become of an order's coupons, each alone and all together, told from what the ledger was seen to hold.

Everything is done in small steps (generators that yield between them), so that others can work in between.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from redemption.domain.judging.best_combination import Candidate, Combination, Search, Work
from redemption.domain.judging.limits import Count, Finding, count_of, limit_rank
from redemption.domain.judging.stacking import Contender, CouponJudgement, Course, Field
from redemption.domain.outcome import BUDGET_DAY_RANK, Outcome
from redemption.domain.ports.orders import SeenCampaign

_MAY_JOIN = (Outcome.APPROVED, Outcome.BUDGET_EXHAUSTED, BUDGET_DAY_RANK)


@dataclass(frozen=True, slots=True)
class Choice:
    """The best combination, and what becomes of every coupon: those left out have the reason."""

    combination: Combination
    findings: tuple[Finding, ...]


class Appraisal:
    """The coupons of one order, at one moment of the ledger."""

    def __init__(
        self, field: Field, known: Sequence[int | None], campaigns: Mapping[int, SeenCampaign], *, guest: bool
    ) -> None:
        """Prepare it.

        Args:
            field: The coupons.
            known: For each, why the ledger refuses it by itself (a rank, see ``coupon_rank``), or None.
            campaigns: What the ledger has counted, by campaign number.
            guest: Nobody is logged in.
        """
        self._field = field
        self._known = known
        self._guest = guest
        self._contenders = field.contenders()
        self._counts = {
            contender.coupon.campaign.number: count_of(campaigns[contender.coupon.campaign.number], contender.hour)
            for contender in self._contenders
        }
        self._work = Work(len(field.basket.amounts))

    def alone(self) -> Generator[None, None, tuple[Finding, ...]]:
        """Return what would become of each coupon if it were the only one."""
        start = Course(self._field.basket)
        judged = {}
        for contender in self._contenders:
            judged[contender.index] = start.judge(contender)
            if self._work.due():
                yield
        return self._findings(judged, one_by_one=True)

    def together(self) -> Generator[None, None, tuple[Finding, ...]]:
        """Return what would become of each coupon if the order used all of them: what Redeem would say."""
        course = Course(self._field.basket)
        judged = {}
        for contender in self._contenders:
            course, judged[contender.index] = course.apply(contender)
            if self._work.due():
                yield
        return self._findings(judged, one_by_one=False)

    def best(self, alone: Sequence[Finding]) -> Generator[None, None, Choice]:
        """Choose the combination that takes most off.

        Args:
            alone: What would become of each coupon alone. Candidates are those approved, and those whose discount does
                not fit into the money that is left: after others it may be smaller.
        """
        candidates = [
            Candidate(contender, alone[contender.index].judgement.discount_minor)
            for contender in self._contenders
            if alone[contender.index].rank in _MAY_JOIN and self._known[contender.index] is None
        ]
        search = Search(self._field.basket, self._counts, guest=self._guest, work=self._work)
        combination = yield from search.steps(candidates)
        findings = list(alone)
        together = yield from search.together(combination.chosen)
        for index, found in together.items():
            findings[index] = found
        for candidate in candidates:
            index = candidate.contender.index
            if index not in together and alone[index].approved:
                findings[index] = yield from search.reason(candidate, combination)
        return Choice(combination, tuple(findings))

    def _findings(self, judged: Mapping[int, CouponJudgement], *, one_by_one: bool) -> tuple[Finding, ...]:
        """Put the ledger's word to the server's, counting coupons as the ledger would: by campaign and serial."""
        found: dict[int, Finding] = {}
        counts: Mapping[int, Count] = self._counts
        for contender in sorted(self._contenders, key=_ledger_turn):
            judgement, campaign = judged[contender.index], contender.coupon.campaign
            rank = self._rank(contender.index, judgement)
            if rank == Outcome.APPROVED:
                off = judgement.discount_minor
                rank = limit_rank(counts[campaign.number], campaign.limits, contender.hour, off, guest=self._guest)
                if rank == Outcome.APPROVED and not one_by_one:
                    counts = {**counts, campaign.number: counts[campaign.number].with_coupon(off)}
            found[contender.index] = Finding(rank, judgement)
        for index, refused in enumerate(self._field.refused):
            if refused is not None:
                found[index] = Finding(self._rank(index, refused), refused)
        return tuple(found[index] for index in range(len(found)))

    def _rank(self, index: int, judgement: CouponJudgement) -> int:
        known = self._known[index]
        return judgement.outcome if known is None else min(known, judgement.outcome)


def _ledger_turn(contender: Contender) -> tuple[int, int]:
    token = contender.coupon.token
    return token.campaign, token.serial
