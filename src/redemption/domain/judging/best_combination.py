"""The combination of coupons that takes most off an order, and why each of the others was left out.

Coupons of one offer are interchangeable, so a combination is a number of coupons of each offer. Coupons that are
applied later never change an earlier refusal, so combinations that begin with the same coupons share that work.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import prod
from typing import TypeAlias

from redemption.domain.decision import Detail
from redemption.domain.judging.eligibility import Refusal
from redemption.domain.judging.limits import Count, Finding, free_at, limit_rank
from redemption.domain.judging.stacking import CouponJudgement, EligibleCoupon, StackState
from redemption.domain.judging.units import Units
from redemption.domain.order import TOKENS_MAX
from redemption.domain.outcome import Outcome

COMBINATIONS_MAX = 1_024
CANDIDATES_TRIED = 10
"""With more than ``COMBINATIONS_MAX`` combinations, only this many of the best candidates are tried exhaustively."""
POSITIONS_PER_STEP = 500
"""The number of order positions that are priced in one step: less than a millisecond of work for most benefits."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A coupon that may be part of a combination, and what it would take off alone."""

    eligible: EligibleCoupon
    alone_minor: int

    @property
    def identity(self) -> tuple[int, int]:
        """Campaign number and serial."""
        token = self.eligible.coupon.token
        return token.campaign, token.serial


@dataclass(frozen=True, slots=True)
class Combination:
    """Some candidates that are approved together.

    Attributes:
        chosen: In the order in which they are applied.
        exhaustive: It is certain that no other combination is better.
    """

    chosen: tuple[Candidate, ...] = ()
    discount_minor: int = 0
    exhaustive: bool = True

    def beats(self, other: "Combination") -> bool:
        """Whether it is better: a larger discount, else fewer coupons, else coupons with lower numbers."""
        if self.discount_minor != other.discount_minor:
            return self.discount_minor > other.discount_minor
        if len(self.chosen) != len(other.chosen):
            return len(self.chosen) < len(other.chosen)
        return self.identities() < other.identities()

    def identities(self) -> list[tuple[int, int]]:
        """Return campaign number and serial of its coupons, sorted."""
        return sorted(candidate.identity for candidate in self.chosen)

    def extended(self, candidate: Candidate, discount_minor: int) -> "Combination":
        """Return this combination with one more coupon."""
        return Combination((*self.chosen, candidate), self.discount_minor + discount_minor)


Steps: TypeAlias = Generator[None, None, Combination]


class Work:
    """Counts the work that was done since the last pause."""

    def __init__(self, positions: int) -> None:
        """Begin with nothing counted.

        Args:
            positions: The number of positions of the order, which is the cost of pricing one coupon.
        """
        self._positions = positions
        self._done = 0

    def due(self) -> bool:
        """Count one more priced coupon, and return whether it is time to pause."""
        self._done += self._positions
        if self._done < POSITIONS_PER_STEP:
            return False
        self._done = 0
        return True


