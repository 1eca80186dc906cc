"""Predicts what happens to an order's coupons, each alone and all together, from a snapshot of the ledger.

The work is done in small steps: the generators yield between steps, so that other work can run.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from redemption.domain.judging.best_combination import Candidate, Combination, Search, Work
from redemption.domain.judging.limits import Count, Finding, count_of, free_at, limit_rank
from redemption.domain.judging.stacking import CouponJudgement, EligibleCoupon, Screening, StackState
from redemption.domain.outcome import BUDGET_DAY_RANK, Outcome
from redemption.domain.ports.orders import CampaignSnapshot

_MAY_JOIN = (Outcome.APPROVED, Outcome.BUDGET_EXHAUSTED, BUDGET_DAY_RANK)
"""Findings on a coupon alone that allow it after others: its discount may be smaller then, and fit into the budget."""
_BELOW_MINIMUM = (Outcome.MIN_SPEND_NOT_MET, Outcome.MIN_QUANTITY_NOT_MET)


@dataclass(frozen=True, slots=True)
class Choice:
    """The best combination, and the finding for every coupon; if a coupon is left out, its finding is the reason."""

    combination: Combination
    findings: tuple[Finding, ...]


class Appraisal:
    """The coupons of one order, judged with one snapshot of the ledger."""

    def __init__(
        self,
        screening: Screening,
        known: Sequence[int | None],
        campaigns: Mapping[int, CampaignSnapshot],
        *,
        guest: bool,
        with_parts: bool,
    ) -> None:
        """Prepare it.

        Args:
            screening: The coupons.
            known: For each, why the ledger refuses it by itself (a rank, see ``coupon_rank``), or None.
            campaigns: What the ledger has counted, by campaign number.
            guest: The order has no customer.
            with_parts: Work out how each discount is divided among the lines.
        """
        self._screening = screening
        self._known = known
        self._guest = guest
        self._with_parts = with_parts
        self._eligible = screening.eligible()
        self._counts: Mapping[int, Count] = {
            eligible.coupon.campaign.number: count_of(campaigns[eligible.coupon.campaign.number], eligible.clock)
            for eligible in self._eligible
        }
        self._work = Work(screening.basket.size)

    def alone(self) -> Generator[None, None, tuple[Finding, ...]]:
        """Return the finding for each coupon, as if it were the only one."""
        start = StackState(self._screening.basket.units)
        found = {}
        for eligible in self._eligible:
            found[eligible.index] = self._finding(
                eligible, start.judge(eligible, with_parts=self._with_parts), self._counts
            )
            if self._work.due():
                yield
        return self._all(found)

    def together(self) -> Generator[None, None, tuple[Finding, ...]]:
        """Return the finding for each coupon, as if the order used all: what Redeem would answer.

        A coupon that will be refused takes nothing and stands in nobody's way, also when the ledger is the one who
        refuses it.
        """
        stack, counts = StackState(self._screening.basket.units), self._counts
        found = {}
        for eligible in self._eligible:
            following, judgement = stack.apply(eligible, with_parts=self._with_parts)
            finding = found[eligible.index] = self._finding(eligible, judgement, counts)
            if finding.approved:
                stack = following
                number = eligible.coupon.campaign.number
                counts = {**counts, number: counts[number].with_coupon(judgement.discount_minor)}
            if self._work.due():
                yield
        return self._all(found)

    def best(self, alone: Sequence[Finding]) -> Generator[None, None, Choice]:
        """Choose the combination that takes most off.

        Args:
            alone: The finding for each coupon alone. Candidates are those that are approved, or may be after others.
        """
        candidates = [
            Candidate(eligible, alone[eligible.index].judgement.discount_minor)
            for eligible in self._eligible
            if self._known[eligible.index] is None and self._may_join(eligible, alone[eligible.index].rank)
        ]
        search = Search(
            self._screening.basket.units,
            self._counts,
            guest=self._guest,
            with_parts=self._with_parts,
            work=self._work,
        )
        combination = yield from search.steps(candidates)
        findings = list(alone)
        together = yield from search.together(combination.chosen)
        for index, found in together.items():
            findings[index] = found
        for candidate in candidates:
            index = candidate.eligible.index
            if index not in together and alone[index].approved:
                findings[index] = yield from search.reason(candidate, combination)
        return Choice(combination, tuple(findings))

    def _may_join(self, eligible: EligibleCoupon, rank: int) -> bool:
        """Whether a coupon may be part of a combination, by the finding on it alone.

        Buy X get Y may be below its minimum only because of the units that it makes free itself, which do not count.
        After other coupons it may make fewer free, or others. All else that it needs only becomes less.
        """
        if rank in _BELOW_MINIMUM:
            return StackState(self._screening.basket.units).is_refused_by_own_gift(eligible)
        return rank in _MAY_JOIN

    def _finding(self, eligible: EligibleCoupon, judgement: CouponJudgement, counts: Mapping[int, Count]) -> Finding:
        rank = self._rank(eligible.index, judgement)
        if rank != Outcome.APPROVED:
            return Finding(rank, judgement)
        campaign, off = eligible.coupon.campaign, judgement.discount_minor
        count = counts[campaign.number]
        rank = limit_rank(count, campaign.limits, eligible.clock, off, guest=self._guest)
        return Finding(rank, judgement, free_at(count, campaign.limits, rank, off))

    def _all(self, found: dict[int, Finding]) -> tuple[Finding, ...]:
        """Return the findings of the eligible coupons and those that were refused before, in the caller's order."""
        for index, refused in enumerate(self._screening.refused):
            if refused is not None:
                found[index] = Finding(self._rank(index, refused), refused)
        return tuple(found[index] for index in range(len(found)))

    def _rank(self, index: int, judgement: CouponJudgement) -> int:
        known = self._known[index]
        return judgement.outcome if known is None else min(known, judgement.outcome)
