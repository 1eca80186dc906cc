"""The demo's sum: it passes only when everything adds up."""

import pytest

from redemption.cli.demo.sale import Result
from redemption.v1 import outcome_pb2 as v1
from redemption.v1.decision_pb2 import Decision


def approved(off=1):
    return Decision(outcome=v1.OUTCOME_APPROVED, discount_minor=off)


def sold(*, answers, users, redeemed, unanswered=0):
    result = Result(buyers=3, coupons=2, seed=1, redeemed=redeemed, unanswered=unanswered)
    for request_id, found in answers.items():
        result.answers[request_id].extend(found)
    for token, requests in users.items():
        result.users[token] |= requests
    return result


GOOD = {"answers": {"a": [approved()], "b": [approved()] * 2}, "users": {"A": {"a"}, "B": {"b"}}, "redeemed": 2}


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({}, True),
        ({"redeemed": 3}, False),
        ({"redeemed": 1}, False),
        ({"unanswered": 1}, False),
        ({"users": {"A": {"a", "b"}}}, False),
        ({"answers": {"a": [approved()], "b": [approved(1), approved(2)]}}, False),
        ({"answers": {"a": [approved()], "b": [approved(), Decision(outcome=v1.OUTCOME_REVOKED)]}}, False),
        ({"answers": {"a": [approved()]}, "redeemed": 1}, False),
        ({"answers": {name: [approved()] for name in "abc"}, "redeemed": 2}, False),
    ],
)
def test_the_demo_fails_when_anything_does_not_add_up(changes, passed):
    assert sold(**{**GOOD, **changes}).passed is passed
