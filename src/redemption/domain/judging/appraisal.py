"""Predicts what happens to an order's coupons, each alone and all together, from a snapshot of the ledger.

The work is done in small steps: the generators yield between steps, so that other work can run.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from redemption.domain.judging.best_combination import Candidate, Combination, Search, Work
from redemption.domain.judging.limits import Count, Finding, count_of, limit_rank
from redemption.domain.judging.stacking import CouponJudgement, EligibleCoupon, Screening, StackState
from redemption.domain.outcome import BUDGET_DAY_RANK, Outcome
from redemption.domain.ports.orders import CampaignSnapshot

_MAY_JOIN = (Outcome.APPROVED, Outcome.BUDGET_EXHAUSTED, BUDGET_DAY_RANK)


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
    ) -> None:
        """Prepare it.

        Args:
            screening: The coupons.
            known: For each, why the ledger refuses it by itself (a rank, see ``coupon_rank``), or None.
            campaigns: What the ledger has counted, by campaign number.
            guest: The order has no customer.
        """
        self._screening = screening
        self._known = known
        self._guest = guest
        self._eligible = screening.eligible()
        self._counts = {
            eligible.coupon.campaign.number: count_of(campaigns[eligible.coupon.campaign.number], eligible.clock)
            for eligible in self._eligible
        }
        self._work = Work(screening.basket.size)

    def alone(self) -> Generator[None, None, tuple[Finding, ...]]:
        """Return the finding for each coupon, as if it were the only one."""
        start = StackState(self._screening.basket.units)
        judged = {}
        for eligible in self._eligible:
            judged[eligible.index] = start.judge(eligible)
            if self._work.due():
                yield
        return self._findings(judged, one_by_one=True)

    def together(self) -> Generator[None, None, tuple[Finding, ...]]:
        """Return the finding for each coupon, as if the order used all: what Redeem would answer."""
        stack = StackState(self._screening.basket.units)
        judged = {}
        for eligible in self._eligible:
            stack, judged[eligible.index] = stack.apply(eligible)
            if self._work.due():
                yield
        return self._findings(judged, one_by_one=False)

    def best(self, alone: Sequence[Finding]) -> Generator[None, None, Choice]:
        """Choose the combination that takes most off.

        Args:
            alone: The finding for each coupon alone. Candidates are those approved, and those whose discount is more
                than the budget that is left: applied after other coupons, the discount may be smaller.
        """
        candidates = [
            Candidate(eligible, alone[eligible.index].judgement.discount_minor)
            for eligible in self._eligible
            if alone[eligible.index].rank in _MAY_JOIN and self._known[eligible.index] is None
        ]
        search = Search(self._screening.basket.units, self._counts, guest=self._guest, work=self._work)
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

    def _findings(self, judged: Mapping[int, CouponJudgement], *, one_by_one: bool) -> tuple[Finding, ...]:
        """Combine judgements and the ledger's refusals; count coupons in the ledger's order: campaign, serial."""
        found: dict[int, Finding] = {}
        counts: Mapping[int, Count] = self._counts
        for eligible in sorted(self._eligible, key=_ledger_order):
            judgement, campaign = judged[eligible.index], eligible.coupon.campaign
            rank = self._rank(eligible.index, judgement)
            if rank == Outcome.APPROVED:
                off = judgement.discount_minor
                rank = limit_rank(counts[campaign.number], campaign.limits, eligible.clock, off, guest=self._guest)
                if rank == Outcome.APPROVED and not one_by_one:
                    counts = {**counts, campaign.number: counts[campaign.number].with_coupon(off)}
            found[eligible.index] = Finding(rank, judgement)
        for index, refused in enumerate(self._screening.refused):
            if refused is not None:
                found[index] = Finding(self._rank(index, refused), refused)
        return tuple(found[index] for index in range(len(found)))

    def _rank(self, index: int, judgement: CouponJudgement) -> int:
        known = self._known[index]
        return judgement.outcome if known is None else min(known, judgement.outcome)


def _ledger_order(eligible: EligibleCoupon) -> tuple[int, int]:
    token = eligible.coupon.token
    return token.campaign, token.serial
