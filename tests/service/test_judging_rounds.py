"""Judging again what is outdated: at the moment that the ledger tells, and not for ever."""

import pytest

from redemption.domain.errors import LedgerUnavailable
from redemption.domain.ports.orders import Outdated
from redemption.service.judging_rounds import ROUNDS_MAX, changes_too_fast, until_decided


class Answers:
    """A ledger that says so many times that a judgement is outdated, and then answers; keeps what it was asked."""

    def __init__(self, outdated):
        self.left = list(range(1, outdated + 1))
        self.asked = []

    async def __call__(self, now_ms):
        self.asked.append(now_ms)
        return Outdated(1000 * self.left.pop(0)) if self.left else "decided"


@pytest.mark.parametrize(("outdated", "asked"), [(0, [None]), (1, [None, 1000]), (3, [None, 1000, 2000, 3000])])
async def test_it_is_judged_again_at_the_moment_that_the_ledger_tells(outdated, asked):
    answers = Answers(outdated)
    assert await until_decided(answers) == "decided"
    assert answers.asked == asked


async def test_the_last_round_may_still_decide():
    assert await until_decided(Answers(ROUNDS_MAX - 1)) == "decided"


async def test_after_the_last_round_it_fails():
    answers = Answers(ROUNDS_MAX)
    with pytest.raises(LedgerUnavailable, match=changes_too_fast().message):
        await until_decided(answers)
    assert len(answers.asked) == ROUNDS_MAX


async def test_after_a_number_of_rounds_of_its_own_it_fails_with_an_error_of_its_own():
    answers = Answers(9)
    with pytest.raises(LedgerUnavailable, match="ask again"):
        await until_decided(answers, failure=lambda: LedgerUnavailable("ask again"), rounds_max=9)
    assert len(answers.asked) == 9
