"""Until when an answer is of use."""

import asyncio

import pytest

from redemption.domain.errors import DeadlinePassed
from redemption.rpc.call import deadline_of, principal_of


class Context:
    def __init__(self, seconds):
        self._seconds = seconds

    def time_remaining(self):
        return self._seconds


@pytest.mark.parametrize(("remaining", "expected"), [(None, 5.0), (1.0, 0.98), (9.0, 8.98), (60.0, 10.0)])
async def test_deadline_leaves_time_for_the_answer_to_travel(remaining, expected):
    before = asyncio.get_running_loop().time()
    deadline = deadline_of(Context(remaining))
    after = asyncio.get_running_loop().time()
    assert before + expected <= deadline <= after + expected


@pytest.mark.parametrize("remaining", [0.0, 0.01, 0.02])
async def test_deadline_too_near_for_an_answer_has_passed(remaining):
    with pytest.raises(DeadlinePassed):
        deadline_of(Context(remaining))


def test_everybody_is_the_same_principal_without_credentials():
    assert principal_of(Context(None)) == "anonymous"