class Search:
    """Searches for the best combination of an order's coupons, in small steps, so that other work can run."""

    def __init__(self, units: Units, counts: Mapping[int, Count], *, guest: bool, with_parts: bool, work: Work) -> None:
        """Prepare it.

        Args:
            units: The order's units.
            counts: The counters of each campaign, by number.
            guest: The order has no customer.
            with_parts: Work out how each discount is divided among the lines.
            work: Counts the work.
        """
        self._units = units
        self._counts = counts
        self._guest = guest
        self._with_parts = with_parts
        self._work = work
        self._best = Combination()

    def steps(self, candidates: Iterable[Candidate]) -> Steps:
        """Yield after every step; the generator's value is the best combination."""
        sorted_candidates = sorted(candidates, key=lambda candidate: candidate.eligible.stack_order)
        if not sorted_candidates:
            return self._best
        start = StackState(self._units)
        if _combinations(_groups(sorted_candidates)) <= COMBINATIONS_MAX:
            yield from self._explore(_groups(sorted_candidates), start, Combination(), self._counts)
            return self._best
        by_size = sorted(
            sorted_candidates, key=lambda candidate: (-candidate.alone_minor, *candidate.eligible.stack_order[2:])
        )
        tried = set(by_size[:CANDIDATES_TRIED])
        groups = _groups([candidate for candidate in sorted_candidates if candidate in tried])
        yield from self._explore(groups, start, Combination(), self._counts)
        for candidate in by_size[CANDIDATES_TRIED:]:
            yield from self._extend(candidate)
        return replace(self._best, exhaustive=False)

    def reason(self, candidate: Candidate, best: Combination) -> Generator[None, None, Finding]:
        """Return why a candidate is not part of the best combination: what would happen if it were added."""
        together = yield from self.together((*best.chosen, candidate))
        mine = together[candidate.eligible.index]
        if not mine.approved:
            return mine
        harmed = tuple(sorted(index for index, other in together.items() if not other.approved))
        full = len(best.chosen) >= TOKENS_MAX
        outcome = Outcome.EXCLUSIVE_CONFLICT if harmed or full else Outcome.NO_EFFECT
        judgement = CouponJudgement(outcome, detail=Detail(conflicts=harmed) if harmed else None)
        return Finding(outcome, judgement)

    def together(self, candidates: Iterable[Candidate]) -> Generator[None, None, dict[int, Finding]]:
        """Return the finding for each candidate, by its index, when all are applied together."""
        stack, counts = StackState(self._units), self._counts
        together = {}
        for eligible in sorted((candidate.eligible for candidate in candidates), key=lambda each: each.stack_order):
            if self._work.due():
                yield
            following, judged = stack.apply(eligible, with_parts=self._with_parts)
            rank: int = judged.outcome
            if rank == Outcome.APPROVED:
                rank = self._limit(eligible, judged.discount_minor, counts)
            if rank == Outcome.APPROVED:
                stack = following
                counts = _counted(counts, eligible, judged.discount_minor)
            together[eligible.index] = Finding(
                rank, judged, self._free_at(eligible, rank, judged.discount_minor, counts)
            )
        return together

    def _explore(
        self, groups: Sequence[Sequence[Candidate]], stack: StackState, so_far: Combination, counts: Mapping[int, Count]
    ) -> Generator[None, None, None]:
        """Take none, one, two and so on of the first group, and each time try all combinations of the other groups."""
        first, rest = groups[0], groups[1:]
        if rest:
            yield from self._explore(rest, stack, so_far, counts)
        else:
            self._consider(so_far)
        for candidate in first[: TOKENS_MAX - len(so_far.chosen)]:
            eligible = candidate.eligible
            if self._work.due():
                yield
            found = stack.price_of(eligible)
            if isinstance(found, Refusal) or self._limit(eligible, found.discount_minor, counts) != Outcome.APPROVED:
                return
            so_far = so_far.extended(candidate, found.discount_minor)
            if not rest:
                self._consider(so_far)
            if rest or len(first) > 1:
                stack = stack.after(eligible, found)
                counts = _counted(counts, eligible, found.discount_minor)
            if rest:
                yield from self._explore(rest, stack, so_far, counts)

    def _consider(self, combination: Combination) -> None:
        if combination.beats(self._best):
            self._best = combination

    def _extend(self, candidate: Candidate) -> Generator[None, None, None]:
        """Add a candidate to the best combination, if all its coupons are then approved and together take more off."""
        if len(self._best.chosen) >= TOKENS_MAX:
            return
        chosen = sorted((*self._best.chosen, candidate), key=lambda each: each.eligible.stack_order)
        found = yield from self.together(chosen)
        if all(each.approved for each in found.values()):
            self._consider(Combination(tuple(chosen), sum(each.judgement.discount_minor for each in found.values())))

    def _limit(self, eligible: EligibleCoupon, discount_minor: int, counts: Mapping[int, Count]) -> int:
        campaign = eligible.coupon.campaign
        count = counts[campaign.number]
        return limit_rank(count, campaign.limits, eligible.clock, discount_minor, guest=self._guest)

    def _free_at(self, eligible: EligibleCoupon, rank: int, discount_minor: int, counts: Mapping[int, Count]) -> int:
        campaign = eligible.coupon.campaign
        return free_at(counts[campaign.number], campaign.limits, rank, discount_minor)


def _groups(sorted_candidates: Iterable[Candidate]) -> list[list[Candidate]]:
    """Group candidates by offer; in stacking order, those of one offer are next to each other."""
    return [
        list(group) for _, group in groupby(sorted_candidates, key=lambda candidate: candidate.eligible.stack_order[:4])
    ]


def _combinations(groups: Iterable[Sequence[Candidate]]) -> int:
    """Return the number of combinations: the product of the choices for each offer, taking none included."""
    return prod(
        min(len(group), group[0].eligible.coupon.campaign.stacking.max_tokens_per_order) + 1 for group in groups
    )


def _counted(counts: Mapping[int, Count], eligible: EligibleCoupon, discount_minor: int) -> Mapping[int, Count]:
    number = eligible.coupon.campaign.number
    return {**counts, number: counts[number].with_coupon(discount_minor)}
